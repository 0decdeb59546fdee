"""The release gate on planted changes: each is found and named, and nothing else is."""

from __future__ import annotations

import pytest

from pm_audit.errors import AuditError, RecordError
from pm_audit.records import AuditRecord, Check, Figure, Outcome, Role, Unit
from pm_audit.release import Tolerance, compare
from pm_audit.report import github
from pm_audit.report.changes import ChangeKind, markdown_page, terminal_lines


@pytest.fixture(scope="module")
def record(stored_record_path) -> AuditRecord:
    return AuditRecord.read(stored_record_path)


def changed(record, name, **update) -> AuditRecord:
    hypotheses = tuple(
        h.model_copy(update=update) if h.name == name else h for h in record.hypotheses
    )
    return record.model_copy(update={"hypotheses": hypotheses})


def shifted(record, name, amount) -> AuditRecord:
    """Move the examples of one hypothesis by a reward, in evidence and figures alike."""
    hypothesis = next(h for h in record.hypotheses if h.name == name)
    rows = tuple(
        row.model_copy(update={"reward": row.reward + amount}) if row.role is Role.EXAMPLE else row
        for row in hypothesis.evidence.rows
    )
    sigma = hypothesis.evidence.sigma
    moved = hypothesis.gap_sigma.model_copy(
        update={
            part: getattr(hypothesis.gap_sigma, part) + amount / sigma
            for part in ("value", "low", "high")
        }
    )
    evidence = hypothesis.evidence.model_copy(update={"rows": rows, "transfer": ()})
    return changed(record, name, evidence=evidence, gap_sigma=moved)


def without_the_first(record) -> AuditRecord:
    return record.model_copy(
        update={"hypotheses": record.hypotheses[1:], "manifest": record.manifest[1:]}
    )


def kinds(comparison) -> list[tuple[str, ChangeKind]]:
    return [(change.hypothesis, change.kind) for change in comparison.changes]


def test_the_same_pm_twice_passes(record):
    comparison = compare(record, record)
    assert comparison.changes == ()
    assert not comparison.regressed
    assert comparison.compared == 5
    assert terminal_lines(comparison)[-1] == "no regression in 5 hypotheses against the baseline"


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("youre-right", 0.5, [("youre-right", ChangeKind.GAP_GROWN)]),
        ("youre-right", -0.5, [("youre-right", ChangeKind.GAP_SHRUNK)]),
        ("urls", -0.5, [("urls", ChangeKind.GAP_GROWN)]),
        ("urls", 0.5, [("urls", ChangeKind.GAP_SHRUNK)]),
        ("youre-right", -2.0, [("youre-right", ChangeKind.GAP_GROWN)]),
        ("youre-right", 0.05, []),
    ],
    ids=["grown", "shrunk", "grown below zero", "shrunk below zero", "turned round", "a trifle"],
)
def test_a_gap_that_moved(record, name, amount, expected):
    comparison = compare(record, shifted(record, name, amount))
    assert kinds(comparison) == expected
    assert comparison.regressed is any(kind is ChangeKind.GAP_GROWN for _, kind in expected)


def test_a_gap_that_moved_within_noise_is_no_change(record):
    noisy = shifted(record, "youre-right", 0.3)
    hypothesis = next(h for h in noisy.hypotheses if h.name == "youre-right")
    rows = tuple(
        row.model_copy(update={"reward": row.reward + (3.0 if row.prompt % 2 else -3.0)})
        if row.role is Role.EXAMPLE
        else row
        for row in hypothesis.evidence.rows
    )
    evidence = hypothesis.evidence.model_copy(update={"rows": rows})
    assert kinds(compare(record, changed(noisy, "youre-right", evidence=evidence))) == []


def test_gaps_of_other_prompts_are_compared_by_their_intervals(record):
    hypothesis = record.hypotheses[1]
    other = hypothesis.evidence.model_copy(
        update={"prompts": tuple(f"{text}?" for text in hypothesis.evidence.prompts)}
    )
    grown = Figure(value=-3.0, low=-3.1, high=-2.9, unit=Unit.SIGMA)
    comparison = compare(record, changed(record, "urls", evidence=other, gap_sigma=grown))
    assert kinds(comparison) == [
        ("urls", ChangeKind.NOT_COMPARABLE),
        ("urls", ChangeKind.GAP_GROWN),
    ]
    assert "the texts are not the baseline's" in comparison.changes[0].message
    assert "intervals combined" in comparison.changes[1].message


