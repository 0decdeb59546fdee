"""Loading with transformers, strictly: a missing or misshapen weight is an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging

from pm_audit.errors import ModelError
from pm_audit.files import refuse_pointer
from pm_audit.loading.checkpoint.added_tokens import refuse_unprintable_options
from pm_audit.loading.checkpoint.declared import check_declared, refuse_oversize
from pm_audit.loading.checkpoint.folder import Checkpoint
from pm_audit.loading.checkpoint.stored import refuse_unread
from pm_audit.loading.pms.family import Request

_OF_CONFIG = frozenset({"num_labels"})
"""Options that are the configuration's."""


def load_strictly(
    auto: Any,
    request: Request,
    *,
    absent: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Load a model of class ``auto`` (such as ``AutoModel``) and check that every weight came.

    Args:
        auto: class whose ``from_pretrained`` is called, without remote code.
        request: the checkpoint, dtype and device.
        absent: prefixes of weights that need not be in the file, because they come from elsewhere.
        options: further arguments of ``from_pretrained``.

    Raises:
        ModelError: weights are missing, of another shape, quantised, NaN, read by nothing, or of a
            class not in transformers.

    """
    checkpoint = request.checkpoint
    _refuse_adapter(checkpoint)
    checkpoint.refuse_quantised()  # reads every header, so that an index is confined too
    check_declared(checkpoint)
    settings = {"dtype": request.dtype, "output_loading_info": True, **(options or {})}
    try:
        with quietly():
            if not checkpoint.gguf:
                kept = {key: value for key, value in settings.items() if key in _OF_CONFIG}
                config = AutoConfig.from_pretrained(
                    checkpoint.folder, local_files_only=True, trust_remote_code=False, **kept
                )
                with torch.device("meta"):
                    empty = auto.from_config(config)
                refuse_oversize(checkpoint, empty)
            if checkpoint.wrapped:
                model, info = type(empty).from_pretrained(
                    None,
                    config=config,
                    state_dict=checkpoint.tensors(""),
                    **{key: value for key, value in settings.items() if key not in _OF_CONFIG},
                )
            else:
                place = {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}
                model, info = auto.from_pretrained(
                    checkpoint.folder,
                    local_files_only=True,
                    trust_remote_code=False,
                    weights_only=True,
                    **place,
                    **settings,
                )
    except ModelError:
        raise
    except Exception as problem:  # transformers raises of many classes for a broken folder
        raise ModelError(
            f"{checkpoint.name}: transformers cannot load it without remote code: "
            f"{' '.join(str(problem).split())[:300]}; check config.json and the weights"
        ) from problem
    refuse_missing(checkpoint, info, absent=tuple(absent))
    unread = [key for key in info["unexpected_keys"] if not key.startswith(tuple(absent))]
    refuse_unread(unread, checkpoint.stored, source=checkpoint.name)
    refuse_nan(checkpoint, model)
    return model.to(request.device)


def _refuse_adapter(checkpoint: Checkpoint) -> None:
    """Refuse a base that is an adapter: transformers would follow the base that it names."""
    if checkpoint.adapter is not None:
        raise ModelError(
            f"{checkpoint.name}: the base of an adapter is an adapter itself; merge it into its "
            "own base first, and name the merged model"
        )


def refuse_missing(checkpoint: Checkpoint, info: Any, *, absent: tuple[str, ...] = ()) -> None:
    """Refuse a load that left weights at random.

    Raises:
        ModelError: some are missing or mismatched; the message names them.

    """
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
    """Refuse weights that are not finite.

    Raises:
        ModelError: one of them holds NaN or an infinity.

    """
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"{checkpoint.name}: {name} holds NaN or infinite weights; fetch the model again, "
                "or load it in the dtype in which it was saved"
            )


def load_tokenizer(request: Request) -> Any:
    """Load the checkpoint's tokenizer, without remote code.

    Raises:
        ModelError: there is none that transformers can read.

    """
    checkpoint = request.checkpoint
    place = {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "spm.model"):
        refuse_pointer(checkpoint.folder / name, error=ModelError)
    refuse_unprintable_options(checkpoint)
    try:
        with quietly():
            return AutoTokenizer.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False, **place
            )
    except Exception as problem:  # transformers raises of many classes for a broken folder
        raise ModelError(
            f"{checkpoint.name}: its tokenizer cannot be loaded: "
            f"{' '.join(str(problem).split())[:120]}; save tokenizer.json and "
            "tokenizer_config.json beside the model"
        ) from problem


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hold back loading reports and progress bars; what matters in them is checked and raised."""
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
