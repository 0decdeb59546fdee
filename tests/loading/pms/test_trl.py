from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from pm_audit.loading.pms.registry import load
from pm_audit.subject.plain import Padding, plain_rewards
from pm_audit.subject.preflight import preflight, require

TRL = Path(__file__).parent / "trl"
ROWS = [[40, 50, 60, 70], [33, 34], [*range(20, 45)]]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
@pytest.mark.parametrize("name", ["whole", "adapter"])
def test_what_the_reward_trainer_saved_is_read_as_it_was_trained(name: str) -> None:
    start = TRL / ("whole" if name == "whole" else "base")
    reference = AutoModelForSequenceClassification.from_pretrained(
        start, dtype=torch.float32, num_labels=1
    ).eval()
    if name == "adapter":
        reference = peft.PeftModel.from_pretrained(reference, TRL / "adapter").eval()
    with torch.inference_mode():
        expected = torch.cat([reference(torch.tensor([row])).logits[:, 0] for row in ROWS])
    model = load(f"{TRL / 'adapter'}@{start}" if name == "adapter" else start)
    for padding in Padding:
        ours = plain_rewards(model, ROWS, padding=padding)
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    require(preflight(model), name=name)
    assert model.text_format.name == "chat"
