"""Interventions: features are replaced in the stream and the reward is read again."""
