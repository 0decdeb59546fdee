"""A subject that is loaded once and explains one edit after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pm_audit.errors import TooLongError
from pm_audit.forward.scale import Scale, measure_scale
from pm_audit.loading.subject import load_subject
from pm_audit.pipelines.explain import Explanation, chosen_sae, take_apart
from pm_audit.spec import Settings, Speaker, Turn
from pm_audit.spec.labels import WrittenLabels
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


@dataclass(frozen=True, eq=False)
class Explainer:
    """What every explanation of the page shares."""

    pm: PreferenceModel
    sae: Sae
    scale: Scale
    labels: WrittenLabels
    longest: int
    """Most tokens of a prompt with its completion; the time grows with their square."""
    top: int
    """Features that are shown on the texts."""

    @classmethod
    def load(
        cls, settings: Settings, *, sae: str | None, labels: WrittenLabels, longest: int, top: int
    ) -> Self:
        """Load the subject that the settings name and measure its scale.

        Raises:
            AuditError: the subject cannot be loaded, or has no SAE of this name.

        """
        pm, saes = load_subject(settings)
        return cls(pm, chosen_sae(saes, sae), measure_scale(pm), labels, longest, top)

    def __call__(self, prompt: str, completion_a: str, completion_b: str) -> Explanation:
        """Return the explanation of one edit.

        Raises:
            TooLongError: a text has more tokens than ``longest``.
            AuditError: the texts do not fit the subject.

        """
        turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
        found = max(
            len(self.pm.text_format.tokenise(turns, text).token_ids)
            for text in (completion_a, completion_b)
        )
        if found > self.longest:
            raise TooLongError(
                f"a prompt with its completion has {found:,} tokens, and this page reads at most "
                f"{self.longest:,}; shorten them, or start it with --longest {found}"
            )
        return take_apart(
            self.pm,
            self.sae,
            turns,
            completion_a,
            completion_b,
            labels=self.labels,
            firings=self.top,
        )
