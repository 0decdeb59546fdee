"""Which block of the model an SAE reads, from the name of its hook point.

Names come from TransformerLens (``blocks.6.hook_resid_post``), from the model's own modules
(``model.layers.6``, ``transformer.h.6``, ``gpt_neox.layers.6``) and from folder names
(``resid_post_layer_6``, ``layer_6/width_16k/average_l0_71``).  The residual stream before block
L is the stream after block L - 1.
"""

from __future__ import annotations

import re

from pm_audit.errors import SaeError

_MODULE = r"(?:(?:base_model|model|transformer|gpt_neox|decoder|language_model)\.)*"
_AFTER = (
    re.compile(r"blocks\.(\d{1,4})\.hook_resid_post"),
    re.compile(_MODULE + r"(?:layers|h|blocks)\.(\d{1,4})"),
    re.compile(r"resid_post_layer_(\d{1,4})"),
    re.compile(r"layer_(\d{1,4})(?:/.*)?"),
)
_BEFORE = re.compile(r"blocks\.(\d{1,4})\.hook_resid_pre")
_ELSEWHERE = re.compile(r"attn|attention|mlp|hook_z|hook_q|hook_k|hook_v|resid_mid|ln\d|embed|head")


def block_of_hook(hook: str, *, source: str) -> int:
    """Return the block whose output the hook reads, counted from 0.

    Raises:
        SaeError: the hook reads something other than the residual stream after a block.

    """
    hook = hook[:400]
    for pattern in _AFTER:
        if found := pattern.fullmatch(hook):
            return int(found[1])
    if found := _BEFORE.fullmatch(hook):
        if int(found[1]) == 0:
            raise SaeError(
                f"{source}: hook {hook!r} reads the embeddings, before any block; "
                "use an SAE on the residual stream after a block"
            )
        return int(found[1]) - 1
    splice = "audits splice the residual stream between blocks"
    if _ELSEWHERE.search(hook):
        raise SaeError(
            f"{source}: hook {hook!r} is an inner part of a block; {splice}, so use an SAE of "
            "hook_resid_post or hook_resid_pre"
        )
    raise SaeError(
        f"{source}: hook {hook!r} is unknown; {splice}: if it reads the stream after "
        f"block L, name it: {source}@L"
    )
