"""Where trainers' conventions have a head read: followed where a checkpoint names its trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import plain_rewards
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.preflight import preflight, require

PROMPT = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
COMPLETIONS = [" Paris.", " I don't know.", " It is Paris, as any atlas would tell you.\n"]
CHATML = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>\n{% endfor %}"


@pytest.fixture
def save_headed(save_classifier: Callable[..., Path]) -> Callable[..., tuple[Path, Any]]:
    """Write a body with a linear head of another name; return the folder and the trainer's way.

    The trainer's way maps a text, tokenised without special tokens, to the head's output at its
    last token.
    """

    def save(head: str, template: str = CHATML, **config: Any) -> tuple[Path, Any]:
        folder = save_classifier("llama")
        body = AutoModel.from_pretrained(folder, dtype=torch.float32)
        weight = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
        held = {f"model.{name}": value.clone() for name, value in body.state_dict().items()}
        save_file(held | {f"{head}.weight": weight}, folder / "model.safetensors")
        known = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(known | config))
        (folder / "chat_template.jinja").write_text(template)
        tokenizer = AutoTokenizer.from_pretrained(folder)

        def trainer(text: str) -> float:
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            with torch.inference_mode():
                return float(body(ids).last_hidden_state[0, -1] @ weight[0])

        return folder, trainer

    return save


def chat(folder: Path, completion: str) -> str:
    messages = [{"role": "user", "content": PROMPT[0].text}]
    messages.append({"role": "assistant", "content": completion.removeprefix(" ")})
    text: str = AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, tokenize=False)
    return text


def same(model: PreferenceModel, expected: list[float]) -> None:
    texts = [model.text_format.tokenise(PROMPT, completion) for completion in COMPLETIONS]
    plain = plain_rewards(model, [text.token_ids for text in texts])
    torch.testing.assert_close(plain, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    grid = Grid(tuple(Row(0, text.token_ids, text.completion_start) for text in texts))
    engine = torch.from_numpy(trace(model, (), grid).rewards).float()
    torch.testing.assert_close(engine, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    require(preflight(model), name="model")


@pytest.mark.parametrize("prefix", ["value_head", "score", "reward_head"])
def test_openrlhf_reads_at_eos(prefix: str, save_headed: Callable[..., tuple[Path, Any]]) -> None:
    """``reward_dataset.py`` strips the template's last line break."""
    folder, trainer = save_headed(prefix, value_head_prefix=prefix, architectures=["Critic"])
    model = load(folder)
    assert model.text_format.end == "openrlhf"
    same(model, [trainer(chat(folder, text).rstrip("\n")) for text in COMPLETIONS])
    written = load(folder, text_end="as-written")
    same(written, [trainer(chat(folder, text)) for text in COMPLETIONS])


def test_openrlhf_appends_eos_where_the_format_writes_none(
    save_headed: Callable[..., tuple[Path, Any]],
) -> None:
    folder, trainer = save_headed(
        "value_head", value_head_prefix="value_head", architectures=["Critic"]
    )
    model = load(folder, text_format="hh")
    before = f"\n\nHuman: {PROMPT[0].text}\n\nAssistant:"
    same(model, [trainer(f"{before}{text}".rstrip("\n") + " </s>") for text in COMPLETIONS])


def test_trl_may_append_eos_to_plain_texts(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    model = load(folder, text_format="raw", text_end="eos")
    assert model.library is not None
    tokenizer, library = model.tokenizer, model.library.model
    with torch.inference_mode():
        expected = [
            float(library(**tokenizer(f"{PROMPT[0].text}{text}</s>", return_tensors="pt")).logits)
            for text in COMPLETIONS
        ]
    same(model, expected)
