"""Options of SAE configurations: done by a loader, harmless, or refused by name.

A configuration holds whatever a library of some version wrote there.  An option that changes the
numbers and is read by nobody would make another SAE of the same weights, in silence; so each format
lists what it does and what is harmless, and anything else that is switched on is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from pm_audit.errors import SaeError

_OFF: tuple[object, ...] = (None, False, 0, "", "none", "None", [], {})
_LONGEST = 400
_LOADING = frozenset(
    {
        *("fold_ln", "fold_value_biases", "center_unembed", "refactor_factored_attn_matrices"),
        *("n_devices", "device", "device_map", "move_to_device", "dtype", "torch_dtype"),
        *("first_n_layers", "default_prepend_bos", "default_padding_side", "trust_remote_code"),
        *("low_cpu_mem_usage", "revision", "checkpoint_index", "checkpoint_value", "token"),
        *("attn_implementation", "cache_dir", "local_files_only", "use_safetensors", "n_ctx"),
    }
)
"""Options with which TransformerLens or transformers load the model, that leave its stream."""
CENTRED = "center_writing_weights"
_WITHOUT_MEAN = re.compile(
    r"gemma|llama|mistral|mixtral|qwen|vicuna|alpaca|deepseek|internlm|phi-?[34]|olmo-?2|(^|/)yi-|t5"
    r"|granite|smollm",
    re.IGNORECASE,
)
"""Models of RMSNorm, whose writing weights TransformerLens leaves as they are."""


def is_on(value: object) -> bool:
    """Whether an option is switched on."""
    return value not in _OFF


def refuse_unknown(
    config: Mapping[str, Any], known: Collection[str], *, source: str, where: str
) -> None:
    """Refuse options that are switched on and that nothing here knows.

    Raises:
        SaeError: the message names them.

    """
    unknown = sorted(str(key) for key, value in config.items() if key not in known and is_on(value))
    if unknown:
        raise SaeError(
            f"{source}: {where} sets {', '.join(unknown)[:200]}, which this loader does not know "
            "and which might change the features; remove it if it does not, or fold it into the "
            "weights with the library that wrote it"
        )


def whole(config: Mapping[str, Any], key: str, *, source: str, where: str) -> int:
    """Return an option that must be a whole number above zero.

    Raises:
        SaeError: it is absent or something else.

    """
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**40:
        raise SaeError(
            f"{source}: {where} lacks a usable {key} ({str(value)[:40]!r}), expected a whole "
            "number above 0; fetch the SAE's own configuration"
        )
    return value


def flag(config: Mapping[str, Any], key: str, *, default: bool, source: str, where: str) -> bool:
    """Return an option that must be true or false.

    Raises:
        SaeError: it is something else.

    """
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise SaeError(
            f"{source}: {where} says {key} is {str(value)[:40]!r}, expected true or false; fetch "
            "the SAE's own configuration"
        )
    return value


def text(config: Mapping[str, Any], key: str, *, source: str, where: str) -> str | None:
    """Return an option that must be text, None where it is absent.

    Raises:
        SaeError: it is something else, or longer than any name.

    """
    value = config.get(key)
    if value is not None and (not isinstance(value, str) or len(value) > _LONGEST):
        raise SaeError(
            f"{source}: {where} says {key} is {str(value)[:40]!r}, expected a name; fetch the "
            "SAE's own configuration"
        )
    return value


def positive(value: object, what: str, *, source: str) -> float:
    """Return a number above zero.

    Raises:
        SaeError: it is something else.

    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        found = float(value) if number else math.nan  # type: ignore[arg-type]  # checked above
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or found <= 0:
        raise SaeError(
            f"{source}: {what} is {str(value)[:40]}, no positive number; fetch the SAE's own files"
        )
    return found


def reads_centred(kwargs: object, model: object, *, source: str, where: str) -> bool:
    """Whether the SAE read a stream less its mean, by how the model was loaded.

    TransformerLens's ``center_writing_weights`` takes the mean over the hidden axis out of
    everything that writes to the stream of a model with LayerNorm; it skips models of RMSNorm.

    Args:
        kwargs: ``model_from_pretrained_kwargs`` of the configuration.
        model: its ``model_name``.
        source: the SAE, for messages.
        where: the configuration's file, for messages.

    Raises:
        SaeError: an option is unknown, or its value is.

    """
    if kwargs is None:
        return False
    if not isinstance(kwargs, Mapping):
        raise SaeError(
            f"{source}: {where} says model_from_pretrained_kwargs is {str(kwargs)[:40]!r}, "
            "expected options by name; fetch the SAE's own configuration"
        )
    place = f"model_from_pretrained_kwargs of {where}"
    refuse_unknown(kwargs, _LOADING | {CENTRED}, source=source, where=place)
    centred = flag(kwargs, CENTRED, default=False, source=source, where=place)
    return centred and not (isinstance(model, str) and _WITHOUT_MEAN.search(model))
