"""How a text begins and ends, where most heads read: conventions of training libraries.

A trainer that appends EOS, or strips the last line break of a chat template, makes a head that
reads at another token than the format as written has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pm_audit.errors import ModelError
from pm_audit.text.rendered import Rendered

AS_WRITTEN = "as-written"
"""As the format writes it."""
EOS = "eos"
"""TRL (``add_eos``): EOS is the last token.  The format's line breaks after its own EOS are
removed; without one, the token is appended."""
OPENRLHF = "openrlhf"
"""OpenRLHF: no line breaks at the end, then EOS, after a space if the format writes none; the
tokenizer adds no special tokens."""
ENDINGS = (AS_WRITTEN, EOS, OPENRLHF)
BOS = "bos"
"""A text begins, once, with the tokenizer's own opening, as pipelines tokenise it."""
STARTS = (BOS, AS_WRITTEN)
"""As written: nothing is put first, as ``apply_chat_template(tokenize=True)`` does."""


def ending(name: str, tokenizer: Any) -> Callable[[Rendered], Rendered]:
    """Return what ends a text: ``name`` is one of ``ENDINGS``, or a special token to append.

    Raises:
        ModelError: the tokenizer has no EOS, or no special token of the name.

    """
    if name == AS_WRITTEN:
        return lambda rendered: rendered
    if name in (EOS, OPENRLHF):
        eos = tokenizer.eos_token
        if not eos:
            raise ModelError(
                f"text_end is {name}, and the tokenizer has no EOS token; set text_end to "
                f"{AS_WRITTEN} or to the special token that ends a text"
            )
        return _by_trl(eos) if name == EOS else _by_openrlhf(eos)
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    if name not in special:
        raise ModelError(
            f"text_end {name!r} is not a special token of this tokenizer; choose one of "
            f"{', '.join(ENDINGS)}, or of {', '.join(sorted(special)[:20])}"
        )
    return lambda rendered: rendered.followed_by(name)


def _by_trl(eos: str) -> Callable[[Rendered], Rendered]:
    def end(rendered: Rendered) -> Rendered:
        own = rendered.text[rendered.stop :]
        if own.rstrip("\n").endswith(eos):
            return rendered.cut(rendered.stop + len(own.rstrip("\n")))
        return rendered.followed_by(eos)

    return end


def _by_openrlhf(eos: str) -> Callable[[Rendered], Rendered]:
    def end(rendered: Rendered) -> Rendered:
        short = rendered.cut(len(rendered.text.rstrip("\n")))
        # an EOS inside the completion's own text does not end it
        if short.text[short.stop :].endswith(eos):
            return short
        return short.followed_by(f" {eos}")

    return end
