"""Every way to weaken the method or the policy, alone and in pairs: none is green."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from pm_audit.records import AuditRecord, Evidence, MethodRecord, Role, SubjectRecord
from pm_audit.release import compare
from pm_audit.release.method import METHOD, SUBJECT
from pm_audit.report.changes import ChangeKind
from pm_audit.spec import GateMode

BASE = {"search": "budget", "budget_count": 256, "budget_seconds": 60.0, "prompts": 10}
"""A method in which every setting has a value of its own."""

WEAKER_METHOD: dict[str, tuple[Any, ...]] = {
    "prompts": (9, 1),
    "searched_prompts": (199, 12),
    "folds": (3, 5),
    "candidates": (8, 64),
    "search": ("attribution", "exhaustive"),
    "budget_count": (64, 1024),
    "budget_seconds": (1.0, 6000.0, None),
    "extra_scores": (True,),
    "max_features": (2, 50),
    "replacement": ("zero", "mean", "mine"),
    "set_search": ("mask",),
    "collateral_penalty": (0.0, 0.49, 2.0),
    "ig_steps": (1, 16),
    "quadrature": ("left",),
    "null_sets": (1, 19),
    "bootstrap_resamples": (100, 1999),
    "confidence": (0.5, 0.94, 0.999),
    "seed": (1, 12345),
}
STRONGER_METHOD: dict[str, tuple[Any, ...]] = {
    "prompts": (16, None),
    "searched_prompts": (201, 10_000),
    "null_sets": (21, 200),
    "bootstrap_resamples": (20_000,),
    "sae_baselines": (False,),
    "placebos": (0, 10),
}
WEAKER_SUBJECT = {
    "text_format": ("raw",),
    "objective": ("helpfulness",),
    "repair": ("urls at mean",),
    "dtype": ("float16", "bfloat16"),
}
OTHER_SUBJECT = {
    "pm": ("other",),
    "pm_sha256": ("1" * 64,),
    "tokenizer_sha256": ("2" * 64,),
    "layers": (24,),
    "hidden_size": (2048,),
    "device": ("cuda:0",),
}
WEAKER_EXPECT = {
    "gap": ("none", "raises"),
    "closure": (0.59, 0.0),
    "collateral": (0.26, 1.0),
    "margin": (0.26, 9.0),
}
STRONGER_EXPECT = {"closure": (0.61, 1.0), "collateral": (0.24, 0.0), "margin": (0.1,)}
EXPECT = {"gap": "lowers", "closure": 0.6, "collateral": 0.25, "margin": 0.25}
BIAS = {"reason": "known", "ticket": "PM-12", "expires": "2099-01-01", "checks": ["gap"]}
"""Its ticket is one that the baseline knows already, from another hypothesis."""


BY_ROW = ("stages", "alongside", "transfer", "baselines")
"""What holds a number for each row, beside the rows."""


def rows(evidence: Evidence, keep) -> Evidence:
    kept = {"rows": tuple(row for row in evidence.rows if keep(row))}
    return evidence.model_copy(update=dict.fromkeys(BY_ROW, ()) | kept)


def fewer_prompts(evidence: Evidence) -> Evidence:
    last = len(evidence.prompts) - 1
    return rows(evidence, lambda row: row.prompt != last).model_copy(
        update={
            "prompts": evidence.prompts[:-1],
            "folds": tuple(
                fold.model_copy(update={"held_out": tuple(p for p in fold.held_out if p != last)})
                for fold in evidence.folds
            ),
            "placebos": tuple(
                one.model_copy(update={"gap": one.gap[:-1], "gap_after": one.gap_after[:-1]})
                for one in evidence.placebos
            ),
            "null": tuple(null.model_copy(update={"gap": null.gap[:-1]}) for null in evidence.null),
        }
    )


WEAKER_TEXTS = {
    "prompts": fewer_prompts,
    "examples": lambda e: rows(e, lambda r: (r.role, r.variant) != (Role.EXAMPLE, 2)),
    "counter-examples": lambda e: rows(
        e, lambda r: (r.role, r.variant) != (Role.COUNTER_EXAMPLE, 2)
    ),
    "controls": lambda e: rows(e, lambda r: r.role is not Role.CONTROL),
}


def of_method(record: AuditRecord, **update: Any) -> AuditRecord:
    return record.model_copy(update={"method": record.method.model_copy(update=update)})


def of_subject(record: AuditRecord, **update: Any) -> AuditRecord:
    return record.model_copy(update={"subject": record.subject.model_copy(update=update)})


def of_hypothesis(record: AuditRecord, **update: Any) -> AuditRecord:
    first = record.hypotheses[0]
    expect = first.expect | update.pop("expect", {})
    if "texts" in update:
        update["evidence"] = update.pop("texts")(first.evidence)
    first = first.model_copy(update={**update, "expect": expect})
    return record.model_copy(update={"hypotheses": (first, *record.hypotheses[1:])})


def without_an_sae(record: AuditRecord) -> AuditRecord:
    return of_subject(record, saes=record.subject.saes[1:])


def spread(table, change) -> dict[str, Any]:
    return {
        f"{name}={value}": (lambda record, name=name, value=value: change(record, name, value))
        for name, values in table.items()
        for value in values
    }


WEAKER = {
    **spread(WEAKER_METHOD, lambda r, n, v: of_method(r, **{n: v})),
    **spread(WEAKER_SUBJECT, lambda r, n, v: of_subject(r, **{n: v})),
    **spread(WEAKER_EXPECT, lambda r, n, v: of_hypothesis(r, expect={n: v})),
    **{
        f"fewer {name}": (lambda record, texts=texts: of_hypothesis(record, texts=texts))
        for name, texts in WEAKER_TEXTS.items()
    },
    "severity=warn": lambda record: of_hypothesis(record, severity="warn"),
    "a known bias of an old ticket": lambda record: of_hypothesis(record, known_bias=BIAS),
    "fewer saes": without_an_sae,
    "fewer hypotheses": lambda record: record.model_copy(
        update={"hypotheses": record.hypotheses[1:], "manifest": record.manifest[1:]}
    ),
}
STRONGER = {
    **spread(STRONGER_METHOD, lambda r, n, v: of_method(r, **{n: v})),
    **spread(STRONGER_EXPECT, lambda r, n, v: of_hypothesis(r, expect={n: v})),
    "severity=error": lambda record: of_hypothesis(record, severity="error"),
}
OTHER = spread(OTHER_SUBJECT, lambda r, n, v: of_subject(r, **{n: v}))


@pytest.fixture(scope="module")
def baseline(judged) -> AuditRecord:
    return of_method(of_hypothesis(judged, expect=EXPECT), **BASE)


@pytest.mark.parametrize("gate", GateMode)
@pytest.mark.parametrize("way", WEAKER)
def test_each_way_to_weaken_fails_and_is_named(baseline, way, gate):
    comparison = compare(baseline, WEAKER[way](baseline), gate=gate)
    assert comparison.regressed, way
    regressions = [change for change in comparison.changes if change.regression]
    name = way.split("=")[0].removeprefix("fewer ").replace("-", "_")
    known = {"saes": "SAE", "hypotheses": "restore it", "a known bias of an old ticket": "PM-12"}
    assert any(known.get(name, name) in change.message for change in regressions), regressions


def test_each_pair_of_ways_to_weaken_fails(baseline):
    tried = 0
    for one, other in combinations(WEAKER, 2):
        both = WEAKER[one](WEAKER[other](baseline))
        if both == baseline:
            continue
        tried += 1
        assert compare(baseline, both, gate=GateMode.REGRESSIONS).regressed, (one, other)
    assert tried > 1000


@pytest.mark.parametrize("mask", [*STRONGER, *OTHER])
def test_nothing_that_is_stronger_hides_what_is_weaker(baseline, mask):
    masked = (STRONGER | OTHER)[mask](baseline)
    for way, weaken in WEAKER.items():
        if way.split("=")[0] != mask.split("=")[0]:
            assert compare(baseline, weaken(masked), gate=GateMode.REGRESSIONS).regressed, way


@pytest.mark.parametrize("way", [*STRONGER, *OTHER])
def test_what_cannot_make_passing_easier_is_named_and_passes(baseline, way):
    comparison = compare(baseline, (STRONGER | OTHER)[way](baseline), gate=GateMode.REGRESSIONS)
    assert not comparison.regressed
    changed = [change for change in comparison.changes if change.kind is ChangeKind.METHOD_CHANGED]
    name = way.split("=")[0]
    if name in (*METHOD, *SUBJECT) and name not in ("pm", "pm_sha256"):
        assert [change.message.split(" from ")[0] for change in changed] == [name]
    else:
        assert changed == []


def test_each_setting_of_a_record_has_a_rule():
    assert set(METHOD) == set(MethodRecord.model_fields)
    assert set(SUBJECT) == set(SubjectRecord.model_fields) - {"saes"}


def test_a_setting_that_no_rule_knows_fails_on_any_change(baseline, monkeypatch):
    from pm_audit.release import method

    monkeypatch.setattr(method, "METHOD", {})
    other = of_method(baseline, sae_baselines=not baseline.method.sae_baselines)
    assert compare(baseline, other).regressed


def test_a_new_sae_is_named_and_a_lost_one_is_a_weaker_method(baseline):
    fewer = without_an_sae(baseline)
    lost, gained = compare(baseline, fewer), compare(fewer, baseline)
    layer = baseline.subject.saes[0].layer
    assert f"no SAE reads after layer {layer} any more" in lost.changes[0].message
    assert gained.changes[0].kind is ChangeKind.METHOD_CHANGED
    assert not gained.regressed
