"""SAEs of the judges that have names: texts, activations, training, cards."""
