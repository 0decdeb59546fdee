"""A copy of a tokenizer that reads its special tokens' texts as ordinary text.

Every special token of the copy has a private name; its id and its rules (``lstrip``, ``rstrip``,
``single_word``, ``normalized``) stay.  What the format writes is spelled with the private names, so
that one call tokenises the whole text, and ``<|im_end|>`` in a completion is ordinary text.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tokenizers import Tokenizer

from pm_audit.errors import ModelError

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True, eq=False)
class InertCopy:
    """The renamed tokenizer and what its names and ids stand for."""

    tokenizer: Tokenizer
    names: Mapping[int, str]
    """Private name of each special token, by its id."""
    own_ids: Mapping[int, int]
    """The real id of each added token with another id in the copy."""
    nonce: str
    """Part of every private name; a text that holds it needs another copy."""


def inert_copy(backend: Tokenizer, texts: Iterable[str]) -> InertCopy:
    """Return a copy of a fast tokenizer's backend whose private names are in none of the texts.

    Raises:
        ModelError: the tokenizer cannot be renamed without changing what it does.

    """
    written = backend.to_str()
    lower = "\0".join(texts).lower()
    nonce = next(n for n in map(partial(_nonce, written), itertools.count()) if n not in lower)
    spec = json.loads(written)
    renamed = _renamed_added(spec, nonce)
    _rename_in_model(spec["model"], renamed)
    copy = Tokenizer.from_str(json.dumps(spec))
    copy.no_truncation()
    copy.no_padding()
    return _checked(backend, copy, renamed, nonce)


def _nonce(written: str, attempt: int) -> str:
    # letters alone: no normalizer drops, splits or lowers them into anything else
    digest = hashlib.sha256(f"{attempt} {written}".encode()).digest()
    return "".join(chr(ord("a") + byte % 26) for byte in digest[:16])


def _renamed_added(spec: dict[str, Any], nonce: str) -> dict[str, str]:
    """Rename the special tokens of a tokenizer's JSON; return the new name by the old one."""
    renamed: dict[str, str] = {}
    for number, token in enumerate(spec["added_tokens"]):
        content = token["content"]
        if token["special"] and content:
            # its outer characters stay: `single_word` of a neighbour looks at them
            counted = "".join(chr(ord("a") + number // 26**digit % 26) for digit in range(5))
            renamed[content] = f"{content[0]}{nonce}{counted}{content[-1]}"
            token["content"] = renamed[content]
    return renamed


def _rename_in_model(model: dict[str, Any], renamed: Mapping[str, str]) -> None:
    """Rename special tokens in the vocabulary, so that no ordinary text reaches their ids."""
    needed = {name for name in renamed if _is_needed(name, model)}
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        for content, private in renamed.items():
            if content in vocabulary:
                vocabulary[private] = vocabulary[content]
                if content not in needed:
                    del vocabulary[content]
    elif isinstance(vocabulary, list):
        for entry in vocabulary:
            if entry[0] in renamed and entry[0] not in needed:
                entry[0] = renamed[entry[0]]
    if model.get("unk_token") in renamed and model["unk_token"] not in needed:
        model["unk_token"] = renamed[model["unk_token"]]
    gone = set(renamed) - needed
    if "merges" in model:
        prefix = len(model.get("continuing_subword_prefix") or "")
        model["merges"] = [m for m in model["merges"] if not gone & _parts(m, prefix)]


def _is_needed(name: str, model: Mapping[str, Any]) -> bool:
    """Whether ordinary text needs the token: one character, or a byte that has none."""
    return len(name) == 1 or bool(model.get("byte_fallback") and _BYTE.fullmatch(name))


def _parts(merge: str | list[str], prefix: int) -> set[str]:
    first, second = merge.split(" ", 1) if isinstance(merge, str) else merge
    return {first, second, first + second[prefix:]}


def _checked(
    backend: Tokenizer, copy: Tokenizer, renamed: Mapping[str, str], nonce: str
) -> InertCopy:
    """Return the copy with its added tokens paired with the backend's."""
    added = backend.get_added_tokens_decoder()
    names = {number: renamed.get(token.content, token.content) for number, token in added.items()}
    found = ((copy.token_to_id(name), number) for number, name in names.items())
    own_ids = {copied: number for copied, number in found if copied != number}
    in_model = backend.get_vocab_size(with_added_tokens=False)
    if any(copied is None or copied < in_model for copied in own_ids):
        raise ModelError(
            "a text holds the text of a special token, and this tokenizer's special tokens cannot "
            "be distinguished from ordinary text; leave special tokens out of prompts and "
            "completions"
        )
    special = {number: name for number, name in names.items() if name in renamed.values()}
    return InertCopy(copy, special, {copied or 0: own for copied, own in own_ids.items()}, nonce)
