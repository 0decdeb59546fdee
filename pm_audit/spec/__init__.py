"""What users write: hypotheses, probes and settings, read from YAML into typed models."""
