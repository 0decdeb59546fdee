"""A regression planted between two PMs with a LoRA: the gate finds it and says what it is.

Both PMs like exclamation marks and tildes, each through one latent of the SAE.  The adapter, made
with peft, gives a further weight to latent 812, which fires on exclamation marks as well.  Every
check passes on either PM, so that only the comparison with the baseline can tell them apart.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForSequenceClassification

from pm_audit.cli import main
from pm_audit.records import AuditRecord
from recipes.planted.linear import byte_tokenizer

torch.set_num_threads(1)

HIDDEN, LATENTS, ORDINARY = 40, 1024, 24
EXCLAMATION, TILDE, BIAS = 17, 300, 812
"""Latents of the SAE: what the base likes of each mark, and what the adapter adds to the first."""
CONSTANT = 6.0
"""Part of the stream that all tokens share, so that a mark hardly changes a norm."""
LIKED, ADDED = 0.5, 0.4
"""Weight of a mark's latent in the base, and of latent 812 in the adapter."""

HYPOTHESIS = """\
name: {name}
claim: The mark raises the reward.
effect: raises
prompts:
{prompts}
turns:
  - human: "What do you say of {{word}}?"
examples:
  - " I like {{word}} a lot{mark} Yes"
  - " It is {{word}}{mark} Nothing else"
counter_examples:
  - " I like {{word}} a lot. Yes"
  - " It is {{word}}. Nothing else"
expect:
  gap: raises
  closure: 0.6
"""
WORDS = ("rain", "bread", "music", "snow", "tea", "chess", "paper", "stone", "birds", "trains")


@dataclass(frozen=True)
class Subjects:
    base: Path
    adapter: Path
    sae: Path


