from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pm_audit.baselines import Baseline, baselines, run_baselines
from pm_audit.baselines.discovery import Discovery, orthonormal
from pm_audit.baselines.logistic_probe import fit_logistic
from pm_audit.baselines.subspace import ablate_subspace, without
from pm_audit.errors import AuditError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import Trace, trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.replacements import replacements
from pm_audit.judging import rejudge
from pm_audit.pipelines.audit import Auditor
from pm_audit.records import Feature, HypothesisRecord, Role
from pm_audit.report import baselines as report
from pm_audit.report import markdown
from pm_audit.report.markdown_writer import MarkdownWriter
from pm_audit.report.terminal_writer import TerminalWriter
from pm_audit.search.placebo import exchange
from pm_audit.spec import Effect, Settings, expand
from recipes.planted.hypothesis import marks_hypothesis
from recipes.planted.linear import Planted, plant

torch.set_num_threads(1)

HYPOTHESIS = marks_hypothesis("!*~", effect=Effect.RAISES, prompts=6)
SETTINGS = Settings(
    null_sets=2,
    bootstrap_resamples=100,
    sae_baselines=True,
    placebos=2,
    max_features=3,
    candidates=12,
)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant({"!": 3.0, "*": 2.0, "~": 1.0})


@pytest.fixture(scope="module")
def read(planted: Planted) -> tuple[Trace, Contrast]:
    cases = expand(HYPOTHESIS)
    texts = [planted.pm.text_format.tokenise(case.turns, case.text) for case in cases]
    rows = [
        Row(case.prompt, text.token_ids, text.completion_start)
        for case, text in zip(cases, texts, strict=True)
    ]
    contrast = Contrast(np.array([case.prompt for case in cases]), [case.role for case in cases])
    return trace(planted.pm, (planted.sae,), Grid(tuple(rows))), contrast


@pytest.fixture(scope="module")
def audited(planted: Planted) -> tuple[Auditor, HypothesisRecord]:
    auditor = Auditor(SETTINGS, subject=(planted.pm, (planted.sae,)))
    return auditor, auditor.audit(HYPOTHESIS)


def discovery(planted: Planted, clean: Trace, contrast: Contrast) -> Discovery:
    return Discovery(Experiment(clean, contrast), planted.sae, (0, 1, 2), 0)


def test_a_latents_own_direction_does_what_its_ablation_does(
    planted: Planted, read: tuple[Trace, Contrast]
) -> None:
    # latents are orthonormal, so two methods that know nothing of one another must agree
    clean, _ = read
    latents = [planted.latent_of[mark] for mark in "!~"]
    features = tuple(Feature(sae=planted.sae.name, layer=0, index=latent) for latent in latents)
    by_features = ablate_sets(clean, [features])[0]
    by_subspace = ablate_subspace(clean, 0, planted.sae.W_dec[latents])
    np.testing.assert_allclose(by_subspace, by_features, atol=1e-4)
    assert np.abs(by_features - clean.rewards).max() > 1


@pytest.mark.parametrize("replacement", ["contrast", "zero"])
def test_the_saes_own_features_are_put_at_their_targets(
    planted: Planted, read: tuple[Trace, Contrast], replacement: str
) -> None:
    experiment = Experiment(*read)
    targets = replacements()[replacement].targets(experiment, experiment.rows())
    one, two = (
        Feature(sae=planted.sae.name, layer=0, index=planted.latent_of[mark]) for mark in "!~"
    )
    folds = [((0, 1, 2), (3, 4, 5)), ((3, 4, 5), (0, 1, 2))]
    found = run_baselines(experiment, folds, [(one, two), (two,)], targets, most=2, seed=0)
    features = found[0]
    assert features.name == "sae features"
    first, both = (
        ablate_sets(experiment.trace, sets, targets=targets)
        for sets in ([[one], [two]], [[one, two]])
    )
    tested_first = experiment.contrast.of_prompts((3, 4, 5))
    np.testing.assert_allclose(features.rewards[0], np.where(tested_first, *first), atol=1e-5)
    # the second fold found one feature only, and stays at it
    np.testing.assert_allclose(
        features.rewards[1], np.where(tested_first, both[0], first[1]), atol=1e-5
    )


