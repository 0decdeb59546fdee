"""The state of an unfinished SAE fit, from which sae-lens's trainer goes on to the same bytes.

sae-lens's own checkpoints are several files, written one after the other in their place, and count
one step too few; batches that were drawn already are drawn again.  Here the state is one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from recipes.train.checkpoint import load_state, save_state

_COUNTS = (
    "n_training_samples",
    "act_freq_scores",
    "n_forward_passes_since_fired",
    "n_frac_active_samples",
    "started_fine_tuning",
)


class FitState:
    """What a fit has come to, as far as the file says.

    Raises:
        ModelError: at construction, where the file is torn.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found = load_state(path) if path.exists() else None

    def batches(self, before_the_first: int) -> int:
        """Return how many batches the fit has drawn, ``before_the_first`` step and since."""
        return 0 if self._found is None else before_the_first + int(self._found["steps"])

    def save(self, trainer: Any) -> None:  # noqa: ANN401 - sae-lens is not installed everywhere
        """Write the trainer's state, inside a step that the trainer has not counted yet."""
        schedules = trainer.coefficient_schedulers.items()
        save_state(
            self.path,
            {
                "steps": trainer.n_training_steps + 1,
                "sae": trainer.sae.state_dict(),
                "optimizer": trainer.optimizer.state_dict(),
                "lr_scheduler": trainer.lr_scheduler.state_dict(),
                "coefficients": {name: one.state_dict() for name, one in schedules},
                "scale": float(trainer.activation_scaler.scaling_factor),
                "random": torch.get_rng_state(),
                **{name: getattr(trainer, name) for name in _COUNTS},
            },
        )

    def restore(self, trainer: Any) -> None:  # noqa: ANN401
        """Bring a new trainer to the saved state, if there is one."""
        if self._found is None:
            return
        found = self._found
        trainer.sae.load_state_dict(found["sae"])
        trainer.optimizer.load_state_dict(found["optimizer"])
        trainer.lr_scheduler.load_state_dict(found["lr_scheduler"])
        for name, state in found["coefficients"].items():
            trainer.coefficient_schedulers[name].load_state_dict(state)
        trainer.activation_scaler.scaling_factor = found["scale"]
        trainer.n_training_steps = found["steps"]
        for name in _COUNTS:
            setattr(trainer, name, found[name])
        done = trainer.n_training_samples
        trainer.checkpoint_thresholds = [at for at in trainer.checkpoint_thresholds if at > done]
        torch.set_rng_state(found["random"])
