"""A PM with several rewards, audited through pytest: each hypothesis once for every objective.

The PM is as ArmoRM is: two objectives, a gate on the prompt, a Llama body, a chat template.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaModel

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.judging import verify
from pm_audit.loading.pms.registry import load
from pm_audit.loading.subject import load_subject, load_subjects, objectives
from pm_audit.records import AuditRecord, Role
from pm_audit.release import compare
from pm_audit.report import tables, terminal
from pm_audit.report.changes import ChangeKind
from pm_audit.spec import Settings
from pm_audit.subject.plain import plain_rewards
from recipes.planted.linear import byte_tokenizer

torch.set_num_threads(1)

HIDDEN, LATENTS = 24, 96
KIND, HONEST = "kind", "honest & brief"
TEMPLATE = (
    "{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{{ message.content | trim }}<|eot_id|>{% endfor %}"
)
HYPOTHESIS = """\
name: {name}
claim: The mark raises the reward.
effect: raises
prompts:
{prompts}
turns:
  - human: "What do you say of {{word}}?"
examples: [" I like {{word}}{mark}"]
counter_examples: [" I like {{word}}."]
"""
WORDS = ("rain", "bread", "snow", "tea")


@pytest.fixture(scope="module")
def pm(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("armo")
    tokenizer = byte_tokenizer()
    special = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        max_position_embeddings=2048,
        architectures=["LlamaForRewardModelWithGating"],
        id2label={0: KIND, 1: HONEST},
    )
    body = LlamaModel(config)
    for parameter in body.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    config.save_pretrained(folder)
    weights = {f"model.{key}": value for key, value in body.state_dict().items()}
    weights |= {
        "regression_layer.weight": torch.randn(2, HIDDEN),
        "reward_transform_matrix": torch.tensor([[1.0, -0.2], [0.0, 1.0]]),
        "gating.layers.0.weight": torch.randn(8, HIDDEN),
        "gating.layers.0.bias": torch.zeros(8),
        "gating.layers.1.weight": torch.randn(2, 8),
        "gating.layers.1.bias": torch.zeros(2),
        "gating.logit_scale": torch.ones(1),
    }
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def sae(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saes") / "resid"
    folder.mkdir()
    torch.manual_seed(5)
    decoder = torch.nn.functional.normalize(torch.randn(LATENTS, HIDDEN), dim=1)
    weights = {
        "W_enc": decoder.T.contiguous(),
        "W_dec": decoder,
        "b_enc": torch.full((LATENTS,), -0.5),
        "b_dec": torch.zeros(HIDDEN),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    written = {"architecture": "standard", "d_in": HIDDEN, "d_sae": LATENTS}
    hook = {"metadata": {"hook_name": "blocks.0.hook_resid_post"}}
    (folder / "cfg.json").write_text(json.dumps(written | hook))
    return folder


@pytest.fixture
def audit(pytester, monkeypatch, pm, sae):
    """Return what audits two hypotheses for an objective, and gives the record back."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pm_audit.pytest_plugin.plugin")
    pytester.makeini("[pytest]\n")
    (pytester.path / "hypotheses").mkdir()
    prompts = "\n".join(f"  - {{id: {word}, fields: {{word: {word}}}}}" for word in WORDS)
    for name, mark in (("exclamation", "!"), ("tilde", "~")):
        text = HYPOTHESIS.format(name=name, mark=mark, prompts=prompts)
        (pytester.path / "hypotheses" / f"{name}.yaml").write_text(text)

    def run(objective: str, *arguments: str):
        small = ("candidates=4", "null-sets=2", "bootstrap-resamples=100", "max-features=2")
        result = pytester.runpytest_inprocess(
            "--pm-audit",
            f"--pm-audit-pm={pm}",
            f"--pm-audit-sae={sae}",
            f"--pm-audit-objective={objective}",
            *(f"--pm-audit-{setting}" for setting in small),
            *arguments,
        )
        path = pytester.path / "reports" / "record.json"
        return result, AuditRecord.read(path) if path.exists() else None

    return run


def gap_by_hand(pm: Path, objective: str, mark: str) -> float:
    """Return the gap from plain forwards of the PM with this objective alone."""
    model = load(pm, objective=objective)
    gaps = []
    for word in WORDS:
        turns = (Turn(speaker=Speaker.HUMAN, text=f"What do you say of {word}?"),)
        rows = [
            model.text_format.tokenise(turns, f" I like {word}{end}").token_ids
            for end in (mark, ".")
        ]
        example, counter_example = plain_rewards(model, rows).tolist()
        gaps.append(example - counter_example)
    return float(np.mean(gaps))