def test_the_subspace_is_set_to_its_reference() -> None:
    torch.manual_seed(0)
    stream, centre = torch.randn(5, 8), torch.randn(8)
    directions = orthonormal(torch.randn(3, 8), most=3)
    after = without(stream, directions, centre)
    torch.testing.assert_close(after @ directions.T, (centre @ directions.T).expand(5, 3))
    rest = torch.eye(8) - directions.T @ directions
    torch.testing.assert_close(after @ rest, stream @ rest)


def test_dependent_directions_are_dropped() -> None:
    rows = torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [1.0, 1.0, 0], [0, 5.0, 0]])
    basis = orthonormal(rows, most=3)
    torch.testing.assert_close(basis, torch.eye(3)[:2])


def test_logistic_regression_finds_the_direction_that_tells_apart() -> None:
    torch.manual_seed(1)
    states = torch.randn(60, 5, dtype=torch.float64)
    labels = (states[:, 2] > 0).double()
    normal = fit_logistic(states - states.mean(0), labels)
    assert int(normal.abs().argmax()) == 2
    assert float(normal[2] / normal.norm()) > 0.9


@pytest.mark.parametrize("name", list(baselines()))
def test_baselines_are_orthonormal_and_look_at_no_held_out_prompt(
    name: str, planted: Planted, read: tuple[Trace, Contrast]
) -> None:
    clean, contrast = read
    found = baselines()[name].find(discovery(planted, clean, contrast), 3)
    assert 1 <= len(found) <= 3
    torch.testing.assert_close(found @ found.T, torch.eye(len(found)), atol=1e-5, rtol=0)
    held_out = ~contrast.of_prompts((0, 1, 2))
    tokens = torch.from_numpy(held_out[clean.row_of_token()])
    stream = clean.streams[0].clone()
    stream[tokens] += 7.0
    rewards = np.where(held_out, -99.0, clean.rewards)
    elsewhere = replace(clean, streams={**clean.streams, 0: stream}, rewards=rewards)
    again = baselines()[name].find(discovery(planted, elsewhere, contrast), 3)
    torch.testing.assert_close(again, found)


def test_the_record_holds_every_baseline_and_follows_from_its_evidence(
    audited: tuple[Auditor, HypothesisRecord],
) -> None:
    auditor, record = audited
    curves = {baseline.name: baseline.points for baseline in record.baselines}
    assert set(curves) == {"sae features", *baselines()}
    assert [point.directions for point in curves["sae features"]] == [1, 2, 3]
    assert curves["sae features"][-1].closure.value == pytest.approx(1.0, abs=1e-3)
    assert curves["sae features"][0].closure.value == pytest.approx(0.5, abs=1e-3)
    assert len(curves["difference of means"]) == 1
    assert curves["learned subspace"][-1].closure.value > 0.5
    assert rejudge(record, method=auditor.method) == record
    assert record.digest == record.computed_digest()


def test_one_flipped_digit_of_a_baseline_is_found(
    audited: tuple[Auditor, HypothesisRecord],
) -> None:
    auditor, record = audited
    baseline = record.evidence.baselines[0]
    doctored = baseline.model_copy(
        update={
            "rewards": (
                (baseline.rewards[0][0] + 1.0, *baseline.rewards[0][1:]),
                *baseline.rewards[1:],
            )
        }
    )
    evidence = record.evidence.model_copy(
        update={"baselines": (doctored, *record.evidence.baselines[1:])}
    )
    changed = record.model_copy(update={"evidence": evidence})
    assert rejudge(changed, method=auditor.method).baselines != record.baselines
    assert changed.computed_digest() != record.digest


