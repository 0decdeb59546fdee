"""The reference set: ordinary completions whose spread of rewards is the unit sigma.

Rewards compare only within one prompt, so sigma is the standard deviation within prompts, pooled
over them: a PM that likes some prompts better than others is not thereby less sensitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from pm_audit.errors import NumericalError
from pm_audit.spec import Dialogue, Speaker, Turn

FILE = Path(__file__).with_name("reference.yaml")


def reference_texts() -> tuple[tuple[int, Dialogue, str], ...]:
    """Return (prompt's number, prompt, completion) of the reference set."""
    written = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tuple(
        (number, (Turn(speaker=Speaker.HUMAN, text=entry["prompt"]),), completion)
        for number, entry in enumerate(written["prompts"])
        for completion in entry["completions"]
    )


def sigma(prompts: Sequence[int], rewards: npt.NDArray[np.float64]) -> float:
    """Return the pooled within-prompt standard deviation of rewards [row].

    Raises:
        NumericalError: all completions of every prompt get one reward.

    """
    prompt = np.asarray(prompts)
    squares, freedom = 0.0, 0
    for number in np.unique(prompt):
        own = rewards[prompt == number]
        squares += float(np.square(own - own.mean()).sum())
        freedom += len(own) - 1
    spread = float(np.sqrt(squares / freedom))
    if not spread > 0:
        raise NumericalError(
            "the PM gives one reward to all ordinary completions of a prompt; check that its head "
            "was trained and that the text format is the one it was trained on"
        )
    return spread