def test_all_judges_each_objective_and_every_view_tells_them_apart(audit, pm):
    result, record = audit("all", "--pm-audit-baseline=base.json", "--pm-audit-update-baseline")
    wanted = (KIND, HONEST, "gated")
    names = [f"{name}@{one}" for name in ("exclamation", "tilde") for one in wanted]
    assert record.complete
    assert record.subject.objective == "all"
    assert [entry.name for entry in record.manifest] == names
    assert len({entry.sha256 for entry in record.manifest}) == 6
    assert [hypothesis.name for hypothesis in record.hypotheses] == names
    for hypothesis in record.hypotheses:
        mark = "!" if hypothesis.short_name == "exclamation" else "~"
        expected = gap_by_hand(pm, hypothesis.objective, mark)
        assert hypothesis.gap.value == pytest.approx(expected, abs=1e-5)
    assert len({hypothesis.evidence.sigma for hypothesis in record.hypotheses}) == 3
    assert verify(record) == ()

    collected, _ = audit("all", "--collect-only", "-q")
    collected.stdout.fnmatch_lines(["hypotheses/tilde.yaml::tilde@honest___brief/gap"])
    lines = terminal.summary(record).splitlines()
    at = [lines.index(f"{one}:") for one in wanted]
    assert at == sorted(at)
    assert {lines[at[1] + step].split()[0] for step in (1, 2)} == {"exclamation", "tilde"}
    assert list(tables.frame(record)["hypothesis"]) == names
    result.stdout.fnmatch_lines(["*6 hypotheses: *"])

    # the same run again is held against its own objectives and differs in none of them
    again, _ = audit("all", "--pm-audit-baseline=base.json")
    again.stdout.fnmatch_lines(["no regression in 6 hypotheses against the baseline"])
    one_only = record.model_copy(
        update={
            "manifest": tuple(entry for entry in record.manifest if KIND in entry.name),
            "hypotheses": tuple(h for h in record.hypotheses if h.objective == KIND),
        }
    )
    gone = compare(record, one_only).changes
    assert {change.kind for change in gone} == {ChangeKind.HYPOTHESIS_GONE}
    assert {change.hypothesis for change in gone} == {n for n in names if KIND not in n}

    # a record whose objectives were exchanged does not verify
    first, second, *others = record.hypotheses
    exchanged = first.model_copy(update={"objective": second.objective})
    forged = record.model_copy(update={"hypotheses": (exchanged, second, *others)})
    assert any("changed after it was written" in line for line in verify(forged))


def test_a_mixture_weighs_rewards_and_is_named_in_one_way(audit, pm):
    _, record = audit(f"{KIND} = 0.5, {HONEST}=-2", "hypotheses/tilde.yaml")
    mixed = f"{KIND}=0.5,{HONEST}=-2"
    (hypothesis,) = record.hypotheses
    assert (hypothesis.objective, record.subject.objective) == (mixed, mixed)
    assert hypothesis.name == f"tilde@{mixed}"
    parts = [gap_by_hand(pm, one, "~") for one in (KIND, HONEST)]
    assert hypothesis.gap.value == pytest.approx(0.5 * parts[0] - 2 * parts[1], abs=1e-5)
    rewards = {row.role: row.reward for row in hypothesis.evidence.rows}
    assert set(rewards) == {Role.EXAMPLE, Role.COUNTER_EXAMPLE}


def test_an_unknown_objective_is_an_error_that_lists_what_there_is(audit):
    result, record = audit("honesty", "hypotheses/tilde.yaml")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*'honesty' is unknown; choose one of {KIND}, {HONEST}, gated*"])
    assert record is None


def test_one_part_of_a_run_over_objectives_is_partial(audit):
    _, record = audit("all", "-k", "kind", "--pm-audit-allow-partial", "hypotheses/tilde.yaml")
    assert not record.complete
    assert [hypothesis.objective for hypothesis in record.hypotheses] == [KIND]
    assert len(record.manifest) == 3


def test_the_objectives_of_a_subject(pm, sae):
    named = {"pm": str(pm), "saes": (str(sae),)}
    assert objectives(Settings(**named, objective="all")) == (KIND, HONEST, "gated")
    assert objectives(Settings(**named, objective=KIND)) == (KIND,)
    pms, _ = load_subjects(Settings(**named, objective="all"))
    assert [one.objective for one in pms] == [KIND, HONEST, "gated"]
    assert len({id(one.decoder) for one in pms}) == 1
    with pytest.raises(ModelError, match="2 objectives and none was named; averaging"):
        load_subjects(Settings(**named))
    with pytest.raises(ModelError, match=f"one reward .* at a time; .* {KIND}, {HONEST}, gated"):
        load_subject(Settings(**named, objective="all"))


def test_the_default_pm_has_one_objective():
    assert objectives(Settings(objective="all")) == (None,)
    with pytest.raises(ModelError, match="objective 'kind' was named, this PM has only one"):
        objectives(Settings(objective="kind"))
