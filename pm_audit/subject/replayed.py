"""Whether a body's blocks, run one by one on packed rows, are the body.

An audit packs many rows one after the other.  A block that mixes tokens by anything but its
attention (a convolution, a recurrence) would mix rows, and attention that is not causal would read
later tokens; the rewards would differ from the body's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.subject.decoder import Decoder
from pm_audit.subject.kernels.packed_attention import SegmentGroup, attend_in

_ROWS, _LENGTH = 2, 8
_TOLERANCE = {torch.float32: 1e-2, torch.float64: 1e-2}
"""Mean difference of a token's state, as a share of its norm, by the body's dtype; else 0.2."""


@torch.inference_mode()
def refuse_unlike(decoder: Decoder, *, name: str) -> None:
    """Run two short rows through the body, and packed through its blocks.

    Raises:
        ModelError: the states differ.

    """
    vocabulary = decoder.backbone.get_input_embeddings().weight.shape[0]
    rows = torch.arange(_ROWS * _LENGTH, device=decoder.device).view(_ROWS, _LENGTH) % vocabulary
    own = decoder.backbone(input_ids=rows, use_cache=False).last_hidden_state
    own = own.reshape(_ROWS * _LENGTH, -1).float()
    packed = _packed(decoder, rows).float().to(own.device)
    apart = (packed - own).norm(dim=-1) / own.norm(dim=-1).clamp_min(1e-12)
    if not float(apart.mean()) <= _TOLERANCE.get(decoder.dtype, 0.2):
        raise ModelError(
            f"{name}: the blocks of {type(decoder.backbone).__name__}, run one by one, give other "
            f"states than the body (they differ by {float(apart.mean()):.0%}): its attention is "
            "not causal, or its blocks mix tokens by other means; pm_audit splices causal decoders"
        )


def _packed(decoder: Decoder, rows: Tensor) -> Tensor:
    """Return the last states [token hidden] of rows [row token] laid one after the other."""
    tokens = rows.flatten()
    positions = torch.arange(_LENGTH, device=rows.device).repeat(_ROWS)
    groups = [SegmentGroup(0, _ROWS, _LENGTH, context=None, context_length=None)]
    inputs = decoder.inputs(tokens, positions)
    stream = inputs.embedded[0]
    for layer in range(decoder.depth):
        stream = decoder.run(layer, stream, inputs, attend_in(groups, None))
    return decoder.finish(stream, tokens, positions)
