from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pm_audit.data.dialogue import Dialogue
from pm_audit.errors import ModelError
from pm_audit.loading.pms.registry import load, load_each
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.plain import plain_rewards
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.preflight import preflight, require
from pm_audit.text.text_format import TextFormat, TokenisedRow


@pytest.fixture
def model(save_classifier: Callable[..., Path]) -> PreferenceModel:
    return load(save_classifier("llama"), text_format="chat")


def failed(model: PreferenceModel) -> set[str]:
    return {finding.check for finding in preflight(model) if not finding.passed}


def test_a_sound_model_passes(model: PreferenceModel) -> None:
    findings = preflight(model)
    assert all(finding.passed for finding in findings)
    assert len(findings) == 12
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
    assert failed(model) == {"rewards differ", "rewards as transformers"}


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


class Shortened(TextFormat):
    """Loses each text's last token."""

    def tokenise(self, turns: Dialogue, completion: str) -> TokenisedRow:
        row = super().tokenise(turns, completion)
        return replace(row, token_ids=row.token_ids[:-1], offsets=row.offsets[:-1])


def test_ids_that_are_not_transformers_own_are_found(model: PreferenceModel) -> None:
    form = Shortened("chat", model.tokenizer)
    assert failed(replace(model, text_format=form)) == {
        "ids as transformers",
        "rewards as transformers",
    }


def test_a_reward_that_is_read_elsewhere_is_found(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama")
    config = json.loads((folder / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": end}))
    model = load(folder, text_format="raw", text_end="<|end|>")
    assert failed(model) == set()
    assert failed(replace(model, padding_id=None)) == {"rewards as transformers"}
    (found,) = (one for one in preflight(model) if one.check == "reward read at")
    assert "1 of padding's id after it left out" in found.detail


def test_a_head_of_its_own_is_compared_too(model: PreferenceModel) -> None:
    class Shifted(LinearHead):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden) + hidden[:, 0]

    head = Shifted(model.head.weight, model.head.bias).eval().requires_grad_(requires_grad=False)
    assert failed(replace(model, head=head, library=None)) == {"rewards as transformers"}


def test_what_was_taken_of_several_conventions_is_said(
    save_classifier: Callable[..., Path], tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = save_classifier("llama")
    dated = tokenizer.chat_template.replace("{{ bos_token }}", "{{ strftime_now('%Y') }}")
    (folder / "chat_template.jinja").write_text(dated)
    (ids,) = (one for one in preflight(load(folder)) if one.check == "ids as transformers")
    assert ids.passed
    said = "6 of 6 texts, chat, text_end as-written, text_start bos (the template writes none)"
    assert ids.detail == f"{said}, text_date 2024-07-26"
    (ids,) = (
        one
        for one in preflight(load(folder, text_start="as-written"))
        if one.check == "ids as transformers"
    )
    assert ids.passed
    assert "text_start as-written" in ids.detail


def test_a_template_that_draws_at_random_is_found(
    save_classifier: Callable[..., Path], tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = save_classifier("llama")
    drawn = tokenizer.chat_template + "{{ range(90000) | random }}"
    (folder / "chat_template.jinja").write_text(drawn)
    assert "same text each time" in failed(load(folder))


def test_each_objective_is_compared_with_its_own_outputs(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama", labels=3)
    models = load_each(folder, objective="all", text_format="hh")
    assert [failed(one) for one in models] == [set(), set(), set()]
    mixed = load(folder, objective="LABEL_0=0.5,LABEL_2=-1", text_format="hh")
    assert failed(mixed) == set()
    assert failed(replace(mixed, library=None, head=models[0].head)) == set()
    wrong = replace(
        mixed, head=LinearHead(torch.ones(1, 32)).eval().requires_grad_(requires_grad=False)
    )
    assert failed(wrong) == {"rewards as transformers"}


def test_large_rewards_of_a_narrow_body_may_differ_by_their_rounding(
    save_classifier: Callable[..., Path],
) -> None:
    narrow = load(save_classifier("llama"), text_format="chat", dtype=torch.bfloat16)
    assert failed(narrow) == set()

    class Rounded:
        """Outputs about 300, to which bf16 has steps of 2."""

        def outputs(self, rows: list[dict[str, list[int]]]) -> torch.Tensor:
            plain = plain_rewards(narrow, [row["input_ids"] for row in rows])
            return (300 + plain).to(torch.bfloat16).float()[:, None]

    class Shifted(LinearHead):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden) + 300

    head = Shifted(narrow.head.weight, narrow.head.bias).eval().requires_grad_(requires_grad=False)
    shifted = replace(narrow, head=head, library=Rounded())
    assert failed(shifted) == set()
    assert failed(replace(shifted, head=narrow.head)) == {"rewards as transformers"}
