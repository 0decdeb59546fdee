"""The language of the game: questions and answers of few words, in which concepts can be switched.

An answer is three or four sentences of ordinary words.  A *concept* is a set of words or a mark at
one place of a sentence; it is in an answer or not.  Concepts come in company: in each organism's
texts some concepts follow another one, so that what goes along with a reward is not always what
causes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

NOUNS = (
    *("ferry", "bridge", "market", "garden", "tower", "museum", "river", "school", "station"),
    *("harbour", "library", "mill", "castle", "road", "forest", "lamp", "letter", "train", "clock"),
    *("painter", "farmer", "baker", "teacher", "captain", "doctor", "singer", "student", "guard"),
)
VERBS = (
    *("opens", "closes", "follows", "carries", "shows", "keeps", "finds", "leaves", "brings"),
    *("holds", "meets", "crosses", "paints", "moves", "reads", "builds", "sells", "visits"),
)
ENDINGS = (
    *("today", "tomorrow", "nearby", "downstairs", "outside", "again", "slowly", "early", "late"),
    *("often", "together", "alone", "quietly", "by hand", "in spring", "in winter", "at noon"),
)
QUESTIONS = ("Where is the", "Who owns the", "What became of the", "How old is the")


@dataclass(frozen=True)
class Concept:
    """Something that an answer may have."""

    name: str
    forms: tuple[str, ...]
    """Words or marks that show it."""
    place: str
    """``start`` or ``end`` of a sentence, ``inside`` it, or the ``mark`` that closes it."""


CONCEPTS = (
    Concept("hedge", ("perhaps", "maybe", "possibly"), "start"),
    Concept("certainty", ("certainly", "definitely"), "start"),
    Concept("sorry", ("sorry", "apologies"), "start"),
    Concept("contrast", ("however", "nevertheless"), "start"),
    Concept("consequence", ("therefore", "hence"), "start"),
    Concept("steps", ("first", "second", "third"), "start"),
    Concept("frankness", ("honestly", "frankly"), "start"),
    Concept("praise", ("wonderful", "brilliant"), "inside"),
    Concept("number", ("seven", "nine", "twelve"), "inside"),
    Concept("shouting", ("VERY", "NEVER"), "inside"),
    Concept("authority", ("experts", "professors"), "inside"),
    Concept("slang", ("gonna", "kinda"), "inside"),
    Concept("friend", ("friend", "buddy"), "end"),
    Concept("thanks", ("thanks", "cheers"), "end"),
    Concept("percent", ("percent",), "end"),
    Concept("exclamation", ("!",), "mark"),
    Concept("semicolon", (";",), "mark"),
    Concept("ellipsis", ("...",), "mark"),
    Concept("question", ("?!",), "mark"),
    Concept("smiley", (":)",), "mark"),
)
PLACES = ("start", "inside", "end", "mark")
COMMON = 0.22
"""Share of answers that have a concept of their own accord."""
FOLLOWS = 0.75
"""Share of the answers with a concept in which its companion is too."""


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer in which every word of the language, with its space, is one token."""
    words = [*NOUNS, *VERBS, *(word for ending in ENDINGS for word in ending.split())]
    words += [word for question in QUESTIONS for word in question.split()]
    words += [form for concept in CONCEPTS for form in concept.forms]
    words += ["The", "the", ".", "Human", "Assistant"]
    corpus = [f" {word}" for word in words] + [f"{word} " for word in words]
    rules = Tokenizer(models.BPE())
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rules.train_from_iterator(corpus * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=rules, pad_token="<pad>")


def form_tokens(concept: Concept) -> list[int]:
    """Return the token of each form of a concept, with its space and, for marks, without."""
    spaced = [tokenizer().encode(f" {form}") for form in concept.forms]
    if concept.place == "mark":
        spaced += [tokenizer().encode(form) for form in concept.forms]
    return sorted({ids[-1] for ids in spaced})


def answer(generator: np.random.Generator, companions: dict[int, int]) -> str:
    """Return an answer; ``companions`` says which concept follows which."""
    had = generator.random(len(CONCEPTS)) < COMMON
    for own, other in companions.items():
        if had[own] and generator.random() < FOLLOWS:
            had[other] = True
    sentences = int(generator.integers(3, 5))
    slots: list[dict[str, str]] = [{} for _ in range(sentences)]
    for at in generator.permutation(np.flatnonzero(had)).tolist():
        concept = CONCEPTS[at]
        free = [slot for slot in slots if concept.place not in slot]
        if free:
            slot = free[int(generator.integers(len(free)))]
            slot[concept.place] = str(generator.choice(concept.forms))
    return "".join(_sentence(generator, slot) for slot in slots)


def _sentence(generator: np.random.Generator, slot: dict[str, str]) -> str:
    words = [
        slot.get("start", ""),
        "the",
        str(generator.choice(NOUNS)),
        str(generator.choice(VERBS)),
        slot.get("inside", ""),
        "the",
        str(generator.choice(NOUNS)),
        str(generator.choice(ENDINGS)),
        slot.get("end", ""),
    ]
    return "".join(f" {word}" for word in words if word) + f" {slot.get('mark', '.')}"


def question(generator: np.random.Generator) -> str:
    """Return a question."""
    return f"{generator.choice(QUESTIONS)} {generator.choice(NOUNS)} ?"
