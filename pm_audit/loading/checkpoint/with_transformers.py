"""Loading with transformers, strictly: a missing or misshapen weight is an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging

from pm_audit.errors import ModelError
from pm_audit.files import refuse_pointer
from pm_audit.loading.checkpoint.added_tokens import refuse_unprintable_options
from pm_audit.loading.checkpoint.declared import check_declared, refuse_oversize
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.foreign import explained
from pm_audit.loading.pms.family import Request

_OF_CONFIG = frozenset({"num_labels"})
"""Options that are the configuration's."""
_LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_strictly(
    auto: Any,
    request: Request,
    *,
    absent: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Load a model of class ``auto`` (such as ``AutoModel``) and check that every weight came.

    Args:
        auto: class whose ``from_pretrained`` is called, without remote code.
        request: the checkpoint, dtype and device.
        absent: prefixes of weights that need not be in the file.
        options: further arguments of ``from_pretrained``.

    Raises:
        ModelError: weights are missing, of another shape, quantised, NaN, read by nothing, or of a
            class not in transformers.

    """
    checkpoint = request.checkpoint
    if checkpoint.adapter is not None:  # transformers would follow the base that it names
        raise ModelError(
            f"{checkpoint.name}: the base of an adapter is an adapter itself; merge it into its "
            "own base first, and name the merged model"
        )
    checkpoint.refuse_quantised()  # reads every header, so that an index is confined too
    check_declared(checkpoint)
    what = f"{checkpoint.name}: transformers cannot load it without remote code"
    with explained(ModelError, what, "check config.json and the weights"), quietly():
        model, info = _loaded(auto, request, dict(options or {}))
    refuse_missing(checkpoint, info, absent=absent)
    checkpoint.refuse_unread(key for key in info["unexpected_keys"] if not key.startswith(absent))
    refuse_nan(checkpoint, model)
    return model.to(request.device)


def _loaded(auto: Any, request: Request, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the model and transformers' report on its weights."""
    checkpoint = request.checkpoint
    settings: dict[str, Any] = {"dtype": request.dtype, "output_loading_info": True}
    if not checkpoint.gguf:
        kept = {key: value for key, value in options.items() if key in _OF_CONFIG}
        config = AutoConfig.from_pretrained(checkpoint.folder, **_LOCAL, **kept)
        with torch.device("meta"):
            empty = auto.from_config(config)
        refuse_oversize(checkpoint, empty)
    if checkpoint.wrapped:
        settings |= {key: value for key, value in options.items() if key not in _OF_CONFIG}
        weights = checkpoint.tensors("")
        loaded = type(empty).from_pretrained(None, config=config, state_dict=weights, **settings)
    else:
        settings |= {"weights_only": True, **options, **_place(checkpoint)}
        loaded = auto.from_pretrained(checkpoint.folder, **_LOCAL, **settings)
    return loaded[0], loaded[1]


def _place(checkpoint: Checkpoint) -> dict[str, str]:
    return {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}


def refuse_missing(checkpoint: Checkpoint, info: Any, *, absent: tuple[str, ...] = ()) -> None:
    """Refuse a load that left weights at random."""
    missing = [key for key in info["missing_keys"] if not key.startswith(absent)]
    mismatched = [str(key[0]) for key in info["mismatched_keys"] if not key[0].startswith(absent)]
    if missing or mismatched:
        named = ", ".join(sorted(missing + mismatched)[:5])
        raise ModelError(
            f"{checkpoint.name}: the checkpoint lacks {named}"
            f"{' and others' if len(missing) + len(mismatched) > 5 else ''}, which would be "
            "random; a reward model needs its head in the file (TRL: modules_to_save=['score'])"
        )


def refuse_nan(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    """Refuse weights that hold NaN or an infinity."""
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"{checkpoint.name}: {name} holds NaN or infinite weights; fetch the model again, "
                "or load it in the dtype in which it was saved"
            )


def load_tokenizer(request: Request) -> Any:
    """Load the checkpoint's tokenizer, without remote code."""
    checkpoint = request.checkpoint
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "spm.model"):
        refuse_pointer(checkpoint.folder / name, error=ModelError)
    refuse_unprintable_options(checkpoint)
    what = f"{checkpoint.name}: its tokenizer cannot be loaded"
    remedy = "save tokenizer.json and tokenizer_config.json next to the model"
    with explained(ModelError, what, remedy), quietly():
        return AutoTokenizer.from_pretrained(checkpoint.folder, **_LOCAL, **_place(checkpoint))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress loading reports and progress bars; what matters in them is checked and raised."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
