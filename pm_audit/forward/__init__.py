"""Attribution proposes, ablation decides: the passes over a preference model."""
