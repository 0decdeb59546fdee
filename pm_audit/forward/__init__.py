"""The clean forward of a grid of completions, and replays of it from a layer on."""
