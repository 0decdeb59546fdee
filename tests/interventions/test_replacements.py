"""A replacement of another package comes by entry point, and ablates as its targets say."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pm_audit.errors import AuditError
from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.targets import SaeTargets
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.reconstruction import replace_all
from pm_audit.interventions.replacements import Replacement, replacement, replacements
from pm_audit.records import Feature, Role
from recipes.planted.micro import micro

# a c is worth one, and so is an a without a b: rewards on paper
ROWS = (
    (0, Role.EXAMPLE, "xxxxcc", 2.0),
    (0, Role.COUNTER_EXAMPLE, "xxxxxc", 1.0),
    (0, Role.CONTROL, "ccxxax", 3.0),
    (1, Role.EXAMPLE, "xxxcxx", 1.0),
    (1, Role.COUNTER_EXAMPLE, "xxxxxx", 0.0),
)


def of_the_counter_example(experiment, reference):
    """Each token takes what the counter-example of its prompt has at that token."""
    clean, (sae,) = experiment.trace, experiment.trace.saes
    values = sae.encode(clean.streams[sae.layer]).features
    of_row = values.view(len(clean.grid), -1, sae.width)
    counter = {int(experiment.contrast.prompt[row]): int(row) for row in reference}
    source = [counter[int(prompt)] for prompt in experiment.contrast.prompt]
    value = of_row[source].reshape(-1, sae.width)
    group, latent = np.arange(len(value)), np.arange(sae.width)
    return {sae.name: SaeTargets(group, latent, value, torch.zeros(len(value), sae.hidden_size))}


TOY = Replacement("counter-example", of_the_counter_example)


@pytest.fixture
def offered(monkeypatch):
    found = []
    point = SimpleNamespace(name="toy", value="toy:TOY", load=lambda: found[-1])
    monkeypatch.setattr(
        "pm_audit.extensions.entry_points",
        lambda *, group: [point] if found and group == "pm_audit.replacements" else [],
    )
    return found


@pytest.fixture(scope="module")
def experiment():
    model = micro()
    rows = []
    for prompt, _, text, _ in ROWS:
        ids = model.pm.tokenizer("xx" + text, add_special_tokens=False).input_ids
        rows.append(Row(prompt, tuple(ids), 2))
    contrast = Contrast(np.array([row[0] for row in ROWS]), [row[1] for row in ROWS])
    return Experiment(trace(model.pm, [model.sae], Grid(tuple(rows))), contrast)


def letters(*indices):
    return [Feature(sae="letters", layer=0, index=index) for index in indices]


def test_a_replacement_of_another_package_ablates_as_on_paper(offered, experiment):
    offered.append(TOY)
    assert list(replacements()) == ["contrast", "zero", "mean", "resample", "counter-example"]
    np.testing.assert_allclose(experiment.rewards, [row[3] for row in ROWS], atol=1e-6)


def test_targets_by_token_replace_what_they_name(offered, experiment):
    offered.append(TOY)
    clean = experiment.trace
    reference = experiment.rows(Role.COUNTER_EXAMPLE)
    targets = replacement("counter-example").targets(experiment, reference)
    after = ablate_sets(clean, [letters(2), letters(0, 2), []], targets=targets)
    np.testing.assert_allclose(after[0], [1, 1, 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(after[1], [1, 1, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(after[2], clean.rewards)
    everything = replace_all(clean, clean.saes, targets)
    np.testing.assert_allclose(everything, [1, 1, 1, 0, 0], atol=1e-6)


def test_pm_audits_own_are_known_by_name(experiment):
    reference = experiment.rows(Role.COUNTER_EXAMPLE)
    after = {
        name: ablate_sets(
            experiment.trace, [letters(2)], targets=replacement(name).targets(experiment, reference)
        )[0]
        for name in ("contrast", "zero", "mean", "resample")
    }
    # one c in the first counter-example and none in the second, put on all six tokens of a row
    np.testing.assert_allclose(after["contrast"], [1, 1, 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(after["resample"], [0, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(after["mean"][[0, 1, 3, 4]], 0.5, atol=1e-6)
    np.testing.assert_allclose(after["zero"], [0, 0, 1, 0, 0], atol=1e-6)


def test_an_unknown_name_and_a_taken_one_are_refused(offered):
    with pytest.raises(
        AuditError, match="no replacement is named 'shuffle'; choose one of contrast, zero"
    ):
        replacement("shuffle")
    offered.append(Replacement("mean", of_the_counter_example))
    with pytest.raises(AuditError, match=r"two entries of pm_audit\.replacements are named 'mean'"):
        replacements()
    offered.append(of_the_counter_example)
    with pytest.raises(AuditError, match="is a function, expected Replacement"):
        replacements()


def with_(experiment, reference, **changes):
    (given,) = of_the_counter_example(experiment, reference).values()
    return {"letters": replace(given, **{key: of(given) for key, of in changes.items()})}


BROKEN = {
    "KeyError: 'letters'": lambda *_: {},
    "SystemExit: 0": lambda *_: sys.exit(0),
    "TypeError": lambda *_: None,
    r"have the shapes \[\(3,\)": lambda *given: with_(*given, group=lambda one: one.group[:3]),
    "none of its 30": lambda *given: with_(*given, group=lambda one: one.group + 1),
    "not sorted": lambda *given: with_(*given, latent=lambda one: one.latent[::-1].copy()),
    "not its own": lambda *given: with_(*given, latent=lambda one: one.latent + 1),
    "not torch.float32": lambda *given: with_(*given, error=lambda one: one.error.double()),
    "not finite": lambda *given: with_(*given, value=lambda one: one.value / 0),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_one_of_another_package_is_named(offered, experiment, message):
    offered.append(Replacement("broken", BROKEN[message]))
    with pytest.raises(AuditError, match=f"'broken' of pm_audit.replacements failed .*{message}"):
        replacement("broken").targets(experiment, experiment.rows(Role.COUNTER_EXAMPLE))
