"""Packing: nothing lost, nothing twice; memory running out costs time, not answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_audit.errors import AuditError
from pm_audit.forward.packing import Jobs, in_batches, pack
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each

CPU = torch.device("cpu")


@settings(max_examples=30)
@given(data=st.data(), budget=st.integers(1, 60))
def test_every_token_of_every_job_is_packed_once(lab, data, budget):
    layout = lab.grid().layout
    row = np.array(data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=20)))
    start = np.array([data.draw(st.integers(0, int(layout.length[at]) - 1)) for at in row])
    jobs = Jobs(row, start, layout.length[row])
    seen = np.zeros(len(jobs), dtype=int)
    for batch in pack(layout, jobs, token_budget=budget, device=CPU):
        assert len(batch.tokens) <= budget or len(batch.jobs) == 1
        assert sum(group.count * group.length for group in batch.groups) == len(batch.tokens)
        for at, job in enumerate(batch.jobs):
            own = (batch.job_of == at).numpy()
            positions = np.arange(start[job], layout.length[row[job]])
            assert (batch.positions.numpy()[own] == positions).all()
            flat = layout.locate(np.full(len(positions), row[job]), positions)
            assert (batch.tokens.numpy()[own] == flat).all()
            assert batch.tokens[batch.last[at]] == layout.readout[row[job]]
            seen[job] += 1
    assert (seen == 1).all()


def test_contexts_count_against_the_budget(lab):
    layout = lab.grid().layout
    row = np.repeat(np.arange(12), 50)
    start = layout.length[row] - 1
    jobs = Jobs(row, start, layout.length[row])
    batches = list(pack(layout, jobs, token_budget=8, device=CPU))
    for batch in batches:
        assert sum(layout.length[batch.row] - 1) <= 8 * 16


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_out_of_memory_halves_the_batch_and_changes_nothing(lab, llama, monkeypatch, error):
    sae = lab.sae(1)
    clean = trace(llama, [sae], lab.grid())
    expected = ablate_each(clean, sae, np.arange(64))
    sizes = []
    plain_run = type(llama.decoder).run

    def cramped(self, layer, stream, *rest):
        sizes.append(len(stream))
        if len(stream) > 40:
            raise error
        return plain_run(self, layer, stream, *rest)

    monkeypatch.setattr(type(llama.decoder), "run", cramped)
    found = ablate_each(clean, sae, np.arange(64))
    assert max(sizes) > 40
    order, expected_order = (np.lexsort((one.row, one.latent)) for one in (found, expected))
    np.testing.assert_allclose(
        found.contribution[order], expected.contribution[expected_order], atol=5e-6
    )


def test_a_row_that_never_fits_is_a_clear_error(lab):
    layout = lab.grid().layout

    def never(_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    rows = np.arange(12)
    jobs = Jobs(rows, np.zeros(12, dtype=int), layout.length[rows])
    with pytest.raises(AuditError, match=r"single row of \d+ tokens; shorten the texts"):
        in_batches(layout, jobs, never, token_budget=1000, device=CPU)


def test_other_errors_pass_through(lab):
    layout = lab.grid().layout

    def broken(_: object) -> None:
        raise RuntimeError("shapes differ")

    jobs = Jobs(np.array([0]), np.array([0]), layout.length[:1])
    with pytest.raises(RuntimeError, match="shapes differ"):
        in_batches(layout, jobs, broken, token_budget=1000, device=CPU)
