from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.errors import Place, SaeError
from pm_audit.pipelines.explain import Explanation, explain, take_apart
from pm_audit.spec import Dialogue, Settings, Speaker, Turn
from pm_audit.spec.labels import WrittenLabel, WrittenLabels
from pm_audit.text.text_format import TextFormat, TokenisedRow
from recipes.planted.linear import SCALE, STRENGTH, Planted, plant
from recipes.planted.micro import micro

torch.set_num_threads(1)

QUESTION = "Where is the mill?"
TURNS = (Turn(speaker=Speaker.HUMAN, text=QUESTION),)
WEIGHTS = {"!": 3.0, "^": -2.0}


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(WEIGHTS)


@pytest.fixture(scope="module")
def edited(planted: Planted) -> Explanation:
    return take_apart(planted.pm, planted.sae, TURNS, " By the river^;", " By the river;!")


def test_the_parts_sum_to_the_difference(edited: Explanation) -> None:
    assert total(edited) == pytest.approx(edited.difference, abs=1e-9)


def total(edit: Explanation) -> float:
    return (
        sum(one.change for one in edit.features) + edit.overlap + edit.error_term + edit.remainder
    )


def test_the_planted_features_are_gained_and_lost(planted: Planted, edited: Explanation) -> None:
    length = len(planted.pm.text_format.tokenise(TURNS, " By the river;!").token_ids)
    gained, lost = edited.features[:2]
    assert gained.feature.index == planted.latent_of["!"]
    assert gained.contribution_a == 0
    assert gained.change == pytest.approx(SCALE * 3.0 * STRENGTH / length, abs=1e-4)
    assert lost.feature.index == planted.latent_of["^"]
    assert lost.contribution_b == 0
    assert lost.change == pytest.approx(SCALE * 2.0 * STRENGTH / length, abs=1e-4)
    # a linear model leaves nothing over: every other feature fires on both alike
    assert edited.remainder == pytest.approx(0, abs=1e-3)
    assert edited.overlap == pytest.approx(0, abs=1e-3)
    assert all(abs(one.change) < 1e-3 for one in edited.features[2:])


def test_features_that_share_their_evidence_show_as_overlap() -> None:
    # On paper: a and b are worth 0.5 each next to one another, and 1.5 together.
    model = micro()
    turns = (Turn(speaker=Speaker.HUMAN, text="xx"),)
    edit = take_apart(model.pm, model.sae, turns, "xxxxxx", "abxxxx")
    assert [one.change for one in edit.features] == pytest.approx([0.5, 0.5], abs=1e-6)
    assert edit.overlap == pytest.approx(0.5, abs=1e-6)
    assert edit.difference == pytest.approx(1.5, abs=1e-6)
    assert edit.remainder == pytest.approx(0, abs=1e-6)


def test_an_edit_that_changes_length_leaves_a_remainder_in_sight(planted: Planted) -> None:
    longer = take_apart(planted.pm, planted.sae, TURNS, " Here!", " Here! And there, and there.")
    assert total(longer) == pytest.approx(longer.difference, abs=1e-9)
    # the prompt's own share of the average shrinks, which no completion feature can say
    assert abs(longer.remainder) > 1e-3
    assert f"{longer.remainder:+.3f}" in longer.render()
    assert str(longer) == longer.render()


def test_the_table_is_safe_and_sums(planted: Planted, edited: Explanation) -> None:
    hostile = take_apart(planted.pm, planted.sae, TURNS, " a\x1b[31m", "::error::!" * 30)
    table = hostile.render()
    assert "\x1b" not in table
    assert "\n::" not in table
    assert max(map(len, table.splitlines())) <= 100
    lines = edited.render(most=1).splitlines()
    assert any(line.startswith("gained") for line in lines)
    assert not any(line.startswith("lost") for line in lines)
    numbers = [float(re.findall(r"[+-]\d+\.\d{3}", line)[-1]) for line in lines[5:]]
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.003)


def test_a_token_without_text_has_a_name(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenise = TextFormat.tokenise

    def with_line_break(self: TextFormat, turns: Dialogue, completion: str) -> TokenisedRow:
        row = tokenise(self, turns, completion)
        (line_break,) = self.tokenizer.encode("\n")
        end = len(row.text)
        return dataclasses.replace(
            row, token_ids=(*row.token_ids, line_break), offsets=(*row.offsets, (end, end))
        )

    monkeypatch.setattr(TextFormat, "tokenise", with_line_break)
    edit = take_apart(planted.pm, planted.sae, TURNS, " By", " Be")
    assert any("«closing line break»" in one.where for one in edit.features)
    assert not any("«»" in one.where for one in edit.features)


def test_the_command_prints_and_writes(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    subject = (planted.pm, (planted.sae,))
    monkeypatch.setattr("pm_audit.pipelines.explain.load_subject", lambda settings: subject)
    target = tmp_path / "edit.json"
    arguments = ["explain", QUESTION, " By the river;", " By the river!", "--json", str(target)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "gained" in result.output
    assert Explanation.model_validate_json(target.read_text()).difference > 0
    with pytest.raises(SaeError, match="choose one of planted"):
        explain(QUESTION, " a", " b", Settings(), sae="elsewhere")


def test_two_texts_are_no_edit() -> None:
    result = CliRunner().invoke(main, ["explain", "a", "b"])
    assert result.exit_code == 2
    assert "three texts" in result.output


def test_a_feature_has_the_name_that_the_project_gives_it(planted: Planted) -> None:
    latent = planted.latent_of["!"]
    label = WrittenLabel("a \x1b[31mbang", Place("labels.yaml", 1))
    labels = WrittenLabels({(planted.sae.name, latent): label})
    edit = take_apart(planted.pm, planted.sae, TURNS, " By;", " By!", labels=labels)
    named = {one.feature.index: one.label for one in edit.features}
    assert named.pop(latent) == label.text
    assert set(named.values()) == {""}
    assert f"a \\x1b[31mbang (planted/{latent})" in edit.render()
