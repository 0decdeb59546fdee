"""Draft hypotheses: minimal edits of a data set's own texts that switch a group of features."""
