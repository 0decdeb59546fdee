"""cuDNN's attention, which builds a plan for every shape, is kept out of packed batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pm_audit.forward.packing import Batch, Jobs, in_batches
from pm_audit.subject.kernels.attention_kernels import kernels_without_plans
from tests.engine_lab import build_grid


@pytest.mark.parametrize("before", [True, False])
def test_the_choice_is_taken_back_after_an_exception_too(*, before: bool) -> None:
    def fail() -> None:
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        raise RuntimeError("inside")

    kept = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(before)
    try:
        with pytest.raises(RuntimeError, match="inside"), kernels_without_plans():
            fail()
        assert torch.backends.cuda.cudnn_sdp_enabled() is before
    finally:
        torch.backends.cuda.enable_cudnn_sdp(kept)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_batch_of_the_engine_on_a_device_runs_without_it(device: str) -> None:
    """The CPU has no such kernel; ``meta`` is any other device here: what runs reads no numbers."""
    layout = build_grid().layout
    jobs = Jobs(np.arange(len(layout.length)), np.zeros_like(layout.length), layout.length)
    seen: list[bool] = []

    def run(_: Batch) -> None:
        seen.append(torch.backends.cuda.cudnn_sdp_enabled())

    before = torch.backends.cuda.cudnn_sdp_enabled()
    in_batches(layout, jobs, run, token_budget=20, device=torch.device(device))
    assert len(seen) > 1
    assert set(seen) == {before if device == "cpu" else False}
    assert torch.backends.cuda.cudnn_sdp_enabled() is before