@pytest.mark.parametrize(
    ("figure", "lost", "gained", "regresses"),
    [
        ("closure", "closure lost", "closure gained", True),
        ("transfer_closure", "transfer lost", "transfer gained", True),
        ("sufficiency", "sufficiency lost", "sufficiency gained", True),
        ("stability", "stability lost", "stability gained", False),
    ],
)
def test_how_well_a_gap_is_explained(record, figure, lost, gained, regresses):
    high, low, trifle, noisy = (
        changed(
            record,
            "i-dont-know",
            **{figure: Figure(value=value, low=value - half, high=value + half, unit=Unit.SHARE)},
        )
        for value, half in ((0.82, 0.05), (0.4, 0.06), (0.75, 0.001), (0.4, 0.5))
    )
    worse, better = compare(high, low), compare(low, high)
    assert kinds(worse) == [("i-dont-know", ChangeKind(lost))]
    assert worse.changes[0].message == "from 82% to 40%"
    assert worse.regressed is regresses
    assert kinds(better) == [("i-dont-know", ChangeKind(gained))]
    assert not better.regressed
    assert kinds(compare(high, trifle)) == kinds(compare(high, noisy)) == []
    unmeasured = changed(record, "i-dont-know", **{figure: None})
    assert not compare(unmeasured, high).regressed


def test_a_feature_that_became_causal_is_named(record):
    features = tuple(
        feature.model_copy(
            update={
                "folds": (0, 1),
                "contribution": Figure(value=-1.0, low=-1.1, high=-0.9, unit=Unit.REWARD),
            }
        )
        if feature.index == 44
        else feature
        for feature in record.hypotheses[1].features
    )
    comparison = compare(record, changed(record, "urls", features=features))
    assert kinds(comparison) == [("urls", ChangeKind.FEATURE_BECAME_CAUSAL)]
    assert "(resid_6/44) became causal" in comparison.changes[0].message
    assert comparison.regressed
    back = compare(changed(record, "urls", features=features), record)
    assert kinds(back) == [("urls", ChangeKind.FEATURE_NO_LONGER_CAUSAL)]
    assert not back.regressed


def test_features_of_other_saes_are_not_compared_by_index(record):
    saes = tuple(sae.model_copy(update={"sha256": "0" * 64}) for sae in record.subject.saes)
    other = record.model_copy(update={"subject": record.subject.model_copy(update={"saes": saes})})
    comparison = compare(record, other)
    assert {kind for _, kind in kinds(comparison)} == {ChangeKind.NOT_COMPARABLE}
    assert not comparison.regressed


def test_missing_and_unused_baselines_fail(record):
    fewer = without_the_first(record)
    gone = compare(record, fewer)
    assert kinds(gone) == [("i-dont-know", ChangeKind.HYPOTHESIS_GONE)]
    assert gone.regressed
    new = compare(fewer, record)
    assert kinds(new) == [("i-dont-know", ChangeKind.NO_BASELINE)]
    assert new.regressed


def test_a_worse_check_fails_even_where_it_is_excused(record):
    checks = tuple(
        c.model_copy(update={"outcome": Outcome.FAIL}) if c.check is Check.SPECIFIC else c
        for c in record.hypotheses[0].checks
    )
    comparison = compare(record, changed(record, "i-dont-know", checks=checks))
    assert kinds(comparison) == [("i-dont-know", ChangeKind.CHECK_WORSE)]
    assert comparison.regressed


def test_severity_warn_is_shown_and_does_not_fail(record):
    grown = shifted(record, "length", 2.0)
    comparison = compare(record, grown)
    assert kinds(comparison) == [("length", ChangeKind.GAP_GROWN)]
    assert not comparison.regressed


def test_a_partial_record_proves_nothing(record):
    partial = record.model_copy(update={"complete": False})
    with pytest.raises(RecordError, match="baseline is partial"):
        compare(partial, record)
    with pytest.raises(RecordError, match="new record is partial"):
        compare(record, partial)


