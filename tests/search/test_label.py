"""Labels of planted features, which fire on characters that are known."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.records import Feature, LabelSource, Role
from pm_audit.search import Fold
from pm_audit.search.label import PHRASES, label
from pm_audit.search.words import Words
from pm_audit.spec import Speaker, Turn
from recipes.planted.linear import MARKS, plant


@pytest.fixture(scope="module")
def words(planting) -> Words:
    return Words.of(planting.trace, planting.texts)


def labelled(planting, words, latent: int, *, contrast=None, fold=None):
    feature = Feature(sae="planted", layer=0, index=latent)
    return label(feature, words, contrast or planting.contrast, fold or planting.folds[0])


@pytest.mark.parametrize(("mark", "text"), [("!", "“!”"), ("~", "“~”"), ("*", "“**”")])
def test_a_planted_mark_is_named_and_predicts_every_firing(planting, words, mark, text):
    found = labelled(planting, words, planting.latent_of[mark])
    assert found is not None
    assert (found.text, found.source, found.score) == (text, LabelSource.FIRING, 1.0)


def test_a_feature_that_never_fires_has_no_label(planting, words):
    assert labelled(planting, words, planting.latent_of["&"]) is None


def test_the_score_is_the_balanced_accuracy_on_prompts_that_did_not_make_the_label(planting, words):
    """An independent count, text by text, for the features of ordinary letters."""
    clean, held_out = planting.trace, planting.folds[0].held_out
    counted = 0
    for latent in range(len(MARKS), clean.sae("planted").width):
        found = labelled(planting, words, latent)
        if found is None or not re.fullmatch(r"“\w+”(, “\w+”)?", found.text):
            continue  # phrases of several words and names are tested above
        named = re.findall(r"\w+", found.text.casefold())
        features = clean.features["planted"]
        own = features.latent_here == latent
        fired = {
            (clean.row_of_token()[token], clean.grid.layout.completion_position[token])
            for token in features.token_here[own]
        }
        right: dict[bool, list[bool]] = {True: [], False: []}
        for row, text in enumerate(planting.texts):
            if planting.contrast.prompt[row] not in held_out:
                continue
            start = text.offsets[text.completion_start][0]
            for word in re.finditer(r"\w+|[^\w\s]", text.text[start:]):
                inside = range(start + word.start(), start + word.end())
                true = any((row, character) in fired for character in inside)
                said = word[0].casefold() in named
                right[true].append(said is true)
        # a space or line break is a word of its own with one token a byte
        blank = [
            (row, position) in fired
            for row, text in enumerate(planting.texts)
            if planting.contrast.prompt[row] in held_out
            for position in range(text.completion_start, len(text.token_ids))
            if text.text[position].isspace()
        ]
        for true in blank:
            right[true].append(not true)
        assert found.score == pytest.approx((np.mean(right[True]) + np.mean(right[False])) / 2)
        counted += 1
    assert counted >= 5


def test_a_feature_that_fires_alike_on_both_sides_is_named_by_where_it_fires(planting, words):
    decoy = labelled(planting, words, len(MARKS))
    assert decoy is not None
    assert decoy.text.count("“") == PHRASES
    assert not re.search(r"\w", decoy.text)


def test_what_tells_the_sides_apart_is_named_before_what_they_share():
    model = plant({}, seed=3)
    texts = {" the gate, a gate": Role.COUNTER_EXAMPLE, " the gate, a gate, jade": Role.EXAMPLE}
    turns = (Turn(speaker=Speaker.HUMAN, text="Where?"),)
    rows = [model.pm.text_format.tokenise(turns, text) for text in texts] * 4
    prompts = [0, 0, 1, 1, 2, 2, 3, 3]
    grid = Grid(
        tuple(
            Row(prompt, row.token_ids, row.completion_start)
            for prompt, row in zip(prompts, rows, strict=True)
        )
    )
    contrast = Contrast(np.array(prompts), list(texts.values()) * 4)
    spoken = Words.of(trace(model.pm, [model.sae], grid), rows)
    halves = Fold((0, 1), (2, 3))
    letter = model.pm.tokenizer.convert_tokens_to_ids("a")
    embedded = model.pm.decoder.backbone.get_input_embeddings().weight[letter]
    strengths = (embedded @ model.sae.W_enc)[len(MARKS) + 1 :]
    latent = len(MARKS) + 1 + int(strengths.argmax())
    found = label(Feature(sae="planted", layer=0, index=latent), spoken, contrast, halves)
    assert found is not None
    assert "jade" in found.text
    assert "gate" not in found.text


def test_a_single_prompt_leaves_nothing_to_score_on(planting, words):
    everyone = tuple(range(planting.contrast.prompts))
    found = labelled(planting, words, planting.latent_of["!"], fold=Fold(everyone, everyone))
    assert found is not None
    assert (found.text, found.score) == ("“!”", None)


def test_the_label_comes_from_the_discovery_prompts_alone(planting, words):
    held_out = planting.contrast.of_prompts(planting.folds[0].held_out)
    prompt = planting.contrast.prompt.copy()
    roles = list(planting.contrast.role)
    for row in np.flatnonzero(held_out):
        roles[row] = Role.CONTROL
    contrast = Contrast(prompt, roles)
    for mark in "!~*":
        latent = planting.latent_of[mark]
        assert labelled(planting, words, latent, contrast=contrast) == labelled(
            planting, words, latent
        )
