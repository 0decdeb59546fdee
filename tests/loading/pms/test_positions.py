from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.loading.pms.positions import longest_text
from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import plain_rewards

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
    "original_max_position_embeddings": 24,
}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("llama", {"max_position_embeddings": 64}, 64),
        ("llama", {"max_position_embeddings": 64, "rope_parameters": LONGROPE}, 24),
        ("llama", {"max_position_embeddings": 16, "rope_parameters": LONGROPE}, 16),
        ("phi3", {"original_max_position_embeddings": 24, "rope_parameters": LONGROPE}, 24),
        ("gpt2", {"n_positions": 32}, 32),
        ("bloom", {}, None),
    ],
)
def test_a_text_is_no_longer_than_its_angles_hold(kind, settings, expected):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **sizes, **settings)
    assert longest_text(config)[0] == expected


def test_longrope_reads_as_transformers_up_to_its_switch(save_classifier: Callable[..., Path]):
    folder = save_classifier(
        "llama", rope_parameters=LONGROPE, hidden_size=32, num_attention_heads=4
    )
    model = load(folder, text_format="raw")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = [tuple(range(3, 3 + length)) for length in (5, 23, 24)]
    with torch.no_grad():
        expected = torch.cat([theirs(torch.tensor([row])).logits[0] for row in rows])
    torch.testing.assert_close(plain_rewards(model, rows), expected, atol=1e-5, rtol=1e-5)
    prompt = (Turn(speaker=Speaker.HUMAN, text="one two three four five " * 20),)
    with pytest.raises(ModelError, match=r"longer than the 24 that the PM reads \(longer texts ch"):
        model.text_format.tokenise(prompt, " no")
