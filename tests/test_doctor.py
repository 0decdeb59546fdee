from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from pm_audit.doctor import doctor

torch.set_num_threads(1)  # tiny products; threads only wait for each other

HIDDEN = 32


@pytest.fixture(scope="module")
def pm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pm")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(["<pad>", *alphabet])}
    rules = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=rules, pad_token="<pad>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=0,
        max_position_embeddings=2048,
    )
    model = LlamaForSequenceClassification(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
    return folder


def write_sae(folder: Path, *, layer: int = 1, noise: float = 0.0) -> Path:
    """Write an SAE whose latents are the coordinates of the stream, both signs, sparsely fired."""
    folder.mkdir()
    identity = torch.eye(HIDDEN)
    directions = torch.cat([identity, -identity])
    spread = noise * torch.randn(2 * HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(1))
    silent = torch.zeros(HIDDEN * 6, HIDDEN)
    decoder = torch.cat([directions + spread, silent])
    weights = {
        "W_enc": torch.cat([directions, silent]).T.contiguous(),
        "b_enc": torch.cat([torch.zeros(2 * HIDDEN), torch.full((6 * HIDDEN,), -1.0)]),
        "W_dec": decoder,
        "b_dec": torch.zeros(HIDDEN),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "standard",
        "d_in": HIDDEN,
        "d_sae": len(decoder),
        "metadata": {"hook_name": f"model.layers.{layer}"},
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def test_the_pm_alone_is_examined(pm: Path) -> None:
    report = doctor(pm, text_format="hh")
    assert report.passed, report.render()
    assert {row.about for row in report.rows} == {"PM"}
    assert "passed" in report.render()


def test_a_perfect_sae_keeps_every_reward(pm: Path, tmp_path: Path) -> None:
    report = doctor(pm, [write_sae(tmp_path / "perfect")], text_format="hh")
    findings = {row.finding.check: row.finding for row in report.rows if row.about == "perfect"}
    for check in ("FVU at its layer", "cosine", "norm ratio", "L0"):
        assert findings[check].passed, report.render()
    assert findings["reward kept when spliced"].detail == "r = 1.000"
    assert findings["gaps kept when spliced"].detail == "r = 1.000"
    # it reconstructs any stream, so it cannot be told from its neighbours
    assert not findings["FVU lowest at its layer"].passed


def test_a_broken_sae_fails_and_says_what_to_do(pm: Path, tmp_path: Path) -> None:
    report = doctor(pm, [write_sae(tmp_path / "noisy", noise=3.0)], text_format="hh")
    assert not report.passed
    rendered = report.render()
    assert "FAIL" in rendered
    assert "trained on another model, layer or kind of text" in rendered
    assert max(map(len, rendered.splitlines())) <= 100


def test_what_does_not_load_is_a_row(pm: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "absent\x1b[31m::error::"
    good = write_sae(tmp_path / "good")
    report = doctor(pm, [hostile, good], text_format="hh")
    assert "\x1b" not in report.render()
    assert any(row.about == "good" and row.finding.passed for row in report.rows)
    assert not report.passed
    assert not doctor(tmp_path / "absent").passed


def test_an_sae_of_another_layer_or_width_is_a_failed_row(pm: Path, tmp_path: Path) -> None:
    report = doctor(pm, [write_sae(tmp_path / "deep", layer=7)], text_format="hh")
    failed = [row.finding.remedy for row in report.rows if not row.finding.passed]
    assert any("this PM has blocks 0 to 2" in remedy for remedy in failed)
