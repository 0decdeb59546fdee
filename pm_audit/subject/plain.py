"""Rewards the plain way: padded batches, an attention mask, the backbone's own forward.

The clean forward of an audit (``forward/trace.py``) shares prompts and packs tokens; this module
does neither, so it is the reference of preflight and tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor

from pm_audit.subject.encoder import Encoder
from pm_audit.subject.kernels.attention_kernels import kernels_without_plans
from pm_audit.subject.kernels.half_products import widened_halves
from pm_audit.subject.preference_model import PreferenceModel, Readout


class Padding(StrEnum):
    """Side on which shorter rows are filled up."""

    LEFT = "left"
    RIGHT = "right"


@kernels_without_plans()
@widened_halves()
def plain_rewards(
    model: PreferenceModel,
    rows: Sequence[Sequence[int]],
    *,
    batch_size: int = 8,
    padding: Padding = Padding.RIGHT,
) -> Tensor:
    """Return the rewards [row] of token rows, in fp32, each read where the PM reads it."""
    with torch.inference_mode():
        rewards = [
            padded_rewards(model, rows[first : first + batch_size], padding).float().cpu()
            for first in range(0, len(rows), batch_size)
        ]
    return torch.cat(rewards)


def padded_rewards(
    model: PreferenceModel, rows: Sequence[Sequence[int]], padding: Padding = Padding.RIGHT
) -> Tensor:
    """Return the rewards [row] of one padded batch; differentiable if gradients are enabled."""
    backbone = model.decoder.backbone
    length = max(map(len, rows))
    fill = model.tokenizer.pad_token_id
    # padding is masked, so any token will do if the tokenizer's own lies beyond the embedding
    known = fill is not None and fill < backbone.get_input_embeddings().weight.shape[0]
    token_ids = torch.full((len(rows), length), fill if known else 0)
    mask = torch.zeros_like(token_ids)
    for index, row in enumerate(rows):
        start = length - len(row) if padding is Padding.LEFT else 0
        token_ids[index, start : start + len(row)] = torch.tensor(row)
        mask[index, start : start + len(row)] = 1
    inputs = {"input_ids": token_ids, "attention_mask": mask}
    options: dict[str, bool] = {"use_cache": False}
    first = 0
    if isinstance(model.decoder, Encoder):
        options, first = {}, model.decoder.first_position
        segments = model.decoder.segments(token_ids, model.tokenizer.sep_token_id)
        inputs |= {} if segments is None else {"token_type_ids": segments}
    if "position_ids" in inspect.signature(backbone.forward).parameters:
        inputs["position_ids"] = (mask.cumsum(dim=1) - 1).clamp_min(0) + first
    inputs = {key: value.to(model.device) for key, value in inputs.items()}
    hidden = backbone(**inputs, **options).last_hidden_state
    return _read(model, hidden, rows, inputs["attention_mask"], padding)


def _read(
    model: PreferenceModel,
    hidden: Tensor,
    rows: Sequence[Sequence[int]],
    mask: Tensor,
    padding: Padding,
) -> Tensor:
    """Return rewards [row] of padded states [row token hidden]."""
    if model.readout is Readout.MEAN:
        weights = mask.to(hidden.device, torch.float32)
        summed = (hidden.float() * weights[..., None]).sum(dim=1)
        return model.reward(summed / weights.sum(dim=1, keepdim=True))
    # the row's length says where padding begins: pad may be a real token, or beyond the embedding
    left = padding is Padding.LEFT
    starts = [hidden.shape[1] - len(row) if left else 0 for row in rows]
    first = model.readout is Readout.FIRST
    row = torch.arange(len(rows))
    lengths = [1 if first else model.read_length(one) for one in rows]
    read = torch.tensor(starts) + torch.tensor(lengths) - 1
    if model.gate is None:
        return model.reward(hidden[row, read])
    gated = torch.tensor(starts) + torch.tensor([model.gate.position(one) for one in rows])
    return model.reward(hidden[row, read], model.gate(hidden[row, gated]))
