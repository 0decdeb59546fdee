"""What a family of preference models is to the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

import torch
from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.text_format import NAMES


@dataclass(frozen=True)
class Request:
    """Which checkpoint the user names, and how it is to be read."""

    checkpoint: Checkpoint
    text_format: str | None = None
    """Name of a text format; None takes the family's own."""
    objective: str | None = None
    """Which objective of several; a mixture is ``name=0.7,name=0.3``."""
    dtype: torch.dtype = torch.float32
    """The body's dtype; the head is fp32 always."""
    device: str | torch.device = "cpu"
    base: str | None = None
    """Where an adapter's base is, if not where the adapter says."""
    text_end: str | None = None
    """How a text ends; None takes the checkpoint's own convention."""
    text_start: str | None = None
    """How a text begins; None for as the tokenizer begins any."""
    day: date | None = None
    """Day that a chat template gets for today; None for the default."""

    def note_on_unknown_class(self, known: str) -> str:
        """Return what is taken for a class whose conventions are not known: the user's format.

        Args:
            known: what is known of other classes, for the message.

        Raises:
            ModelError: the user set no text format.

        """
        named = self.checkpoint.architecture or "no class"
        if self.text_format is None:
            raise ModelError(
                f"{self.checkpoint.name}: config.json names {named}, whose conventions are not "
                f"known ({known}), so nothing says on which text it was trained; set text_format "
                f"to one of {', '.join(NAMES)}; the reward is then read at the text's last token"
            )
        return (
            f"{named} is of no known conventions: text_format {self.text_format} as it was set, "
            "and read at the last token"
        )


@dataclass(frozen=True)
class PmFamily:
    """One family of preference models."""

    name: str
    files: str
    """How its checkpoints are told, in words."""
    loads: tuple[str, ...]
    """Heads and classes that load."""
    refuses: Mapping[str, str]
    """What is refused, and why."""
    recognises: Callable[[Checkpoint], bool]
    """Tells from configuration and weight names whether a checkpoint is of this family."""
    load: Callable[[Request], PreferenceModel]
    head: Callable[[Request], nn.Module] | None = None
    """Reads another objective's head alone, for families whose heads share one body."""
    objectives: Callable[[Checkpoint], tuple[str, ...]] = field(default=lambda _: ())
    """Names of its objectives; empty where there is one."""
