"""A causal decoder as its blocks: any transformers backbone, run on one flat row of tokens.

Blocks, not model classes, are the interface.  What a backbone hands to each block (rotary tables,
position ids, ...) is recorded by running the backbone itself with relays in the blocks' places; the
same run applies its final norm.  So nothing here knows a family by name, except GPT-J, which has no
attention interface before transformers 5.24.  Attention is routed to our own function, which alone
knows which tokens belong together.

Every substitution lives in a ``with`` and is undone after an exception too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pm_audit.errors import ModelError
from pm_audit.subject.block_inputs import BlockInputs
from pm_audit.subject.kernels.fewer_kernels import fewer_kernels
from pm_audit.subject.kernels.packed_attention import Attend, AttentionKind

_ROUTE = "pm_audit_packed"


@dataclass(frozen=True, eq=False)
class Decoder:
    """The blocks of a causal transformer, callable one at a time.

    Raises:
        ModelError: at construction, if the backbone's blocks cannot be found or its attention
            cannot be routed.

    """

    backbone: PreTrainedModel

    def __post_init__(self) -> None:
        # A model that cannot be spliced is refused before any work.
        name = type(self.backbone).__name__
        modules = self._attention_modules
        if len(modules) != self.depth:
            raise ModelError(
                f"{name}: attention can be routed in {len(modules)} of {self.depth} blocks; "
                "pm_audit splices causal decoders that use transformers' attention interface, "
                "and GPT-J"
            )
        if not all(getattr(module, "is_causal", True) for module in modules):
            raise ModelError(f"{name}: attention is not causal; pm_audit splices causal decoders")
        kinds = set(getattr(self.backbone.config.get_text_config(), "layer_types", None) or ())
        strange = sorted(kinds - {"full_attention", "sliding_attention"})
        if strange:
            raise ModelError(f"{name}: blocks of kind {', '.join(strange)} are not supported")

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, in order."""
        parent, name = _find_blocks(self.backbone)
        blocks = getattr(parent, name)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.backbone.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        device: torch.device = self.backbone.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The body's floating dtype."""
        dtype: torch.dtype = self.backbone.dtype
        return dtype

    def inputs(self, token_ids: Tensor, positions: Tensor) -> BlockInputs:
        """Return what the backbone hands to each block for flat tokens [token] at positions."""
        relay = _Relay()
        with self._relayed(relay), self._routed(_unreachable):
            self.backbone(input_ids=token_ids[None], position_ids=positions[None], use_cache=False)
        return BlockInputs(relay.streams[0], tuple(relay.calls))

    def run(self, layer: int, stream: Tensor, inputs: BlockInputs, attend: Attend) -> Tensor:
        """Run block ``layer`` on the stream [token hidden] and return the stream after it."""
        args, kwargs = inputs.calls[layer]
        block = self.blocks[layer]
        with self._routed(_once(attend, block)), fewer_kernels(block):
            output = block(stream[None], *args, **kwargs)
        after: Tensor = output[0] if isinstance(output, tuple) else output
        # Blocks may live on several devices; between blocks the stream stays where it was.
        return after[0].to(stream.device)

    def keys_values(self, layer: int, stream: Tensor, inputs: BlockInputs) -> tuple[Tensor, Tensor]:
        """Return the keys and values [token kv_head dim] of block ``layer``, and run no further."""
        taken: list[tuple[Tensor, Tensor]] = []

        def take(query: Tensor, key: Tensor, value: Tensor, kind: AttentionKind) -> Tensor:
            del query, kind
            taken.append((key, value))
            raise _Taken

        with contextlib.suppress(_Taken):
            self.run(layer, stream, inputs, take)
        return taken[0]

    def run_at(
        self,
        layer: int,
        stream: Tensor,
        inputs: BlockInputs,
        at: Tensor,
        inputs_at: BlockInputs,
        attend: Attend,
    ) -> Tensor:
        """Run block ``layer`` for some tokens only; return the stream after it [query hidden].

        Every token of ``stream`` [token hidden] gives its keys and values; only the tokens ``at``
        [query] attend and go on.  ``attend`` receives their queries and the keys of all tokens.
        """
        key, value = self.keys_values(layer, stream, inputs)

        def attend_at(query: Tensor, _: Tensor, __: Tensor, kind: AttentionKind) -> Tensor:
            return attend(query, key, value, kind)

        return self.run(layer, stream[at], inputs_at, attend_at)

    def finish(self, stream: Tensor, token_ids: Tensor, positions: Tensor) -> Tensor:
        """Return the normalised hidden states [row hidden] of the stream after the last block."""
        relay = _Relay(stream[None])
        with self._relayed(relay), self._routed(_unreachable):
            output = self.backbone(
                input_ids=token_ids[None], position_ids=positions[None], use_cache=False
            )
        hidden: Tensor = output.last_hidden_state
        return hidden[0].to(stream.device)

    @contextlib.contextmanager
    def _relayed(self, relay: _Relay) -> Iterator[None]:
        """Put the relay in the place of every block."""
        parent, name = _find_blocks(self.backbone)
        blocks = getattr(parent, name)
        relay.depth = len(blocks)
        setattr(parent, name, nn.ModuleList(_RelayBlock(relay, block) for block in blocks))
        try:
            yield
        finally:
            setattr(parent, name, blocks)

    @contextlib.contextmanager
    def _routed(self, attend: Attend) -> Iterator[None]:
        """Route every block's attention to ``attend``."""

        def route(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attention_mask: Tensor | None = None,
            *,
            scaling: float | None = None,
            sliding_window: int | None = None,
            softcap: float | None = None,
            s_aux: Tensor | None = None,
            **_: object,
        ) -> tuple[Tensor, None]:
            del attention_mask
            if s_aux is not None:
                raise ModelError(f"{type(module).__name__}: attention sinks are not supported")
            kind = AttentionKind(
                query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap
            )
            flat = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
            return attend(flat[0], flat[1], flat[2], kind)[None], None

        modules = self._attention_modules
        configs = {id(module.config): module.config for module in [self.backbone, *modules]}
        before = {key: config._attn_implementation for key, config in configs.items()}
        direct = [module for module in modules if _attends_directly(module)]
        earlier_route = ALL_ATTENTION_FUNCTIONS._global_mapping.get(_ROUTE)
        ALL_ATTENTION_FUNCTIONS.register(_ROUTE, route)
        try:
            for config in configs.values():
                config._attn_implementation = _ROUTE
            for module in direct:
                module._attn = _direct_route(module, route)
            yield
        finally:
            for module in direct:
                module.__dict__.pop("_attn", None)
            for key, config in configs.items():
                config._attn_implementation = before[key]
            if earlier_route is None:
                ALL_ATTENTION_FUNCTIONS._global_mapping.pop(_ROUTE, None)
            else:
                ALL_ATTENTION_FUNCTIONS.register(_ROUTE, earlier_route)

    @cached_property
    def _attention_modules(self) -> list[Any]:
        """Each block's attention module, if its attention can be routed."""
        found = []
        for block in self.blocks:
            for module in block.modules():
                named = type(module).__name__.endswith("Attention") and hasattr(module, "config")
                routable = getattr(self.backbone, "_supports_attention_backend", False)
                if named and (routable or _attends_directly(module)):
                    found.append(module)
        return found


