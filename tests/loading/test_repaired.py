"""An edit as files: whole, tied to its PM, and with a patch where weights can equal it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import pm_audit
from pm_audit.errors import ModelError
from pm_audit.forward.scale import measure_scale
from pm_audit.forward.trace import rewards
from pm_audit.loading.repaired import affine, repaired, save_edits
from pm_audit.subject.activation import Gated, GroupMax, JumpRelu, Relu, TopK
from pm_audit.subject.preflight import preflight
from pm_audit.subject.sae import Normalisation
from pm_audit.subject.stream_edit import StreamEdit
from tests.engine_lab import HIDDEN, build_grid, build_pm, build_sae

torch.set_num_threads(1)

GRID = build_grid(end=(1, 2))
WIDTH = 64


def edit_of(layer: int = 1, latents=(3, 11, 40), **settings) -> StreamEdit:
    sae = build_sae(layer, width=WIDTH, **settings)
    return StreamEdit(
        sae=sae, latents=torch.tensor(latents), level=0.2 + torch.rand(3, len(latents))
    )


GATED = Gated(0.1 * torch.ones(WIDTH), 0.2 * torch.ones(WIDTH), 0.3 * torch.ones(WIDTH))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": JumpRelu(torch.tensor(0.3))},
        {"activation": JumpRelu(torch.linspace(0, 0.5, WIDTH))},
        {"activation": GATED},
        {"activation": TopK(8)},
        {"activation": GroupMax(8)},
        {"normalisation": Normalisation.LAYER_NORM, "input_bias": 0.1 * torch.ones(HIDDEN)},
        {"normalisation": Normalisation.CONSTANT_NORM, "centred": True},
    ],
)
def test_a_saved_edit_reads_as_the_edit_in_memory(settings, tmp_path):
    pm = replace(build_pm(), sha256="a" * 64)
    edits = (edit_of(1, **settings), edit_of(2))
    save_edits(pm, edits, tmp_path)
    found = repaired(pm, tmp_path)
    expected = rewards(replace(pm, edits=edits), GRID)
    assert rewards(found, GRID) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - rewards(pm, GRID)).max() > 1e-3
    assert found.sha256 != pm.sha256
    assert len(found.sha256) == 64
    assert "3 features of block1, 3 features of block2 at fixed levels" in found.notes[-1]


def test_only_what_encoding_needs_is_kept(tmp_path):
    pm = build_pm()
    save_edits(pm, [edit_of()], tmp_path)
    assert load_file(tmp_path / "edit.safetensors")["0.W_enc"].shape == (HIDDEN, 3)
    save_edits(pm, [edit_of(activation=TopK(8))], tmp_path)
    tensors = load_file(tmp_path / "edit.safetensors")
    assert tensors["0.W_enc"].shape == (HIDDEN, WIDTH)
    assert tensors["0.W_dec"].shape == (3, HIDDEN)


def test_an_edit_of_another_pm_is_refused(tmp_path):
    save_edits(build_pm(), [edit_of()], tmp_path)
    with pytest.raises(ModelError, match=r"made for other weights than llama has"):
        repaired(replace(build_pm(), sha256="b" * 64), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "not an edit of version 1"),
        ({"edits": []}, "does not fit llama"),
        ({"edits": [{"name": "x"}]}, "is torn"),
        ({"edits": 3}, "is torn"),
    ],
)
def test_a_torn_edit_is_refused(change, said, tmp_path):
    pm = build_pm()
    save_edits(pm, [edit_of()], tmp_path)
    document = json.loads((tmp_path / "edit.json").read_text())
    (tmp_path / "edit.json").write_text(json.dumps(document | change))
    with pytest.raises(ModelError, match=said):
        repaired(pm, tmp_path)


def test_an_edit_of_a_layer_that_is_not_there_is_refused(tmp_path):
    pm = build_pm()
    save_edits(pm, [edit_of(9)], tmp_path)
    with pytest.raises(ModelError, match="does not fit llama"):
        repaired(pm, tmp_path)


def test_a_folder_without_an_edit_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds no edit.json; name the folder"):
        repaired(build_pm(), tmp_path)


def stream_of(tokens: int = 50) -> torch.Tensor:
    torch.manual_seed(5)
    return torch.randn(tokens, HIDDEN)


@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, HIDDEN)])
def test_a_feature_that_is_always_active_has_a_patch(bias):
    edit = edit_of(input_bias=bias)
    edit = replace(edit, sae=replace(edit.sae, b_enc=edit.sae.b_enc + 20))
    stream, place = stream_of(), torch.arange(50) % 3
    weight, offset = affine(edit, stream, place)
    assert torch.allclose(stream @ weight + offset[place], edit(stream, place), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation": Relu()}, r"features are not active on every token \(block1/\d+ on"),
        ({"activation": GATED}, "Gated is not linear"),
        ({"normalisation": Normalisation.LAYER_NORM}, "normalises each token"),
    ],
)
def test_an_edit_that_bends_has_no_patch(settings, said):
    reason = affine(edit_of(**settings), stream_of(), torch.zeros(50, dtype=torch.long))
    assert isinstance(reason, str)
    assert re.search(said, reason)


def test_the_setting_loads_a_repaired_pm_whose_noise_is_that_of_the_pm(save_classifier, tmp_path):
    folder = save_classifier("llama")
    pm = pm_audit.load_pm(folder, text_format="raw")
    edit = edit_of()
    save_edits(pm, [edit], tmp_path / "repair")
    fixed = pm_audit.load_pm(folder, text_format="raw", repair=tmp_path / "repair")
    prompt, answers = "What is the capital of France?", [" Paris.", " It is Paris, no doubt."]
    expected = pm_audit.rewards(replace(pm, edits=(edit,)), prompt, answers)
    assert pm_audit.rewards(fixed, prompt, answers) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - pm_audit.rewards(pm, prompt, answers)).max() > 1e-3
    # a plain forward cannot know a completion: noise and preflight are those of the PM itself
    assert measure_scale(fixed).noise == pytest.approx(measure_scale(pm).noise)
    assert measure_scale(fixed).sigma != measure_scale(pm).sigma
    assert all(one.passed for one in preflight(fixed))
    report = pm_audit.doctor(folder, text_format="raw", repair=tmp_path / "repair")
    assert "repaired by repair: 3 features of block1 at fixed levels" in report.render()
    assert "FAIL" not in report.render()


def test_a_repair_of_another_folder_is_refused_by_the_setting(save_classifier, tmp_path):
    folder = save_classifier("llama")
    save_edits(replace(build_pm(), sha256="c" * 64), [edit_of()], tmp_path)
    with pytest.raises(ModelError, match="made for other weights"):
        pm_audit.load_pm(folder, text_format="raw", repair=tmp_path)
