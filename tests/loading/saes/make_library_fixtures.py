"""Let dictionary_learning and sparsify train and save tiny SAEs, with their own outputs beside.

Their pinned dependencies do not install beside ours, so the files they wrote are kept in
``library/``.  To make them again:

    pip install --no-deps --target LIBRARIES \
        dictionary-learning==0.1.0 eai-sparsify==1.3.3 natsort schedulefree zstandard
    PYTHONPATH=LIBRARIES python tests/loading/saes/make_library_fixtures.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

OUT = Path(__file__).parent / "library"
HIDDEN, LATENT, LAYER = 8, 32, 3
NORM_FACTOR = 12.5
STEPS = 60


def stream(rows: int, seed: int) -> Tensor:
    """Activations [row hidden] with structure: sparse sums of a few directions, off centre."""
    noise = torch.Generator().manual_seed(seed)
    directions = torch.randn(20, HIDDEN, generator=torch.Generator().manual_seed(1))
    amounts = torch.rand(rows, 20, generator=noise) * (torch.rand(rows, 20, generator=noise) < 0.2)
    return 4 * amounts @ directions + 1.5


def batches(steps: int) -> Iterator[Tensor]:
    for step in range(steps):
        yield stream(256, seed=100 + step)


def keep(
    folder: Path, encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor]
) -> None:
    with torch.no_grad():
        given = stream(24, seed=2)
        features = encode(given)
        save_file(
            {
                "stream": given,
                "features": features.contiguous(),
                "reconstruction": decode(features).contiguous(),
            },
            folder / "expected.safetensors",
        )


def dictionary_learning() -> None:
    nnsight = types.ModuleType("nnsight")
    nnsight.LanguageModel = object  # type: ignore[attr-defined]  # named by a buffer unused here
    sys.modules["nnsight"] = nnsight
    from dictionary_learning import trainers, utils
    from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainerAprilUpdate
    from dictionary_learning.training import trainSAE

    shared: dict[str, Any] = {
        "steps": STEPS,
        "activation_dim": HIDDEN,
        "dict_size": LATENT,
        "layer": LAYER,
        "lm_name": "tiny",
        "device": "cpu",
        "submodule_name": f"resid_post_layer_{LAYER}",
        "warmup_steps": 1,
        "seed": 0,
    }
    plain = {"lr": 3e-3, "sparsity_warmup_steps": 2}
    topk = {"k": 4, "lr": 3e-3, "decay_start": 50}
    runs: dict[str, dict[str, Any]] = {
        "AutoEncoder": {"trainer": trainers.StandardTrainer, "dict_class": AutoEncoder, **plain},
        "AutoEncoderNew": {
            "trainer": StandardTrainerAprilUpdate,
            "dict_class": AutoEncoderNew,
            **plain,
        },
        "GatedAutoEncoder": {"trainer": trainers.GatedSAETrainer, "l1_penalty": 0.05, **plain},
        "JumpReluAutoEncoder": {
            "trainer": trainers.JumpReluTrainer,
            "target_l0": 4.0,
            **plain,
        },
        "AutoEncoderTopK": {"trainer": trainers.TopKTrainer, **topk},
        "BatchTopKSAE": {"trainer": trainers.BatchTopKTrainer, "threshold_start_step": 5, **topk},
        "MatryoshkaBatchTopKSAE": {
            "trainer": MatryoshkaBatchTopKTrainer,
            "group_fractions": [0.25, 0.75],
            "threshold_start_step": 5,
            **topk,
        },
    }
    for name, options in runs.items():
        folder = OUT / "dictionary_learning" / name
        with tempfile.TemporaryDirectory() as written:
            trainSAE(batches(STEPS + 1), [shared | options], STEPS, save_dir=written, device="cpu")
            shutil.copytree(Path(written) / "trainer_0", folder)
        if name == "AutoEncoder":
            # loading for analysis rescales this class; what was trained is what the file holds
            dictionary = AutoEncoder.from_pretrained(folder / "ae.pt", normalize_decoder=False)
        elif name == "AutoEncoderNew":
            # this trainer writes the wrong class into its config; the weights know better
            dictionary = AutoEncoderNew.from_pretrained(folder / "ae.pt")
        else:
            dictionary, _ = utils.load_dictionary(str(folder), device="cpu")
        keep(folder, dictionary.encode, dictionary.decode)
        if name == "GatedAutoEncoder":
            interrupted = OUT / "dictionary_learning" / "interrupted"
            interrupted.mkdir()
            shutil.copy(folder / "config.json", interrupted)
            state = {
                "step": 30,
                "ae": {key: value.clone() for key, value in dictionary.state_dict().items()},
                "norm_factor": NORM_FACTOR,
            }
            torch.save(state, interrupted / "ae.pt")
            dictionary.scale_biases(NORM_FACTOR)
            keep(interrupted, dictionary.encode, dictionary.decode)


def sparsify() -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    kinds: dict[str, dict[str, Any]] = {
        "layers.3": {"k": 4},
        "gpt_neox.layers.5": {"k": 4, "activation": "groupmax"},
        "transformer.h.2": {"k": 4, "skip_connection": True},
        "layers.1.mlp": {"k": 4, "transcode": True},
    }
    for hookpoint, options in kinds.items():
        torch.manual_seed(5)
        coder = SparseCoder(HIDDEN, SparseCoderConfig(num_latents=LATENT, **options))
        learning = torch.optim.Adam(coder.parameters(), lr=3e-3)
        for given in batches(STEPS):
            coder(given).fvu.backward()
            learning.step()
            learning.zero_grad()
        folder = OUT / "sparsify" / hookpoint
        coder.save_to_disk(folder)
        if options.get("transcode"):
            continue
        given = stream(24, seed=2)

        def dense(given: Tensor, coder: Any = coder) -> Tensor:
            found = coder.encode(given)
            features = torch.zeros(len(given), LATENT)
            return features.scatter(1, found.top_indices, found.top_acts)

        keep(folder, dense, lambda _, coder=coder, given=given: coder(given).sae_out)


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    dictionary_learning()
    sparsify()
