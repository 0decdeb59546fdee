"""A planted PM and texts whose marks it rewards, so that the right span is known."""

import numpy as np
import pytest

from pm_audit.data import Speaker, Turn
from pm_audit.drafts.reading import Reader, Text
from recipes.planted.linear import plant

WORDS = (
    *("ask", "at", "the", "gate", "when", "it", "opens", "and"),
    *("bring", "a", "lamp", "for", "road", "home", "today", "soon"),
)


def planted_texts(count, *, prompts=20, seed=0):
    """Answers of random words with one mark inside and one at the end."""
    generator = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        words = generator.choice(WORDS, 8).tolist()
        at = int(generator.integers(2, 7))
        inside, end = generator.choice(list("!*;;")), generator.choice(list("~;;"))
        answer = f" {' '.join(words[:at])}{inside} {' '.join(words[at:])}{end}"
        turns = (Turn(speaker=Speaker.HUMAN, text=f"Where is house {number % prompts}?"),)
        texts.append(Text(turns, answer))
    return texts


@pytest.fixture(scope="session")
def planted():
    return plant({"!": 1.0, "*": -0.8, "~": 0.6})


@pytest.fixture
def reader(planted):
    return Reader(planted.pm, planted.sae, [planted.latent_of[mark] for mark in "!*~"])
