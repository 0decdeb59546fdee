"""What an SAE's explanation must beat."""
