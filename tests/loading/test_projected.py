"""Projections in plain weights, as transformers and PEFT load them by themselves."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

import pm_audit
from pm_audit.errors import ModelError
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import rewards
from pm_audit.loading.projected import Projection, projected, save_adapter, save_whole
from tests.engine_lab import build_pm

torch.set_num_threads(1)

LAYER = 1
TEXTS = [[7, 40, 41, 42, 60, 9], [7, 40, 41, 8], [7, 99, 98, 97, 96, 120, 121]]
GRID = Grid(tuple(Row(number, tuple(ids), 2) for number, ids in enumerate(TEXTS)))


@pytest.fixture
def projection() -> Projection:
    torch.manual_seed(1)
    rows = torch.randn(3, 32)
    rows[2] = rows[0] + rows[1]  # a feature that adds no direction
    return Projection.onto(rows, torch.randn(32), LAYER)


def by_transformers(model) -> list[float]:
    with torch.inference_mode():
        return [float(model(input_ids=torch.tensor([ids])).logits[0, 0]) for ids in TEXTS]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_stream_has_the_level_everywhere_up_to_the_block(kind, save_classifier, projection):
    pm = pm_audit.load_pm(save_classifier(kind), text_format="raw")
    before = rewards(pm, GRID)
    changed = projected(pm, projection)
    assert projection.basis.shape == (2, 32)
    for ids in TEXTS:
        states = changed.decoder.backbone(
            torch.tensor([ids]), output_hidden_states=True
        ).hidden_states
        for stream in states[: LAYER + 2]:
            along = stream[0].double() @ projection.basis.T
            assert along.numpy() == pytest.approx(
                projection.level.expand_as(along).numpy(), abs=1e-4
            )
    assert rewards(pm, GRID) == pytest.approx(before, abs=1e-7)  # the PM itself is as it was
    assert abs(rewards(changed, GRID) - before).max() > 1e-3


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_transformers_loads_the_written_model_by_itself(
    kind, save_classifier, projection, tmp_path
):
    pm = pm_audit.load_pm(save_classifier(kind), text_format="raw")
    changed = projected(pm, projection)
    save_whole(changed, tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    assert by_transformers(model) == pytest.approx(rewards(changed, GRID), abs=1e-4)
    again = pm_audit.load_pm(tmp_path / "model", text_format="raw")
    assert rewards(again, GRID) == pytest.approx(rewards(changed, GRID), abs=1e-4)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_peft_and_this_package_load_the_written_adapter(save_classifier, projection, tmp_path):
    base = save_classifier("llama")
    pm = pm_audit.load_pm(base, text_format="raw")
    expected = rewards(projected(pm, projection), GRID)
    save_adapter(pm, projection, tmp_path / "adapter", base=str(base))
    alone = AutoModelForSequenceClassification.from_pretrained(base)
    model = PeftModel.from_pretrained(alone, tmp_path / "adapter").eval()
    assert by_transformers(model) == pytest.approx(expected, abs=1e-4)
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["r"] == 2
    again = pm_audit.load_pm(f"{tmp_path / 'adapter'}@{base}", text_format="raw")
    assert rewards(again, GRID) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["gemma2-softcap", "gpt2", "gpt-j"])
def test_blocks_that_write_in_other_ways_are_refused(kind, projection):
    with pytest.raises(ModelError, match="may write to the stream by more than"):
        projected(build_pm(kind), projection)
