"""The subject: a preference model and its sparse autoencoders, loaded and ready to run."""
