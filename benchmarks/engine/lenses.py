"""Contestant ``sae_lens``: the same jobs in SAELens on TransformerLens, as their users write them.

The Llama backbone is converted with TransformerLens's own converter and stops after its last
block; the SAE is loaded by SAELens, spliced in with its error term, and edited by its hooks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.engine.plain import PlainContestant
from benchmarks.engine.workload import STEPS, Workload


def why_missing() -> str | None:
    """Say why this contestant cannot run here, or None."""
    try:
        import sae_lens
        import transformer_lens  # noqa: F401
    except ImportError as error:
        return f"{error}; pip install sae-lens transformer-lens"
    del sae_lens
    return None


class LensContestant:
    """SAELens and TransformerLens."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.plain = PlainContestant(work)
        self.batch = self.plain.batch
        self.model = _hooked_model(work)
        self.sae = _sae(work)
        self.sae.use_error_term = True
        self.hook = f"blocks.{work.sae.layer}.hook_resid_post"
        self.sae.cfg.metadata.hook_name = self.hook

    def rewards(self) -> np.ndarray:
        """Return rewards [row]."""
        with torch.no_grad():
            return self._read(self._run([])).double().numpy()

    def attributions(self) -> np.ndarray:
        """Return IG at every active (token, latent), [active]."""
        completion = self.batch.completion[..., None]
        total: Tensor | float = 0.0
        acts: list[Tensor] = []
        leaves: list[Tensor] = []
        for step in range(STEPS):
            kept = 1 - (step + 0.5) / STEPS * completion.float()

            def scale_acts(value: Tensor, hook: object, kept: Tensor = kept) -> Tensor:
                del hook
                acts.append(value.detach())
                leaves.append((value.detach() * kept).requires_grad_())
                return leaves[-1]

            def scale_error(value: Tensor, hook: object, kept: Tensor = kept) -> Tensor:
                del hook
                return value.detach() * kept

            hooks = [
                (f"{self.hook}.hook_sae_acts_post", scale_acts),
                (f"{self.hook}.hook_sae_error", scale_error),
            ]
            rewards = self._read(self._spliced(hooks))
            total = total + torch.autograd.grad(rewards.sum(), leaves[-1])[0] / STEPS
        plain = self.plain
        own = (total * acts[-1])[plain.row, plain.position, plain.latent]
        active = acts[-1][plain.row, plain.position, plain.latent].clamp_min(1e-12)
        return (own / active * plain.value).double().numpy()

    def ablations(self, latents: np.ndarray) -> np.ndarray:
        """Return contributions [latent row]."""
        completion = self.batch.completion
        found = []
        with torch.no_grad():
            clean = self._read(self._spliced([]))
            for latent in latents.tolist():

                def ablate(value: Tensor, hook: object, latent: int = latent) -> Tensor:
                    del hook
                    value = value.clone()
                    value[..., latent] = value[..., latent].masked_fill(completion, 0.0)
                    return value

                hooks = [(f"{self.hook}.hook_sae_acts_post", ablate)]
                found.append(clean - self._read(self._spliced(hooks)))
        return torch.stack(found).double().numpy()

    def _run(self, hooks: list[Any]) -> Tensor:
        depth = self.model.cfg.n_layers
        return self.model.run_with_hooks(self.batch.ids, fwd_hooks=hooks, stop_at_layer=depth)

    def _spliced(self, hooks: list[Any]) -> Tensor:
        with self.model.saes(saes=[self.sae]):
            return self._run(hooks)

    def _read(self, stream: Tensor) -> Tensor:
        rows = torch.arange(len(self.batch.ids))
        normalised = self.model.ln_final(stream[rows, self.batch.last][:, None])[:, 0]
        return self.work.pm.reward(normalised)


def _hooked_model(work: Workload) -> Any:
    from sae_lens import HookedSAETransformer
    from transformer_lens import HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_llama_weights

    backbone = work.pm.decoder.backbone
    config = backbone.config
    rope = getattr(config, "rope_parameters", None) or {}
    lens_config = HookedTransformerConfig(
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        d_head=config.hidden_size // config.num_attention_heads,
        n_heads=config.num_attention_heads,
        n_key_value_heads=config.num_key_value_heads,
        d_mlp=config.intermediate_size,
        n_ctx=512,
        d_vocab=config.vocab_size,
        d_vocab_out=1,
        act_fn="silu",
        gated_mlp=True,
        normalization_type="RMS",
        final_rms=True,
        eps=config.rms_norm_eps,
        positional_embedding_type="rotary",
        rotary_dim=config.hidden_size // config.num_attention_heads,
        rotary_base=rope.get("rope_theta", 10000.0),
        rotary_adjacent_pairs=False,
        device="cpu",
    )
    model = HookedSAETransformer(lens_config)
    no_vocabulary = SimpleNamespace(weight=torch.zeros(1, config.hidden_size))
    llama = SimpleNamespace(model=backbone, lm_head=no_vocabulary)
    weights = convert_llama_weights(llama, lens_config)
    weights["unembed.b_U"] = torch.zeros(1)
    # Strict loading would ask for the causal masks, which are buffers that the model makes itself.
    missing = model.load_state_dict(weights, strict=False).missing_keys
    if any("mask" not in key and "IGNORE" not in key and "rotary" not in key for key in missing):
        raise RuntimeError(f"TransformerLens lacks weights: {missing}")
    return model.eval().requires_grad_(requires_grad=False)


def _sae(work: Workload) -> Any:
    from sae_lens import SAE

    if work.sae_folder is not None:
        return SAE.load_from_disk(work.sae_folder, device="cpu", dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        return SAE.load_from_disk(save_topk(work, Path(folder)), device="cpu")


def save_topk(work: Workload, folder: Path) -> Path:
    """Write a random workload's TopK SAE in SAELens format."""
    import json

    sae = work.sae
    save_file(
        {
            "W_enc": sae.W_enc.contiguous(),
            "W_dec": sae.W_dec.contiguous(),
            "b_enc": sae.b_enc,
            "b_dec": sae.b_dec,
        },
        folder / "sae_weights.safetensors",
    )
    config = {
        "architecture": "topk",
        "d_in": sae.hidden_size,
        "d_sae": sae.width,
        "k": sae.activation.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": f"blocks.{sae.layer}.hook_resid_post"},
    }
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
