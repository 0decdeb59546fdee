from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from pm_audit.models.plain import Padding, plain_rewards
from pm_audit.models.preflight import preflight, require
from pm_audit.models.registry import load
from pm_audit.spec.dialogue import Speaker, Turn

FAMILIES = [
    *("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"),
    *("gpt_neox", "gptj", "gpt2", "opt", "phi"),
]
PROMPT = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)
COMPLETIONS = [
    " Paris.",
    " I don't know.",
    " It is Paris, as any atlas would tell you.",
    " No!",
] * 2


@pytest.mark.parametrize("kind", FAMILIES)
def test_rewards_equal_transformers_own_forward(
    kind: str, save_classifier: Callable[..., Path]
) -> None:
    folder = save_classifier(kind)
    model = load(folder, text_format="hh")
    rows = [model.text_format.tokenise(PROMPT, completion).token_ids for completion in COMPLETIONS]
    reference = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.cat([reference(torch.tensor([row])).logits[:, 0] for row in rows])
    for batch_size in (1, 8):
        for padding in Padding:
            ours = plain_rewards(model, rows, batch_size=batch_size, padding=padding)
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 1e-3
    require(preflight(model), name=kind)
