from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pm_audit.errors import ModelError
from pm_audit.models.preference_model import PreferenceModel
from pm_audit.models.preflight import preflight, require
from pm_audit.models.registry import load


@pytest.fixture
def model(save_classifier: Callable[..., Path]) -> PreferenceModel:
    return load(save_classifier("llama"), text_format="chat")


def failed(model: PreferenceModel) -> set[str]:
    return {finding.check for finding in preflight(model) if not finding.passed}


def test_a_sound_model_passes(model: PreferenceModel) -> None:
    findings = preflight(model)
    assert all(finding.passed for finding in findings)
    assert len(findings) == 11
    require(findings, name="sound")


def test_training_mode_is_found(model: PreferenceModel) -> None:
    model.decoder.backbone.train()
    assert failed(model) == {"eval mode"}


def test_a_narrow_head_is_found(model: PreferenceModel) -> None:
    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(32, dtype=torch.bfloat16), requires_grad=False)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden @ self.weight.float()

    assert failed(replace(model, head=Narrow().eval(), library=None)) == {"head in fp32"}


def test_a_head_that_ignores_its_input_is_found(model: PreferenceModel) -> None:
    model.head.weight.zero_()
    assert failed(replace(model, library=None)) == {"rewards differ"}
    assert failed(model) == {"rewards differ", "rewards like transformers'"}


def test_rewards_that_are_not_finite_are_found(model: PreferenceModel) -> None:
    model.head.weight.fill_(float("inf"))
    assert "rewards finite" in failed(model)
    with pytest.raises(ModelError, match=r"the preflight failed: rewards finite: .* float32"):
        require(preflight(model), name="broken")


def test_a_reward_that_depends_on_its_batch_is_found(model: PreferenceModel) -> None:
    class Batched(nn.Module):
        def __init__(self, head: nn.Module) -> None:
            super().__init__()
            self.head = head

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.head(hidden - hidden.mean(dim=0)) + hidden.sum(dim=-1)

    assert "batch of one and of many" in failed(replace(model, head=Batched(model.head)))


def test_two_bos_are_found(model: PreferenceModel) -> None:
    class Doubled:
        def __init__(self, form: object, bos: int) -> None:
            self.form, self.bos = form, bos

        def tokenise(self, turns: object, completion: str) -> object:
            row = self.form.tokenise(turns, completion)
            return replace(row, token_ids=(self.bos, *row.token_ids))

    doubled = Doubled(model.text_format, model.tokenizer.bos_token_id)
    assert failed(replace(model, text_format=doubled)) == {"one BOS"}


def test_absent_hashes_are_found(model: PreferenceModel) -> None:
    assert failed(replace(model, sha256="")) == {"weights hashed"}
