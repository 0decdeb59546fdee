"""What a family of preference models is to the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.pms.positions import longest_text
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.text.layouts import LAYOUTS
from pm_audit.text.text_format import CHAT, NAMES, TextFormat, TextSettings


@dataclass(frozen=True)
class Request:
    """Which checkpoint the user names, and how to read it."""

    checkpoint: Checkpoint
    objective: str | None = None
    """Which objective of several; a mixture is ``name=0.7,name=0.3``."""
    dtype: torch.dtype = torch.float32
    """The body's dtype; the head is always fp32."""
    device: str | torch.device = "cpu"
    base: str | None = None
    """Where an adapter's base is, if not where the adapter says."""
    text: TextSettings = field(default_factory=TextSettings)

    def format(self, tokenizer: Any, config: Any) -> TextFormat:
        """Return the text format that is set, or else the tokenizer's chat template."""
        if self.text.text_format is None and not tokenizer.chat_template:
            raise ModelError(
                f"{self.checkpoint.name}: the tokenizer has no chat template, so set text_format "
                f"to the one that the PM was trained on: {', '.join(LAYOUTS)}"
            )
        longest, limit = longest_text(config.get_text_config())
        return self.text.bound(tokenizer, CHAT, longest=longest, limit=limit)

    def refuse_objective(self) -> None:
        """Refuse an objective for a PM that has only one."""
        if self.objective is not None:
            raise ModelError(
                f"{self.checkpoint.name}: objective {self.objective!r} was named, and this PM has "
                "only one, without a name; leave the setting out"
            )

    def note_on_unknown_class(self, known: str) -> str:
        """Return a note that the user's text format is taken for a class of unknown conventions.

        Args:
            known: what is known of other classes, for the message.

        Raises:
            ModelError: the user set no text format.

        """
        named = self.checkpoint.architecture or "no class"
        if self.text.text_format is None:
            raise ModelError(
                f"{self.checkpoint.name}: config.json names {named}, whose conventions are not "
                f"known ({known}), so nothing says on which text it was trained; set text_format "
                f"to one of {', '.join(NAMES)}; the reward is then read at the text's last token"
            )
        return (
            f"{named} has no known conventions: text_format {self.text.text_format} as it was "
            "set, and read at the last token"
        )


@dataclass(frozen=True)
class PmFamily:
    """One family of preference models."""

    name: str
    files: str
    """How its checkpoints are recognised, in words."""
    loads: tuple[str, ...]
    """Heads and classes that load."""
    refuses: Mapping[str, str]
    """What is refused, and why."""
    recognises: Callable[[Checkpoint], bool]
    """Tells from configuration and weight names whether a checkpoint is of this family."""
    load: Callable[[Request], PreferenceModel]
    """Returns the PM, or raises ModelError if weights are missing or an option is refused."""
    head: Callable[[Request], nn.Module] | None = None
    """Reads another objective's head alone, for families whose heads share one body."""
    objectives: Callable[[Checkpoint], tuple[str, ...]] = field(default=lambda _: ())
    """Names of its objectives; empty if there is one."""