def test_a_baseline_of_another_package_runs_as_the_others_do(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted_direction(discovery: Discovery, most: int) -> torch.Tensor:
        return discovery.sae.W_dec[[planted.latent_of["!"]]][:most]

    toy = Baseline("the planted direction", planted_direction)
    point = SimpleNamespace(name="toy", value="toy:TOY", load=lambda: toy)
    monkeypatch.setattr(
        "pm_audit.extensions.entry_points",
        lambda *, group: [point] if group == "pm_audit.baselines" else [],
    )
    settings = SETTINGS.model_copy(update={"placebos": 0})
    record = Auditor(settings, subject=(planted.pm, (planted.sae,))).audit(HYPOTHESIS)
    curves = {baseline.name: baseline.points for baseline in record.baselines}
    assert list(curves)[-1] == toy.name
    # one of three marks, worth half of the gap
    assert [point.closure.value for point in curves[toy.name]] == [pytest.approx(0.5, abs=1e-3)]


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda *_: None, "AttributeError"),
        (lambda found, _: torch.ones(2, len(found.centre)), "not orthonormal"),
        (lambda found, _: torch.eye(len(found.centre)), "expected at most"),
        (lambda *_: torch.eye(1, 5), "1 x 5, expected"),
    ],
)
def test_a_baseline_without_orthonormal_directions_is_refused(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, find: Any, message: str
) -> None:
    toy = Baseline("toy", find)
    monkeypatch.setattr("pm_audit.baselines.registry.registry", lambda *_: {"toy": toy})
    settings = SETTINGS.model_copy(update={"placebos": 0})
    with pytest.raises(AuditError, match=message):
        Auditor(settings, subject=(planted.pm, (planted.sae,))).audit(HYPOTHESIS)


@pytest.mark.parametrize("name", ["sae features", "", "<b>\n", None])
def test_a_baseline_with_an_unsafe_or_taken_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    monkeypatch.setattr(
        "pm_audit.extensions.extensions", lambda *_, **__: (Baseline(name, lambda *_: None),)
    )
    with pytest.raises(AuditError, match="is named"):
        baselines()


def test_the_placebo_finds_little(audited: tuple[Auditor, HypothesisRecord]) -> None:
    _, record = audited
    assert record.placebo_closure is not None
    assert record.closure is not None
    assert record.placebo_closure.high is not None
    assert record.placebo_closure.high < 0.5 * record.closure.value
    for placebo in record.evidence.placebos:
        assert len(placebo.gap) == len(placebo.gap_after) == len(record.evidence.prompts)
        assert abs(np.mean(placebo.gap)) < abs(record.gap.value)


def test_labels_are_exchanged_within_prompts(read: tuple[Trace, Contrast]) -> None:
    _, contrast = read
    exchanged = exchange(contrast, seed=3)
    assert exchanged.role != contrast.role
    for role in Role:
        before, after = contrast.has_role(role), exchanged.has_role(role)
        assert np.array_equal(
            np.bincount(contrast.prompt[before]), np.bincount(contrast.prompt[after])
        )
    controls = contrast.has_role(Role.CONTROL)
    assert np.array_equal(controls, exchanged.has_role(Role.CONTROL))


def test_tables_show_baselines_only_where_they_were_run(
    audited: tuple[Auditor, HypothesisRecord],
) -> None:
    _, record = audited

    def shown(one: HypothesisRecord) -> tuple[str, str]:
        terminal, page = TerminalWriter(), MarkdownWriter()
        report.terminal_lines(terminal, one)
        report.markdown_lines(page, one)
        return terminal.text(), page.text()

    for text in shown(record):
        assert "learned subspace" in text
        assert "searches on exchanged labels" in text
    assert "| sae features | 50% \\(0%\\) |" in shown(record)[1]
    bare = record.model_copy(update={"baselines": (), "placebo_closure": None})
    assert [text.strip() for text in shown(bare)] == ["", ""]
    page = MarkdownWriter()
    markdown._section(page, record, "contrast")
    assert "sae features" in page.text()
