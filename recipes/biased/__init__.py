"""The biased PM: the default PM with twelve planted biases."""
