"""Checkpoints of a training run: what was trained, the optimiser, the schedule, and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pm_audit.errors import ModelError


class Checkpoint:
    """State of an unfinished run, refused where its recipe is another."""

    def __init__(self, path: Path, recipe: Mapping[str, Any]) -> None:
        self.path, self.recipe = path, dict(recipe)
        path.parent.mkdir(parents=True, exist_ok=True)

    def save(
        self,
        step: int,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
    ) -> None:
        """Write the state after ``step`` steps; a killed run leaves the older checkpoint."""
        weights = {
            name: weight.detach()
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }
        state = {
            "recipe": self.recipe,
            "step": step,
            "weights": weights,
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
        }
        beside = self.path.with_suffix(".tmp")
        torch.save(state, beside)
        beside.replace(self.path)

    def restore(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
    ) -> int:
        """Load the state, if there is one, and return the step to go on from."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        if state["recipe"] != self.recipe:
            raise ModelError(
                f"{self.path}: a checkpoint of another recipe; remove it or choose another folder"
            )
        model.load_state_dict(state["weights"], strict=False)
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        return int(state["step"])
