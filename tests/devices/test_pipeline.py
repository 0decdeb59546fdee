"""The whole audit on a second device: whatever mixes devices fails, and the verdicts are the CPU's.

The device is ``accelerator.py``'s; PMs and SAEs are loaded from disk onto it, as a run does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pm_audit.errors import ModelError
from pm_audit.loading.subject import load_subject
from pm_audit.pipelines.audit import Auditor
from pm_audit.pipelines.doctor import doctor
from pm_audit.pipelines.explain import explain
from pm_audit.pipelines.feature_index import index_features
from pm_audit.records import HypothesisRecord
from pm_audit.spec import Effect, Settings
from pm_audit.subject.heads import LinearHead
from pm_audit.text.text_format import CHAT
from recipes.planted.hypothesis import marks_hypothesis
from tests.devices.accelerator import DEVICE, OnDevice, accelerator
from tests.devices.subjects import OBJECTIVE, write_pm, write_sae

torch.set_num_threads(1)

SMALL = {
    "candidates": 6,
    "null_sets": 2,
    "bootstrap_resamples": 100,
    "max_features": 2,
    "ig_steps": 2,
}
EVERYTHING = {"sae_baselines": True, "placebos": 1, "extra_scores": True}
HYPOTHESIS = marks_hypothesis("!!!!", effect=Effect.RAISES, prompts=6, counter_marks="????")
"""Every PM of these tests shows a gap on it, so that features are searched for."""

CASES = [
    ("linear", ("standard",)),
    ("linear", ("topk", "gated")),
    ("labels", ("jumprelu",)),
    ("layers", ("gated",)),
    ("value", ("topk",)),
    ("mean", ("standard",)),
    ("gated", ("jumprelu",)),
    ("distribution", ("topk",)),
    ("latents", ("standard",)),
]


@dataclass(frozen=True)
class Subject:
    """Where a PM and its SAEs lie, and which of its rewards is audited."""

    pm: Path
    saes: tuple[Path, ...]
    objective: str | None

    def settings(self, device: str, **changes: object) -> Settings:
        """Return the settings of a small audit on this device."""
        named = {"pm": str(self.pm), "saes": tuple(map(str, self.saes)), "text_format": CHAT}
        return Settings(
            **{**SMALL, **named, "objective": self.objective, "device": device, **changes}
        )


def write(folder: Path, head: str, kinds: tuple[str, ...] = ("standard",)) -> Subject:
    saes = tuple(write_sae(folder / kind, kind, layer=at) for at, kind in enumerate(kinds))
    return Subject(write_pm(folder / "pm", head), saes, OBJECTIVE.get(head))


def audited(settings: Settings) -> HypothesisRecord:
    return Auditor(settings).audit(HYPOTHESIS)


def outcome(record: HypothesisRecord) -> list[object]:
    return [
        *((check.check, check.outcome) for check in record.checks),
        *((feature.sae, feature.index, feature.folds) for feature in record.features),
    ]


@pytest.mark.parametrize(("head", "kinds"), CASES)
def test_an_audit_mixes_no_devices_and_gives_the_cpus_record(tmp_path, head, kinds):
    subject = write(tmp_path, head, kinds)
    plain = audited(subject.settings("cpu"))
    with accelerator():
        record = audited(subject.settings(DEVICE))
    same(record, plain)


def test_baselines_placebos_and_extra_scores_mix_no_devices(tmp_path):
    subject = write(tmp_path, "linear", ("topk",))
    plain = audited(subject.settings("cpu", **EVERYTHING))
    with accelerator():
        record = audited(subject.settings(DEVICE, **EVERYTHING))
    assert record.evidence.baselines
    assert record.evidence.placebos
    same(record, plain)


def same(record: HypothesisRecord, plain: HypothesisRecord) -> None:
    """Assert that both found the same features, by the same rewards up to rounding."""
    assert record.closure is not None
    assert outcome(record) == outcome(plain)
    ours, theirs = figures(record), figures(plain)
    assert ours.keys() == theirs.keys()
    for name, found in ours.items():
        np.testing.assert_allclose(found, theirs[name], atol=2e-5, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(record.closure.value, plain.closure.value, atol=1e-4)


def figures(record: HypothesisRecord) -> dict[str, tuple[float, ...]]:
    """Return every reward and gap of the evidence, by name."""
    evidence = record.evidence
    found = {
        "reward": tuple(row.reward for row in evidence.rows),
        "ablated": tuple(row.ablated for row in evidence.rows),
    }
    found |= {one.replacement: one.rewards for one in evidence.alongside}
    for one in evidence.stages:
        for stage in ("selected", "others", "features", "stream", "error"):
            found[f"{one.sae}, {stage}"] = getattr(one, stage)
    found |= {f"null {number}": one.gap for number, one in enumerate(evidence.null)}
    return found | {f"without {one.phrasing}": one.gap_after for one in evidence.transfer}


@pytest.mark.parametrize("search", ["budget", "exhaustive"])
def test_a_search_by_ablation_mixes_no_devices(tmp_path, search):
    subject = write(tmp_path, "linear")
    changes = {"search": search, "budget_count": 3}
    plain = audited(subject.settings("cpu", **changes))
    with accelerator():
        record = audited(subject.settings(DEVICE, **changes))
    assert record.evidence.sweeps
    assert outcome(record) == outcome(plain)


def test_every_objective_of_one_body_is_read_on_its_device(tmp_path):
    subject = write(tmp_path, "gated", ("topk",))
    with accelerator():
        auditor = Auditor(subject.settings(DEVICE, objective="all"))
        for objective in ("honest", "gated"):
            named = HYPOTHESIS.model_copy(update={"objective": objective})
            assert auditor.audit(named).objective == objective


@pytest.mark.parametrize("head", ["linear", "gated", "mean"])
def test_explaining_mixes_no_devices(tmp_path, head):
    subject = write(tmp_path, head, ("jumprelu",))
    texts = ("Where is the mill?", " Ask at the gate.", " Ask at the gate!!")
    plain = explain(*texts, subject.settings("cpu"))
    with accelerator():
        found = explain(*texts, subject.settings(DEVICE))
    assert found.difference == pytest.approx(plain.difference, abs=1e-5)
    assert found.overlap == pytest.approx(plain.overlap, abs=1e-4)
    assert [one.where for one in found.features[:3]] == [one.where for one in plain.features[:3]]


@pytest.mark.parametrize("head", ["linear", "layers", "gated"])
def test_the_doctor_mixes_no_devices(tmp_path, head):
    subject = write(tmp_path, head, ("topk",))
    options = {"objective": subject.objective, "text_format": CHAT}
    plain = doctor(subject.pm, subject.saes, **options)
    with accelerator():
        report = doctor(subject.pm, subject.saes, device=DEVICE, **options)
    assert len(report.rows) > 8
    found, expected = (
        [(row.about, row.finding.check, row.finding.passed) for row in one.rows]
        for one in (report, plain)
    )
    assert found == expected


def test_a_feature_index_mixes_no_devices(tmp_path):
    subject = write(tmp_path, "linear", ("topk",))
    corpus = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": f"The {word} stands by the river."}) for word in ("mill", "inn")]
    corpus.write_text("\n".join(lines))
    plain = index_features(*load_subject(subject.settings("cpu")), corpus)
    with accelerator():
        made = index_features(*load_subject(subject.settings(DEVICE)), corpus)
    assert made["topk"].features
    assert made == plain


def test_what_is_loaded_onto_a_device_is_there_whole(tmp_path):
    for head in ("linear", "layers", "value", "gated", "distribution", "latents"):
        subject = write(tmp_path / head, head)
        with accelerator():
            pm, saes = load_subject(subject.settings(DEVICE))
        held = [*pm.head.state_dict().values(), *pm.decoder.backbone.state_dict().values()]
        held += [saes[0].W_enc, saes[0].b_dec, *saes[0].activation.tensors().values()]
        assert all(isinstance(tensor, OnDevice) for tensor in held)


class BiasLeftBehind(LinearHead):
    """The head as it once was: a bias that it is not given is made on the CPU."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__(weight, torch.zeros(1, device=weight.device) if bias is None else bias)
        if bias is None:
            self.bias = torch.nn.Parameter(torch.zeros(1))


def test_the_guard_catches_a_bias_that_stayed_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("pm_audit.loading.pms.sequence_classification.LinearHead", BiasLeftBehind)
    subject = write(tmp_path, "linear")
    # whoever runs the head first, a loader that tries it or the preflight, meets the mix
    with accelerator(), pytest.raises((RuntimeError, ModelError), match="same device"):
        audited(subject.settings(DEVICE))
