"""SAEs that OpenAI published with 2406.04093: one ``.pt`` file, no configuration.

pre_bias [hidden], encoder.weight [latent hidden], latent_bias [latent], decoder.weight
[hidden latent].  A TopK file standardises its input per token; the ReLU ones do not.  The file
does not say its layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import (
    SaeFiles,
    SaeFormat,
    read_pickle,
    refuse_square,
    refuse_unread,
    state_dict,
    take,
)
from pm_audit.loading.saes.options import refuse_unknown
from pm_audit.subject.activation import Activation, Relu, TopK
from pm_audit.subject.sae import Normalisation, Sae

REFUSED: Mapping[str, str] = {
    "Identity": "its features are signed, and a contribution needs features of one sign",
    "attention and MLP outputs": "audits splice the residual stream between blocks",
}
_ELSEWHERE = re.compile(r"attn|mlp|resid_delta|resid_post_attn")


def load(files: SaeFiles) -> Sae:
    """Load the SAE; its layer must be named.

    Raises:
        SaeError: it is refused, or weights are missing.

    """
    source = files.source
    if files.weights is None:
        raise SaeError(f"{source}: name the .pt file itself, not its folder")
    if found := _ELSEWHERE.search("/".join(files.weights.parts[-4:])):
        raise SaeError(
            f"{source}: the path says {found[0]}, a part of a block; audits need an SAE of the "
            "residual stream after a block"
        )
    held = read_pickle(files.weights)
    if not isinstance(held, dict):
        raise SaeError(f"{source}: holds {type(held).__name__}, expected a state dict")
    kind, options = held.pop("activation", "ReLU"), held.pop("activation_state_dict", {})
    tensors = state_dict(held, source=source)
    keys = ("pre_bias", "latent_bias", "encoder.weight")
    pre_bias, latent_bias, encoder = take(tensors, *keys, source=source)
    refuse_unread(tensors, (*keys, "decoder.weight", "stats_last_nonzero"), source=source)
    refuse_square(encoder.shape[1], encoder.shape[0], source=source)
    # a tied decoder is stored under the name of the layer that it transposes
    tied = "decoder.weight" not in tensors
    decoder = encoder if tied else take(tensors, "decoder.weight", source=source)[0].T
    return Sae(
        name=files.name,
        layer=files.block(None),
        architecture=str(kind)[:40].lower(),
        source=source,
        sha256=files.sha256(),
        W_enc=encoder.T.contiguous(),
        b_enc=latent_bias,
        W_dec=decoder.contiguous(),
        b_dec=pre_bias,
        activation=_activation(kind, options, source),
        input_bias=pre_bias,
        normalisation=Normalisation.LAYER_NORM if kind == "TopK" else Normalisation.NONE,
    )


def _activation(kind: object, options: object, source: str) -> Activation:
    if kind == "ReLU":
        return Relu()
    if kind == "TopK" and isinstance(options, Mapping):
        k, after = options.get("k"), options.get("postact_fn", "ReLU")
        refuse_unknown(options, {"k", "postact_fn"}, source=source, where="activation_state_dict")
        if isinstance(k, int) and not isinstance(k, bool) and k > 0 and after == "ReLU":
            return TopK(k)
        if after != "ReLU":
            raise SaeError(
                f"{source}: postact_fn {str(after)[:40]} is refused: {REFUSED['Identity']}"
            )
    if kind == "Identity":
        raise SaeError(f"{source}: activation Identity is refused: {REFUSED['Identity']}")
    raise SaeError(
        f"{source}: activation {str(kind)[:40]!r} with {str(options)[:80]!r} is neither of "
        "ReLU, TopK"
    )


def _recognises(files: SaeFiles) -> bool:
    return files.weights is not None and files.weights.suffix in (".pt", ".pth")


FORMAT = SaeFormat(
    name="OpenAI",
    files="one `.pt` file, named itself; its layer must be named",
    loads=("ReLU", "TopK"),
    refuses=REFUSED,
    recognises=_recognises,
    load=load,
)
