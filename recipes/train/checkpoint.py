"""Checkpoints of a training run: what was trained, the optimiser, the schedule, and the recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pm_audit.errors import ModelError


class Checkpoint:
    """State of an unfinished run; one of another recipe is refused."""

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
        save_state(
            self.path,
            {
                "recipe": self.recipe,
                "step": step,
                "weights": weights,
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            },
        )

    def restore(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LambdaLR,
    ) -> int:
        """Load the state, if there is one, and return the step to go on from.

        Raises:
            ModelError: the checkpoint is torn, or of another recipe.

        """
        if not self.path.exists():
            return 0
        state = load_state(self.path)
        try:
            if state["recipe"] != self.recipe:
                raise ModelError(
                    f"{self.path}: a checkpoint of another recipe; remove it or choose another "
                    "folder"
                )
            model.load_state_dict(state["weights"], strict=False)
            optimiser.load_state_dict(state["optimiser"])
            schedule.load_state_dict(state["schedule"])
            return int(state["step"])
        except (KeyError, TypeError, ValueError, RuntimeError) as problem:
            raise _unreadable(self.path, problem) from problem


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state next to ``path``, flush it, and move it there."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state that ``save_state`` wrote.

    Raises:
        ModelError: the file is torn, or not a checkpoint.

    """
    try:
        state = torch.load(path, weights_only=True)
    except Exception as problem:  # torch raises of many classes for a torn file
        raise _unreadable(path, problem) from problem
    if not isinstance(state, dict):
        raise _unreadable(path, TypeError(f"it holds {type(state).__name__}"))
    return state


def _unreadable(path: Path, problem: Exception) -> ModelError:
    said = " ".join(str(problem).split())[:200]
    return ModelError(
        f"{path}: cannot be read as a checkpoint ({said}); remove this file, and the next run "
        "trains from its beginning"
    )
