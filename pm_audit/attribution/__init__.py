"""Attribution: cheap estimates of what each feature does, from gradients."""