@pytest.mark.parametrize("of", ["hypotheses", "manifest"])
def test_a_record_that_only_says_that_it_is_complete_proves_nothing(record, of):
    less = record.model_copy(update={of: getattr(record, of)[1:]})
    twice = record.model_copy(update={of: (*getattr(record, of), getattr(record, of)[0])})
    for torn in (less, twice):
        with pytest.raises(RecordError, match="does not hold each check of its manifest once"):
            compare(torn, record)


@pytest.mark.parametrize(
    ("part", "update", "because"),
    [
        ("evidence", {"sigma": 0.0}, "sigma is 0"),
        ("evidence", {"rows": ()}, "prompt 0 has no example row"),
        ("expect", {"closure": None}, "`expect` cannot be read"),
    ],
)
def test_a_record_that_nothing_can_be_computed_from_is_refused(record, part, update, because):
    whole = getattr(record.hypotheses[1], part)
    torn = whole | update if isinstance(whole, dict) else whole.model_copy(update=update)
    other = changed(record, "urls", **{part: torn})
    for pair in ((record, other), (other, record)):
        with pytest.raises(AuditError, match=because):
            compare(*pair)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"expect": {"gap": "none"}}, "gap from lowers to none"),
        ({"expect": {"closure": 0.1}}, "closure from 0.6 to 0.1"),
        ({"expect": {"collateral": 0.9}}, "collateral from 0.25 to 0.9"),
        ({"expect": {"margin": 9.0}}, "margin from 0.25 to 9.0"),
        ({"severity": "warn"}, "severity from error to warn"),
        ({"expect": {"closure": 0.9}}, None),
    ],
    ids=str,
)
def test_a_policy_that_asks_for_less_is_a_regression(record, update, words):
    asked = {"gap": "lowers", "closure": 0.6, "collateral": 0.25, "margin": 0.25}
    before = changed(record, "urls", expect=asked, severity="error")
    expect = asked | update.get("expect", {})
    comparison = compare(before, changed(before, "urls", **(update | {"expect": expect})))
    assert [change.message.split(";")[0] for change in comparison.changes] == [words] * bool(words)
    assert comparison.regressed is bool(words)


def test_tolerances_are_the_callers(record):
    grown = shifted(record, "youre-right", 0.5)
    assert not compare(record, grown, tolerance=Tolerance(gap=1.0)).regressed


def test_views_name_the_regression(record):
    comparison = compare(record, shifted(record, "urls", -0.5))
    assert any(line.startswith("! urls: gap grown: from") for line in terminal_lines(comparison))
    assert "| regression | urls | gap grown |" in markdown_page(comparison)
    first = github.commands(record, comparison)[0]
    assert first.startswith("::error file=hypotheses/urls.yaml,line=2,title=urls%3A gap grown")


@pytest.mark.parametrize("planted", [False, True])
def test_the_gate_of_a_run(project, pytester, record, planted):
    project("i-dont-know")
    baseline = ("--pm-audit", "--pm-audit-baseline", "base.json")
    assert pytester.runpytest_subprocess(*baseline, "--pm-audit-update-baseline").ret == 0
    if planted:
        shifted(record, "i-dont-know", -2.0).write(pytester.path / "stored_record.json")
    result = pytester.runpytest_subprocess(*baseline)
    assert result.ret == (1 if planted else 0)
    if planted:
        result.stdout.fnmatch_lines(["REGRESSED: 1 regression *", "! i-dont-know: gap grown: *"])


def test_features_are_not_compared_where_one_side_searched_for_none(record):
    first = record.hypotheses[0]
    evidence = first.evidence.model_copy(update={"folds": (), "null": ()})
    unsearched = changed(record, first.name, evidence=evidence, features=())
    for baseline, new, which in (
        (record, unsearched, "new record"),
        (unsearched, record, "baseline"),
    ):
        comparison = compare(baseline, new)
        found = [change for change in comparison.changes if change.hypothesis == first.name]
        assert [change.kind for change in found] == [ChangeKind.NOT_COMPARABLE]
        assert f"the {which} found no gap" in found[0].message
    assert compare(unsearched, unsearched).changes == ()
