"""Audits of preference sets, on a planted PM whose features are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pm_audit.data import read_rows
from pm_audit.errors import ModelError
from pm_audit.judging import rejudge
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Check, HypothesisRecord, Outcome, Role
from pm_audit.report import findings, html, markdown, terminal
from pm_audit.spec import Hypothesis, Prompt, Settings, draw_prompts, load_hypotheses
from recipes.planted.linear import Planted, plant

torch.set_num_threads(1)

LETTERS = "abcdefghijklmnopqrstuvwxyz {}\"'"
FEW = {"null_sets": 3, "bootstrap_resamples": 100, "candidates": 16}


@pytest.fixture(scope="module")
def model() -> Planted:
    return plant({"!": 0.4, "~": 0.4}, seed=1)


def rows(count: int, *, mark: str = "!", seed: int = 0) -> list[dict]:
    """Pairs of answers of the same letters, the chosen one closed by the mark."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        letters = "x" + "".join(generator.choice(list(LETTERS), 20)) + "y"
        question = f"Where is {number}?"
        made.append({"prompt": question, "chosen": letters + mark, "rejected": letters + ";"})
    return made


def hypothesis(pairs: object, **changed: object) -> Hypothesis:
    given = {"name": "marks", "claim": "A mark is preferred.", "effect": "raises"}
    return Hypothesis(**given, pairs=pairs, **changed)


def audited(model: Planted, given: Hypothesis, **settings: object) -> HypothesisRecord:
    auditor = Auditor(Settings(**FEW, **settings), subject=(model.pm, (model.sae,)))
    record = auditor.audit(given)
    assert rejudge(record, method=auditor.method) == record
    return record


@pytest.mark.parametrize("folds", [2, 3])
def test_the_planted_feature_is_found_from_pairs_alone(model, folds):
    record = audited(model, hypothesis(rows(12)), folds=folds)
    for fold in record.evidence.folds:
        assert [feature.index for feature in fold.selected] == [model.latent_of["!"]]
    assert record.outcomes == dict.fromkeys(Check, Outcome.PASS)
    for name, value in {"closure": 1.0, "collateral": 0.0, "stability": 1.0}.items():
        assert getattr(record, name).value == pytest.approx(value, abs=1e-3), name
    assert {row.text for row in record.evidence.rows} == {
        f" {row[side]}" for row in rows(12) for side in ("chosen", "rejected")
    }


def test_pairs_have_no_phrasing_to_leave_out_and_no_template_to_name(model):
    record = audited(model, hypothesis(rows(12)))
    assert record.transfer == record.evidence.transfer == ()
    assert record.transfer_closure is None
    assert not any("phrasing" in warning for warning in record.warnings)
    reasons = {result.check: result.reason for result in record.checks}
    assert "the mean counter-example moves most" in reasons[Check.SPECIFIC]


def test_pairs_of_one_dialogue_are_one_prompt_and_a_text_counts_once(model):
    given = rows(12)
    again = [row | {"rejected": row["rejected"] + ";"} for row in given[:5]]
    record = audited(model, hypothesis([*given, *again]))
    evidence = record.evidence
    assert len(evidence.prompts) == 12
    of_first = [row for row in evidence.rows if row.prompt == 0]
    assert [row.role for row in of_first] == [Role.EXAMPLE] + [Role.COUNTER_EXAMPLE] * 2
    assert findings.prompts(record) == "17 pairs on 12 prompts"
    gap = of_first[0].reward - (of_first[1].reward + of_first[2].reward) / 2
    assert evidence.gaps()[0] == pytest.approx(gap)


def test_a_text_that_the_pm_cannot_read_is_a_row_that_was_skipped(model):
    given = rows(12)
    given[3]["rejected"] += ";" * 600
    given.append({"prompt": "q", "chosen": " ", "rejected": "b"})
    text_format = replace(model.pm.text_format, longest=500)
    short = replace(model, pm=replace(model.pm, text_format=text_format))
    record = audited(short, hypothesis(given))
    pairs = record.evidence.pairs
    assert (pairs.rows, pairs.used) == (13, 11)
    assert pairs.skipped == {"too long": 1, "empty text": 1}
    assert [(one.row, one.reason) for one in pairs.listed] == [(3, "too long"), (12, "empty text")]
    assert "longer than the 500 that the PM reads" in pairs.listed[0].detail
    assert findings.prompts(record) == "11 pairs; 2 skipped (1 too long, 1 empty text)"
    strict = hypothesis({"file": "-", "strict": True}).model_copy(
        update={"pair_set": read_rows(given[:12])}
    )
    with pytest.raises(ModelError, match=r"cannot read 1 of the 12 pairs of <python>.*row 3"):
        audited(short, strict)