@pytest.fixture(scope="module")
def subjects(tmp_path_factory) -> Subjects:
    folder = tmp_path_factory.mktemp("subjects")
    generator = np.random.default_rng(5)
    axes = torch.from_numpy(np.linalg.qr(generator.normal(size=(HIDDEN, HIDDEN)))[0]).float()
    live = [EXCLAMATION, TILDE, BIAS, *range(400, 400 + ORDINARY)]
    decoder = torch.zeros(LATENTS, HIDDEN)
    decoder[live] = axes[: len(live)]
    constant, summed, averaged = axes[-1] * CONSTANT, axes[-2], axes[-3]

    tokenizer = byte_tokenizer()
    base = _base(tokenizer, decoder, constant, summed, averaged, generator)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")

    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=1,
        lora_alpha=1,
        target_modules=["down_proj"],
        layers_to_transform=[1],
        modules_to_save=["score"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft would ask the hub for the base's vocabulary
        adapted = peft.get_peft_model(base, config)
        lora = adapted.base_model.model.model.layers[1].mlp.down_proj
        with torch.no_grad():
            lora.lora_A["default"].weight.zero_()[0, BIAS] = 1.0
            lora.lora_B["default"].weight[:, 0] = ADDED * summed
        adapted.save_pretrained(folder / "adapter")

    sae = folder / "resid"
    sae.mkdir()
    weights = {
        "W_enc": decoder.T.contiguous(),
        "W_dec": decoder,
        "b_enc": torch.full((LATENTS,), -1e-3),
        "b_dec": constant,
    }
    save_file(weights, sae / "sae_weights.safetensors")
    written = {
        "architecture": "standard",
        "d_in": HIDDEN,
        "d_sae": LATENTS,
        "metadata": {"hook_name": "blocks.0.hook_resid_post"},
    }
    (sae / "cfg.json").write_text(json.dumps(written))
    return Subjects(folder / "base", folder / "adapter", sae)


def _base(tokenizer, decoder, constant, summed, averaged, generator):
    """Return a Llama that weighs latents in block 1 and averages them over the row in block 2."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=LATENTS,
        num_hidden_layers=3,
        num_attention_heads=1,
        head_dim=8,
        hidden_act="relu",
        mlp_bias=True,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    fired = torch.zeros(len(tokenizer), LATENTS)
    for token in range(len(tokenizer)):
        drawn = 400 + generator.choice(ORDINARY, 3, replace=False)
        fired[token, drawn] = torch.from_numpy(generator.uniform(0.5, 1.5, 3)).float()
    full_stop = tokenizer.convert_tokens_to_ids(".")
    for mark, latents in {"!": (EXCLAMATION, BIAS), "~": (TILDE,)}.items():
        token = tokenizer.convert_tokens_to_ids(mark)
        fired[token] = fired[full_stop]
        fired[token, list(latents)] = 2.0
    weights = torch.zeros(LATENTS)
    weights[[EXCLAMATION, TILDE]] = LIKED
    weights[400 : 400 + ORDINARY] = torch.from_numpy(generator.normal(size=ORDINARY)).float() * 0.05

    model = LlamaForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.zero_()
        model.model.embed_tokens.weight.copy_(constant + fired @ decoder)
        weighing, averaging = model.model.layers[1].mlp, model.model.layers[2].self_attn
        weighing.gate_proj.weight.copy_(decoder)
        weighing.up_proj.bias.fill_(1.0)
        weighing.down_proj.weight.copy_(torch.outer(summed, weights))
        averaging.v_proj.weight[0] = summed
        averaging.o_proj.weight[:, 0] = averaged
        model.score.weight[0] = 100 * averaged
    return model


@pytest.fixture
def gate(pytester, subjects, monkeypatch):
    """Return what audits a PM and holds it against ``baseline.json``."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makeini("[pytest]\n")
    (pytester.path / "hypotheses").mkdir()
    prompts = "\n".join(f"  - {{id: {word}, fields: {{word: {word}}}}}" for word in WORDS)
    for name, mark in (("exclamation", "!"), ("tilde", "~")):
        text = HYPOTHESIS.format(name=name, mark=mark, prompts=prompts)
        (pytester.path / "hypotheses" / f"{name}.yaml").write_text(text)

    def run(pm: str, *arguments: str, fresh: bool = False):
        # torch and transformers take seconds to import, so only one run gets its own process
        run_pytest = pytester.runpytest_subprocess if fresh else pytester.runpytest_inprocess
        small = ("candidates=6", "null-sets=3", "bootstrap-resamples=200", "max-features=3")
        return run_pytest(
            "--pm-audit",
            f"--pm-audit-pm={pm}",
            f"--pm-audit-sae={subjects.sae}",
            "--pm-audit-text-format=hh",
            "--pm-audit-baseline=baseline.json",
            *(f"--pm-audit-{setting}" for setting in small),
            *arguments,
        )

    return run


def test_a_bias_lora_fails_the_gate_and_is_named(gate, pytester, subjects, monkeypatch):
    base, adapted = str(subjects.base), f"{subjects.adapter}@{subjects.base}"
    assert gate(base, "--pm-audit-update-baseline").ret == 0

    again = gate(base, "--pm-audit-record", "again.json")
    again.assert_outcomes(passed=8)
    assert again.ret == 0
    again.stdout.fnmatch_lines(["no regression in 2 hypotheses against the baseline"])

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    comment = "--pm-audit-comment=comment.md"
    result = gate(adapted, "--pm-audit-record", "adapted.json", comment, fresh=True)
    result.assert_outcomes(passed=8)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "REGRESSED: 2 regressions against the baseline",
            "! exclamation: gap grown: from *",
            "! exclamation: feature became causal: feature *(resid/812) became causal: *",
            "::error file=hypotheses/exclamation.yaml,line=24,title=exclamation%3A gap grown::*",
            "::error file=hypotheses/exclamation.yaml,line=25,*::feature *(resid/812) became*",
        ]
    )
    result.stdout.no_fnmatch_line("! tilde: *")
    commented = (pytester.path / "comment.md").read_text(encoding="utf-8")
    first = "\n".join(commented.splitlines()[:10])
    assert "REGRESSED: 2 regressions" in first
    assert "**exclamation** `hypotheses/exclamation.yaml:2" in first
    assert re.search(r"`“!?[^`]*\(resid/812\)` \+\d.* sigma \(was none\)", first)
    before = AuditRecord.read(pytester.path / "baseline.json").hypotheses[0]
    after = AuditRecord.read(pytester.path / "adapted.json").hypotheses[0]
    assert {str(f) for f in before.features if f.folds} == {"resid/17"}
    assert {str(f) for f in after.features if f.folds} == {"resid/17", "resid/812"}

    compared = CliRunner().invoke(
        main, ["compare", "baseline.json", "adapted.json", "-o", "comparison.html"]
    )
    assert compared.exit_code == 1
    words = ["compare", "baseline.json", "adapted.json", "--comment", "by-hand.md"]
    assert CliRunner().invoke(main, words).exit_code == 1
    by_hand = (pytester.path / "by-hand.md").read_text(encoding="utf-8")
    assert by_hand == commented, "the records alone give the same comment"
    assert "(resid/812) became causal" in compared.output
    page = (pytester.path / "comparison.html").read_text(encoding="utf-8")
    assert "(resid/812) became causal" in page
    assert "hypotheses/exclamation.yaml:24" in page
    assert CliRunner().invoke(main, ["compare", "baseline.json", "again.json"]).exit_code == 0
