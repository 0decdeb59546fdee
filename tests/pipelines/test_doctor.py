from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from pm_audit.pipelines.doctor import DoctorReport, doctor

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


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def written(folder: Path, architecture: str | None) -> None:
    """Write weights without any head, and what the config calls them."""
    save_file({"model.embed_tokens.weight": torch.ones(3, 2)}, folder / "model.safetensors")
    if architecture is not None:
        write(folder / "config.json", json.dumps({"architectures": [architecture]}))


def write_sae(
    folder: Path,
    *,
    layer: int = 1,
    noise: float = 0.0,
    hidden: int = HIDDEN,
    hook: str | None = "model.layers.{layer}",
) -> Path:
    """Write an SAE whose latents are the coordinates of the stream, both signs, sparsely fired."""
    folder.mkdir()
    identity = torch.eye(hidden)
    directions = torch.cat([identity, -identity])
    spread = noise * torch.randn(2 * hidden, hidden, generator=torch.Generator().manual_seed(1))
    silent = torch.zeros(hidden * 6, hidden)
    decoder = torch.cat([directions + spread, silent])
    weights = {
        "W_enc": torch.cat([directions, silent]).T.contiguous(),
        "b_enc": torch.cat([torch.zeros(2 * hidden), torch.full((6 * hidden,), -1.0)]),
        "W_dec": decoder,
        "b_dec": torch.zeros(hidden),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "standard",
        "d_in": hidden,
        "d_sae": len(decoder),
        "metadata": {} if hook is None else {"hook_name": hook.format(layer=layer)},
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def test_the_pm_alone_is_examined(pm: Path) -> None:
    report = doctor(pm, text_format="hh")
    assert report.passed, report.render()
    assert {row.about for row in report.rows} == {"PM"}
    assert "passed" in report.render()
    assert str(report) == report.render()


def test_an_engine_that_reads_otherwise_than_transformers_fails(
    pm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("pm_audit.pipelines.examination")
    real = module.rewards
    monkeypatch.setattr(module, "rewards", lambda *given: real(*given) * 1.01)
    report = doctor(pm, text_format="hh")
    assert [row.finding.check for row in report.rows if not row.finding.passed] == [
        "forward as transformers"
    ]


def test_every_convention_that_was_taken_is_shown_whole(pm: Path) -> None:
    shown = " ".join(doctor(pm, text_format="raw", text_start="as-written").render().split())
    assert "6 of 6 texts, raw, text_end as-written, text_start as-written" in shown


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


def remedies(report: DoctorReport) -> str:
    return "\n".join(row.finding.remedy for row in report.rows if not row.finding.passed)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "the folder is empty: fetch the model"),
        (lambda folder: (folder / "notes.txt").touch(), "it holds notes.txt: fetch the weights"),
        (
            lambda folder: write(folder / "checkpoint-500" / "config.json", "{}"),
            "its folders checkpoint-500 hold models: name one of them",
        ),
        (
            lambda folder: (folder / "sae_weights.safetensors").touch(),
            "an SAE's folder: name the PM first",
        ),
        (lambda folder: write(folder / "config.json", "{"), "config.json: cannot be read as JSON"),
        (lambda folder: written(folder, None), "config.json is missing or names no class"),
        (lambda folder: written(folder, "LlamaForCausalLM"), "a base was never a PM"),
        (lambda folder: written(folder, "LlamaModel"), "a base was never a PM"),
        (lambda folder: written(folder, "Invented"), "Invented in config.json belongs to no known"),
        (
            lambda folder: write(folder / "model.safetensors", "torn"),
            "cannot be read as safetensors: .*; fetch the file again",
        ),
    ],
)
def test_what_is_no_pm_is_told_by_what_it_is(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "pm"
    folder.mkdir()
    prepare(folder)
    report = doctor(folder, text_format="hh")
    assert re.search(message, remedies(report)), report.render()
    assert str(folder) in remedies(report)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            "/home/someone/base",
            "paths in its file are not followed; name the base yourself: .*@BASE",
        ),
        ("nobody/no-such-base", "an adapter alone, .* nobody/no-such-base.*: .*adapter@BASE"),
    ],
)
def test_an_adapter_alone_says_how_its_base_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, message: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / "adapter"
    config = {"peft_type": "LORA", "base_model_name_or_path": base}
    write(folder / "adapter_config.json", json.dumps(config))
    head = {"base_model.model.score.modules_to_save.weight": torch.ones(1, HIDDEN)}
    save_file(head, folder / "adapter_model.safetensors")
    report = doctor(folder)
    assert re.search(message, remedies(report)), report.render()


def test_an_sae_that_cannot_belong_to_the_pm_is_a_failed_row(pm: Path, tmp_path: Path) -> None:
    deep = write_sae(tmp_path / "deep", layer=7)
    wide = write_sae(tmp_path / "wide", hidden=HIDDEN + 8)
    report = doctor(pm, [deep, wide, f"again={deep}@1"], text_format="hh")
    failed = {row.about: row.finding.remedy for row in report.rows if row.finding.check == "loads"}
    assert "after block 7, this PM has blocks 0 to 2; check that" in failed["deep"]
    assert "or name its layer: PATH@LAYER" in failed["deep"]
    assert failed["again"] == ""
    assert f"width {HIDDEN + 8}, this PM's is {HIDDEN}" in failed["wide"]
    assert "use an SAE of this PM or of its base" in failed["wide"]


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("blocks.1.hook_mlp_out", "inner part of a block; .* use an SAE of hook_resid_post"),
        ("blocks.0.hook_resid_pre", "reads the embeddings"),
        ("somewhere.else", "is unknown; .* name it: .*@L"),
        (None, "do not say which layer they read; name it: .*@LAYER"),
    ],
)
def test_a_hook_that_is_no_residual_stream_is_a_failed_row(
    pm: Path, tmp_path: Path, hook: str | None, message: str
) -> None:
    report = doctor(pm, [write_sae(tmp_path / "sae", hook=hook)], text_format="hh")
    assert re.search(message, remedies(report)), report.render()


def test_every_objective_is_examined(pm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    shutil.copytree(pm, folder)
    config = LlamaConfig.from_pretrained(folder, num_labels=2)
    model = LlamaForSequenceClassification.from_pretrained(
        folder, config=config, ignore_mismatched_sizes=True
    )
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    assert "2 objectives and none was named" in remedies(doctor(folder, text_format="hh"))
    report = doctor(folder, [write_sae(tmp_path / "sae")], text_format="hh", objective="all")
    by_about = {row.about for row in report.rows}
    assert by_about == {"PM LABEL_0", "PM LABEL_1", "sae", "sae LABEL_0", "sae LABEL_1"}
    named = doctor(folder, text_format="hh", objective="LABEL_1")
    assert named.passed, named.render()


def test_the_conventions_that_were_taken_are_told_whole(pm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "renamed"
    shutil.copytree(pm, folder)
    config = json.loads((folder / "config.json").read_text()) | {"architectures": None}
    (folder / "config.json").write_text(json.dumps(config))
    report = doctor(folder, text_format="hh")
    assert report.passed
    said = " ".join(report.render().split())
    assert "config.json names no class; read as LlamaForSequenceClassification, which" in said
    assert "conventions" not in doctor(pm, text_format="hh").render()
