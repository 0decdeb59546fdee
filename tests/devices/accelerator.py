"""A second device on a machine that has none: real numbers, and the rules of a GPU.

``accelerator()`` is a context in which ``DEVICE`` names a device.  Its tensors say that they live
there, hold a CPU tensor inside, and compute with it, so that results are those of the CPU.  What
CUDA refuses is refused: operands of both devices (a CPU operand without axes may join an
elementwise operation), CPU values written into a tensor of the device, a CPU tensor indexed by one
of the device (the reverse is allowed), a generator of the other device, and ``numpy()``.

The device's name is one that PyTorch knows and no build of it supports, so that nothing but this
context answers for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pm_audit.loading import device

DEVICE = "lazy"

_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}
_SCALARS_JOIN = {
    *(_aten.masked_fill.Tensor, _aten.masked_fill_.Tensor),
    *(_aten.index_put.default, _aten.index_put_.default),
    *(_aten.where.self, _aten.where.ScalarOther, _aten.where.ScalarSelf),
}


class OnDevice(torch.Tensor):
    """A tensor that says it lives on the device; ``inner`` holds its numbers."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnDevice:
        """Wrap a CPU tensor; its memory is shared."""
        # a view of an ordinary tensor is an ordinary tensor, in inference mode too
        with torch.inference_mode(mode=False):
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=torch.device(DEVICE, 0),
            )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        """Show the numbers, as tensors do."""
        return f"OnDevice({self.inner!r})"

    def tolist(self) -> Any:
        """Return the numbers, as a GPU's tensors do."""
        return self.inner.tolist()

    def __getitem__(self, key: Any) -> torch.Tensor:
        """Take a list of indices too, of which PyTorch would make a tensor on the device."""
        return super().__getitem__(torch.tensor(key) if isinstance(key, list) else key)

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute where the context has ended already, as a backward pass may."""
        del types
        return _compute(func, args, dict(kwargs or {}))


class _Rules(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        # outside autograd, operations that are made of others arrive whole
        with self:
            parts = func.decompose(*args, **(kwargs or {}))
        return _compute(func, args, dict(kwargs or {})) if parts is NotImplemented else parts


class _Numbers(TorchFunctionMode):
    """Brings numbers of Python to the device, which PyTorch does out of every dispatch's sight."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        options = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and options.get("device") is not None:
            place = options.pop("device")
            return func(*args, **options).to(place)
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnDevice):
            place = options.pop("device", args[0].device)
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **options}).to(place)
        return func(*args, **options)


@contextlib.contextmanager
def accelerator() -> Iterator[str]:
    """Let ``DEVICE`` be a device while the context lasts; give its name."""
    enabled = torch.is_autocast_enabled

    def is_autocast_enabled(device_type: str | None = None) -> bool:
        if device_type == DEVICE:
            return False
        return enabled() if device_type is None else enabled(device_type)

    # what asks for autocast by device knows only the devices of this build
    torch.is_autocast_enabled = is_autocast_enabled
    device._COUNTS[DEVICE] = lambda _: 1
    try:
        with _Rules(), _Numbers():
            yield DEVICE
    finally:
        torch.is_autocast_enabled = enabled
        del device._COUNTS[DEVICE]


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    named = kwargs.get("device")
    asked = None if named is None else torch.device(named).type
    if ours and len(ours) < len(tensors) and func not in _COPIES:
        _refuse_mix(func, args, kwargs)
    generator = kwargs.get("generator")
    if generator is not None and (ours or asked == DEVICE):
        raise RuntimeError(f"Expected a '{DEVICE}' device type for generator but found 'cpu'")
    if asked == DEVICE:
        kwargs["device"] = torch.device("cpu")
    inner_args, inner_kwargs = tree_map(_inner, (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    there = asked == DEVICE if named is not None else bool(ours)
    if func is _aten.copy_.default:
        return args[0]
    if torch.Tag.inplace_view in func.tags and isinstance(args[0], OnDevice):
        # the outer tensor's shape follows the inner one's
        with no_dispatch(), torch._C._IncludeDispatchKeyGuard(torch._C.DispatchKey.Meta):
            func(*args, **kwargs)
    written = [
        tensor
        for argument, tensor in _named(func, args, kwargs)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if written:
        return _as_written(result, written, there=there)
    return tree_map(_wrapped, result) if there else result


def _as_written(result: Any, written: list[Any], *, there: bool) -> Any:
    """Return the arguments that were written to in the place of their inner tensors."""
    outer = {id(tensor.inner): tensor for tensor in written if isinstance(tensor, OnDevice)}

    def given(leaf: Any) -> Any:
        if id(leaf) in outer:
            return outer[id(leaf)]
        return _wrapped(leaf) if there else leaf

    return tree_map(given, result)


def _named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return each argument of the schema with the tensor that was given for it."""
    found = []
    for place, argument in enumerate(func._schema.arguments):
        given = args[place] if place < len(args) else kwargs.get(argument.name)
        found += [(argument, leaf) for leaf in tree_leaves(given) if isinstance(leaf, torch.Tensor)]
    return found


def _refuse_mix(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise as CUDA does where CPU tensors may not join."""
    scalars_join = torch.Tag.pointwise in func.tags or func in _SCALARS_JOIN
    for argument, tensor in _named(func, args, kwargs):
        if isinstance(tensor, OnDevice) or tensor.device.type == "meta":
            continue
        written = argument.alias_info is not None and argument.alias_info.is_write
        if func in _INDEXING and argument.name == "indices" and isinstance(args[0], OnDevice):
            continue
        if scalars_join and tensor.ndim == 0 and not written:
            continue
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {func} got {argument.name} of "
            f"shape {list(tensor.shape)} on the CPU and others on {DEVICE}:0"
        )


def _inner(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, OnDevice) else leaf


def _wrapped(leaf: Any) -> Any:
    return OnDevice(leaf) if isinstance(leaf, torch.Tensor) else leaf
