"""A PM's recipe and the gathering of activations on a second device mix no devices."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from recipes.train import activations
from recipes.train import pm as train_pm
from recipes.train.activations import Corpus, gather
from tests.devices.accelerator import DEVICE, accelerator
from tests.recipes.train.killed_recipes import PM, tiny_backbone, write_data

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_pm, "load_backbone", tiny_backbone)
    monkeypatch.setattr(train_pm, "SAVE_SECONDS", 0)
    monkeypatch.setattr(activations, "SHARD_TOKENS", 256)


def test_training_a_pm_mixes_no_devices(tmp_path):
    pairs, _ = write_data(tmp_path)
    recipe = dataclasses.replace(PM, steps=3)
    train_pm.train_pm(pairs, tmp_path / "here", recipe, device="cpu", report=lambda _: None)
    with accelerator():
        train_pm.train_pm(pairs, tmp_path / "there", recipe, device=DEVICE, report=lambda _: None)
    here, there = (load_file(tmp_path / one / "adapter.safetensors") for one in ("here", "there"))
    assert here.keys() == there.keys()
    # the body runs in bf16, whose rounding hangs on who adds up in which order
    heads = (one["score.weight"] for one in (here, there))
    assert torch.cosine_similarity(*heads) > 0.98


def test_gathering_activations_mixes_no_devices(tmp_path):
    pairs, texts = write_data(tmp_path)
    corpus = Corpus(preferences=pairs, text=texts, suffix="~", max_tokens=48)
    shards = []
    with accelerator():
        for device in ("cpu", DEVICE):
            backbone, tokenizer = tiny_backbone(2)
            options = {"tokens": 1, "folder": tmp_path / device, "seed": 0}
            (path,) = gather(
                backbone.to(device), tokenizer, corpus, (0, 1), report=lambda _: None, **options
            )
            shards.append(load_file(path))
    for name, found in shards[0].items():
        torch.testing.assert_close(shards[1][name], found)
