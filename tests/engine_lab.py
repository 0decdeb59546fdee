"""A laboratory of tiny models: random backbones of every family, and the plain way to run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from pm_audit.forward.contrast import Contrast
from pm_audit.forward.experiment import Experiment
from pm_audit.forward.grid import Grid, Row
from pm_audit.forward.trace import trace
from pm_audit.records import Role
from pm_audit.subject.activation import Activation, Relu
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.subject.sae import Sae

VOCABULARY = 97
HIDDEN = 32
DEPTH = 4

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
_GROUPED = {**_SHAPE, "num_key_value_heads": 2, "head_dim": 8}
_LOCAL_GLOBAL = ["sliding_attention", "full_attention"] * (DEPTH // 2)
_GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": HIDDEN,
    "n_layer": DEPTH,
    "n_head": 4,
    "n_positions": 128,
}

FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", _GROUPED),
    "mistral-sliding": ("mistral", {**_GROUPED, "sliding_window": 5}),
    "qwen2": ("qwen2", _GROUPED),
    "qwen2-sliding": (
        "qwen2",
        {**_GROUPED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    ),
    "qwen3": ("qwen3", _GROUPED),
    "gemma2-softcap": (
        "gemma2",
        {
            **_GROUPED,
            "sliding_window": 4,
            "layer_types": _LOCAL_GLOBAL,
            "attn_logit_softcapping": 0.5,
            "query_pre_attn_scalar": 20,
        },
    ),
    "gemma3-local-global": (
        "gemma3_text",
        {**_GROUPED, "sliding_window": 4, "layer_types": _LOCAL_GLOBAL},
    ),
    "gpt-neox": ("gpt_neox", {**_SHAPE, "use_parallel_residual": True}),
    "gpt-neox-serial": ("gpt_neox", {**_SHAPE, "use_parallel_residual": False}),
    "gpt-j": ("gptj", {**_GPT, "rotary_dim": 4}),
    "gpt2": ("gpt2", {**_GPT, "scale_attn_by_inverse_layer_idx": True}),
    "opt": ("opt", {**_SHAPE, "ffn_dim": 48, "word_embed_proj_dim": HIDDEN}),
    "opt-350m-like": (
        "opt",
        {**_SHAPE, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "phi": ("phi", {**_SHAPE, "num_key_value_heads": 2, "qk_layernorm": True}),
}


def build_backbone(family: str) -> nn.Module:
    """Return a random backbone whose weights are large enough that every part matters."""
    model_type, settings = FAMILIES[family]
    torch.manual_seed(7)
    config = AutoConfig.for_model(model_type, **settings, attn_implementation="eager")
    backbone = AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone.eval()


def build_pm(family: str = "llama") -> PreferenceModel:
    """Return a tiny preference model of a family."""
    backbone = build_backbone(family)
    width = backbone.config.hidden_size
    if family == "opt-350m-like":
        width = 16
    head = nn.Linear(width, 1, bias=False)
    nn.init.normal_(head.weight, std=0.15)
    return PreferenceModel.from_backbone(
        backbone, head, name=family, tokenizer=None, text_format=None, sha256=""
    )


def build_sae(
    layer: int,
    *,
    width: int = 64,
    name: str | None = None,
    activation: Activation | None = None,
    seed: int = 0,
    **settings: object,
) -> Sae:
    """Return a random SAE that fires often."""
    torch.manual_seed(100 * layer + seed)
    return Sae(
        name=name or f"block{layer}",
        layer=layer,
        architecture="test",
        source="test",
        sha256="",
        W_enc=torch.randn(HIDDEN, width) / HIDDEN**0.5,
        b_enc=0.3 * torch.randn(width) - 0.3,
        W_dec=torch.randn(width, HIDDEN) / HIDDEN**0.5,
        b_dec=0.1 * torch.randn(HIDDEN),
        activation=activation or Relu(),
        **settings,
    )


def build_grid(
    seed: int = 0, *, prompts: int = 3, completions: int = 4, end: tuple[int, ...] = ()
) -> Grid:
    """Return random rows over shared prompts of unequal lengths; ``end`` follows completions."""
    random = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        shared = tuple(random.integers(3, VOCABULARY, 4 + 3 * prompt).tolist())
        for _ in range(completions):
            own = tuple(random.integers(3, VOCABULARY, random.integers(1, 9)).tolist())
            stop = len(shared + own) if end else None
            rows.append(Row(prompt, shared + own + end, len(shared), stop))
    return Grid(tuple(rows))


ROLES = (Role.EXAMPLE, Role.COUNTER_EXAMPLE, Role.COUNTER_EXAMPLE, Role.CONTROL)


def build_experiment(pm: PreferenceModel, *saes: Sae, grid: Grid | None = None) -> Experiment:
    """Return the clean forward of a grid whose prompts have the roles ``ROLES`` in turn."""
    grid = grid or build_grid(end=(1, 2))
    prompt = np.array([row.prompt for row in grid.rows])
    seen = [int((prompt[:index] == one).sum()) for index, one in enumerate(prompt)]
    roles = [ROLES[number % len(ROLES)] for number in seen]
    return Experiment(trace(pm, saes, grid), Contrast(prompt, roles))


Ablated = Callable[[int, Tensor], Tensor]
"""(row, stream of its completion) -> the changed stream."""


@dataclass(frozen=True)
class Wanted:
    """Targets written out token by token: what an ablation must put in place, and how."""

    sae: Sae
    feature: list[Tensor]
    """By row: [token latent]."""
    error: list[Tensor]
    """By row: [token hidden]."""

    @classmethod
    def contrast(cls, experiment: Experiment, sae: Sae, *, shift: int = 0) -> Wanted:
        """Average the counter-examples' tokens of each row's prompt, or of one ``shift`` later."""
        rows, contrast = experiment.trace.grid.rows, experiment.contrast
        streams: dict[int, Tensor] = {}

        def keep(row: int, stream: Tensor) -> Tensor:
            streams[row] = stream.clone()
            return stream

        Plain(experiment.trace.pm, experiment.trace.grid).rewards({sae.layer: keep})
        encoded = {row: sae.encode(stream) for row, stream in streams.items()}
        features = {row: one.features for row, one in encoded.items()}
        errors = {row: streams[row] - sae.decode(one) for row, one in encoded.items()}

        def mean_at(prompt: int, place: int, values: dict[int, Tensor]) -> Tensor:
            means = []
            for number, row in enumerate(rows):
                counted = contrast.role[number] is Role.COUNTER_EXAMPLE
                if counted and contrast.prompt[number] == prompt:
                    own = [
                        v for v, at in zip(values[number], places(row), strict=True) if at == place
                    ]
                    means += [torch.stack(own).mean(0)] if own else []
            return torch.stack(means).mean(0) if means else torch.zeros(values[0].shape[1])

        def targets(values: dict[int, Tensor]) -> list[Tensor]:
            found = []
            for number, row in enumerate(rows):
                prompt = (int(contrast.prompt[number]) + shift) % contrast.prompts
                own = [mean_at(prompt, place, values) for place in places(row)]
                found.append(torch.stack(own) if own else torch.zeros_like(values[number]))
            return found

        return cls(sae, targets(features), targets(errors))

    @classmethod
    def constant(cls, experiment: Experiment, sae: Sae, value: Tensor | float) -> Wanted:
        """Put the same value [latent] everywhere, and no error."""
        rows = experiment.trace.grid.rows
        tokens = [len(row.token_ids) - row.completion_start for row in rows]
        one = torch.zeros(sae.width) + value
        return cls(
            sae,
            [one.expand(count, -1) for count in tokens],
            [torch.zeros(count, HIDDEN) for count in tokens],
        )

    def ablation(self, latents: list[int]) -> Ablated:
        """Return the edit x - (decode(f) - decode(f with S replaced)), as it is written."""

        def edit(row: int, stream: Tensor) -> Tensor:
            encoding = self.sae.encode(stream)
            changed = encoding.features.clone()
            changed[:, latents] = self.feature[row][:, latents]
            return (
                stream
                - self.sae.decode(encoding)
                + self.sae.decode(replace(encoding, features=changed))
            )

        return edit

    def everything(
        self, *, but: list[int] | None = None, features: bool = True, error: bool = False
    ) -> Ablated:
        """Return the edit that puts features but some, the error term, or both, in place."""

        def edit(row: int, stream: Tensor) -> Tensor:
            encoding = self.sae.encode(stream)
            values = self.feature[row].clone() if features else encoding.features
            values[:, but or []] = encoding.features[:, but or []]
            left = self.error[row] if error else stream - self.sae.decode(encoding)
            return self.sae.decode(replace(encoding, features=values)) + left

        return edit


def places(row: Row) -> list[int]:
    """Return the place of each completion token: 0 for its own, else counted from the end."""
    length, stop = len(row.token_ids), row.completion_stop
    stop = length if stop is None else stop
    return [0 if at < stop else length - at for at in range(row.completion_start, length)]


@dataclass(frozen=True)
class Plain:
    """The plain way: padded full forwards of the transformers model, edited by hooks."""

    pm: PreferenceModel
    grid: Grid

    def rewards(
        self,
        edits: dict[int, Callable[[int, Tensor], Tensor]] | None = None,
        *,
        left: bool = False,
    ) -> np.ndarray:
        """Return rewards [row]; an edit maps (row, its completion's stream) to a new stream."""
        with torch.no_grad():
            return self._rewards(edits or {}, left=left).double().numpy()

    def gradients(
        self, layer: int, edits: dict[int, Callable[[int, Tensor], Tensor]] | None = None
    ) -> np.ndarray:
        """Return the gradient of each row's reward by its completion's (edited) stream."""
        edit = (edits or {}).get(layer, lambda _, stream: stream)
        leaves = [
            torch.zeros(len(row.token_ids) - row.completion_start, HIDDEN, requires_grad=True)
            for row in self.grid.rows
        ]
        rewards = self._rewards(
            {layer: lambda row, stream: edit(row, stream) + leaves[row]}, left=False
        )
        return torch.cat(torch.autograd.grad(rewards.sum(), leaves)).numpy()

    def _rewards(self, edits: dict[int, Callable[[int, Tensor], Tensor]], *, left: bool) -> Tensor:
        backbone = self.pm.decoder.backbone
        rows = self.grid.rows
        width = max(len(row.token_ids) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        firsts = []
        for index, row in enumerate(rows):
            first = width - len(row.token_ids) if left else 0
            ids[index, first : first + len(row.token_ids)] = torch.tensor(row.token_ids)
            mask[index, first : first + len(row.token_ids)] = 1
            firsts.append(first)
        positions = (mask.cumsum(1) - 1).clamp_min(0)

        def hook(layer: int) -> Callable[..., object]:
            def change(_: nn.Module, __: object, output: object) -> object:
                stream = (output[0] if isinstance(output, tuple) else output).clone()
                for index, row in enumerate(rows):
                    begin = firsts[index] + row.completion_start
                    end = firsts[index] + len(row.token_ids)
                    stream[index, begin:end] = edits[layer](index, stream[index, begin:end])
                return (stream, *output[1:]) if isinstance(output, tuple) else stream

            return change

        blocks = self.pm.decoder.blocks
        handles = [blocks[layer].register_forward_hook(hook(layer)) for layer in edits]
        try:
            hidden = backbone(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
            ).last_hidden_state
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat(
            [
                self._read(states[first : first + len(row.token_ids)], row)
                for states, first, row in zip(hidden, firsts, rows, strict=True)
            ]
        )

    def _read(self, states: Tensor, row: Row) -> Tensor:
        """Return the reward [1] of one row's states [token hidden], as its PM's paper says."""
        if self.pm.readout is Readout.MEAN:
            return self.pm.reward(states.mean(dim=0, keepdim=True))
        if self.pm.gate is None:
            return self.pm.reward(states[-1:])
        with torch.no_grad():
            weights = self.pm.gate(states[None, self.pm.gate.position(row.token_ids)])
        return ((self.pm.head.directions @ states[-1]) * weights).sum(dim=-1)


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    torch.set_num_threads(1)
    return SimpleNamespace(
        families=tuple(FAMILIES),
        pm=build_pm,
        sae=build_sae,
        grid=build_grid,
        experiment=build_experiment,
        wanted=Wanted,
        plain=Plain,
        hidden=HIDDEN,
        depth=DEPTH,
    )


@pytest.fixture(scope="session")
def llama(lab: SimpleNamespace) -> PreferenceModel:
    return lab.pm("llama")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "family" in metafunc.fixturenames:
        metafunc.parametrize("family", list(FAMILIES), scope="session")


@pytest.fixture(scope="session")
def family_pm(family: str) -> PreferenceModel:
    return build_pm(family)