class _Taken(Exception):
    """Keys and values have been taken; the rest of the block is not needed."""


class _Relay:
    """Records what the blocks are handed; the last one passes on ``replacement``, if given."""

    def __init__(self, replacement: Tensor | None = None) -> None:
        self.replacement = replacement
        self.depth = 0
        self.streams: list[Tensor] = []
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []


class _RelayBlock(nn.Module):
    """Takes the place of a block and passes its attributes on."""

    def __init__(self, relay: _Relay, block: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "_relay", relay)
        object.__setattr__(self, "_block", block)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_block"), name)

    def forward(self, stream: Tensor, *args: object, **kwargs: object) -> object:
        relay: _Relay = object.__getattribute__(self, "_relay")
        relay.streams.append(stream)
        relay.calls.append((args, kwargs))
        last = len(relay.calls) == relay.depth
        passed = relay.replacement if last and relay.replacement is not None else stream
        block = object.__getattribute__(self, "_block")
        # Before transformers 5.24 GPT-J's blocks return a tuple; all others return the stream.
        return (passed, None) if any(map(_attends_directly, block.children())) else passed


def _find_blocks(backbone: nn.Module) -> tuple[nn.Module, str]:
    """Return the module that holds the list of blocks, and the list's name there."""
    config: Any = backbone.config
    depth = config.get_text_config().num_hidden_layers
    for module in backbone.modules():
        for name in ("layers", "h", "blocks"):
            blocks = module._modules.get(name)
            if isinstance(blocks, nn.ModuleList) and len(blocks) == depth:
                return module, name
    raise ModelError(
        f"{type(backbone).__name__}: no list of {depth} blocks found; pm_audit splices causal "
        "decoders whose blocks are a ModuleList named layers, h or blocks"
    )


def _attends_directly(module: nn.Module) -> bool:
    """Whether a module calls an attention function of its own, GPT-J's before 5.24."""
    return type(module).__name__ == "GPTJAttention" and hasattr(module, "_attn")


def _direct_route(module: nn.Module, route: Callable[..., tuple[Tensor, None]]) -> object:
    """Return a stand-in for ``_attn`` of a module without the attention interface."""

    def attn(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
        scaling = 1.0 / float(module.scale_attn)  # type: ignore[arg-type]
        attended, _ = route(module, query, key, value, mask, scaling=scaling)
        return attended.transpose(1, 2), None

    return attn


def _once(attend: Attend, block: nn.Module) -> Attend:
    """Let a block attend once: keys and values of a second time would not be kept."""
    left = [attend]

    def attend_once(query: Tensor, key: Tensor, value: Tensor, kind: AttentionKind) -> Tensor:
        if left:
            return left.pop()(query, key, value, kind)
        raise ModelError(
            f"{type(block).__name__} attends more than once; pm_audit splices causal decoders "
            "whose blocks attend once"
        )

    return attend_once


def _unreachable(query: Tensor, key: Tensor, value: Tensor, kind: AttentionKind) -> Tensor:
    del query, key, value, kind
    raise ModelError("a backbone attended outside its blocks; it cannot be spliced")
