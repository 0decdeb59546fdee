"""The engine at the size of a real reward model: a 7B-shaped Llama and a 32k-latent SAE.

    python -m benchmarks.engine.large --device cuda --dtype bfloat16 --json FILE

Random weights; 256 completions of 100 tokens over 16 prompts of 100 tokens.  Reports J2
(integrated gradients, 4 steps) and J3 (single ablation of 300 features) in seconds, tokens a second
through the suffix, and as a share of the matrix rate measured in the same run.  Each job is run
twice; the first call counts apart, for it pays for whatever is built once a shape.  ``--ragged``
gives the completions 20 to 180 tokens, so that most batches have shapes of their own, as an audit's
have; there the first call is what an audit pays.  ``--small`` runs the same code at a size that a
laptop bears.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaModel

from benchmarks.engine.floor import Floor
from benchmarks.engine.workload import FEATURES, Workload
from pm_audit.attribution.integrated_gradients import attribute
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.interventions.ablation import ablate_each
from pm_audit.subject.activation import TopK
from pm_audit.subject.heads import LinearHead
from pm_audit.subject.preference_model import PreferenceModel
from pm_audit.subject.sae import Sae


def main() -> None:
    """Build the model, run both jobs, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--token-budget", type=int)
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    work = _build(device, dtype, small=arguments.small, ragged=arguments.ragged)
    pm, sae, grid = work.pm, work.sae, work.grid
    budget = arguments.token_budget
    clean = replace(work.clean, token_budget=budget)
    rate = _matrix_rate(pm.hidden_size, device, dtype)
    floor = Floor(work)
    latents = work.latents[:FEATURES]
    jobs: dict[str, tuple[Callable[[], object], float]] = {
        "trace": (lambda: trace(pm, [sae], grid, token_budget=budget), floor.rewards()),
        "J2": (
            lambda: attribute(clean, sae),
            floor.attributions() - floor.rewards(),
        ),
        "J3": (
            lambda: ablate_each(clean, sae, latents),
            floor.ablations(latents) - floor.rewards(),
        ),
    }
    report: dict = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "dtype": arguments.dtype,
        "ragged": arguments.ragged,
        "tera_multiply_adds_a_second": rate / 1e12,
        "tokens": int(grid.layout.length.sum()),
        "latents": len(latents),
    }
    for name, (call, adds) in jobs.items():
        first = _timed(call, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = _timed(call, device)
        peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0
        report[name] = {
            "first_seconds": first,
            "seconds": seconds,
            "share_of_rate": adds / rate / seconds,
            "completion_tokens_a_second": len(grid.layout.completion_tokens) / seconds,
            "peak_mb": peak,
        }
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _build(device: torch.device, dtype: torch.dtype, *, small: bool, ragged: bool) -> Workload:
    hidden, depth, heads, mlp, width = (
        (64, 4, 4, 128, 256) if small else (4096, 32, 32, 11008, 32768)
    )
    rows, prompts, tokens = (8, 2, 10) if small else (256, 16, 100)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=heads,
    )
    with torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            backbone = LlamaModel(config)
        finally:
            torch.set_default_dtype(before)
        head = LinearHead(torch.randn(1, hidden) / hidden**0.5)
        decoder = torch.nn.functional.normalize(torch.randn(width, hidden), dim=1)
        zeros = torch.zeros(width), torch.zeros(hidden)
    pm = PreferenceModel.from_backbone(
        backbone, head, name="large", tokenizer=None, text_format=None, sha256=""
    )
    sae = Sae(
        name="large",
        layer=depth // 2,
        architecture="topk",
        source="random",
        sha256="",
        W_enc=decoder.T.contiguous(),
        b_enc=zeros[0],
        W_dec=decoder,
        b_dec=zeros[1],
        activation=TopK(k=50),
    )
    random = np.random.default_rng(0)
    listed = []
    for prompt in range(prompts):
        shared = tuple(random.integers(3, 32000, tokens).tolist())
        for _ in range(rows // prompts):
            length = random.integers(tokens // 5, 2 * tokens - tokens // 5) if ragged else tokens
            own = tuple(random.integers(3, 32000, length).tolist())
            listed.append(Row(prompt, shared + own, tokens))
    grid = Grid(tuple(listed))
    return Workload("large", pm, sae, None, grid, trace(pm, [sae], grid))


def _matrix_rate(hidden: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return multiply-adds a second of a product as wide as the model's."""
    left = torch.randn(8192, hidden, device=device, dtype=dtype)
    right = torch.randn(hidden, 4 * hidden, device=device, dtype=dtype)
    torch.mm(left, right)
    seconds = min(_timed(lambda: torch.mm(left, right), device) for _ in range(20))
    return 8192 * hidden * 4 * hidden / seconds


def _timed(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