def test_all_pairs_too_long_are_an_error_and_no_verdict(model):
    text_format = replace(model.pm.text_format, longest=500)
    short = replace(model, pm=replace(model.pm, text_format=text_format))
    with pytest.raises(ModelError, match="cannot read 12 of the 12 pairs"):
        audited(
            short,
            hypothesis([row | {"chosen": row["chosen"] + ";" * 600} for row in rows(12)]),
        )


def test_a_file_is_filtered_sampled_and_counted_in_every_report(model, tmp_path):
    folder = tmp_path / "hypotheses"
    folder.mkdir()
    given = [row | {"subset": "ab"[at % 2]} for at, row in enumerate(rows(60))]
    lines = [json.dumps(row) for row in [*given, given[0], given[2]]]
    (tmp_path / "set.jsonl").write_text("\n".join([*lines, '{"prompt": "<b>']), encoding="utf-8")
    (folder / "marks.yaml").write_text(
        "name: marks\nclaim: A mark is preferred.\neffect: raises\n"
        "pairs:\n  file: set.jsonl\n  where: {subset: a}\n  sample: {size: 12, seed: 3}\n"
    )
    (read,) = load_hypotheses(["hypotheses"], tmp_path)
    auditor = Auditor(Settings(**FEW), subject=(model.pm, (model.sae,)))
    from pm_audit.pipelines.record import Surroundings, assemble

    record = assemble(Surroundings.of(auditor), [read], [auditor.audit(read)])
    pairs = record.hypotheses[0].evidence.pairs
    assert (pairs.file, pairs.rows, pairs.excluded, pairs.used) == ("set.jsonl", 63, 30, 12)
    assert (pairs.available, pairs.sample_seed) == (30, 3)
    said = "12 of 30 pairs; 3 skipped (2 duplicate, 1 unreadable)"
    assert findings.prompts(record.hypotheses[0]) == said
    assert f"marks: {said}" in terminal.summary(record)
    for page in (markdown.render(record), html.render(record)):
        assert said in page.replace("\\", "")
    assert "is row 0 again" in html.render(record)


def test_few_pairs_name_the_key_that_would_change_it(model):
    record = audited(model, hypothesis(rows(4)))
    assert (
        "only 4 prompts: intervals are unsteady below 10; add rows to <python>" in record.warnings
    )
    found = read_rows(rows(30))
    sample = hypothesis({"file": "set.jsonl", "sample": {"size": 4}}).model_copy(
        update={"pair_set": replace(found, pairs=found.pairs[:4])}
    )
    (warning, *_) = audited(model, sample).warnings
    assert warning.endswith("4 of 30 pairs were tried: raise `size` of the hypothesis' `sample`")


def test_prompts_are_a_seeded_sample_that_other_prompts_do_not_change():
    made = Hypothesis(
        name="n",
        claim="c",
        effect="raises",
        prompts=[f"question {number}" for number in range(30)],
        examples=[" a"],
        counter_examples=[" b"],
    )

    def drawn(of: Hypothesis, seed: int) -> list[str]:
        return [prompt.id for prompt in draw_prompts(of, most=16, seed=seed).prompts]

    first = drawn(made, 0)
    assert len(first) == 16
    assert first == [prompt.id for prompt in made.prompts if prompt.id in first]
    assert first != [prompt.id for prompt in made.prompts[:16]]
    assert first != drawn(made, 1)
    turned = made.model_copy(update={"prompts": made.prompts[::-1]})
    assert drawn(turned, 0) == first[::-1]
    more = made.model_copy(update={"prompts": (*made.prompts, Prompt(id="new", wordings=("?",)))})
    assert len(set(drawn(more, 0)) & set(first)) >= 15
    assert draw_prompts(made, most=30, seed=0) == draw_prompts(made, most=None, seed=0) == made
