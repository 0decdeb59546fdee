"""What an audit costs: the engine against the plain way and against SAELens, in one run."""
