"""SAEs that OpenAI published with 2406.04093: one ``.pt`` file, no configuration.

pre_bias [hidden], encoder.weight [latent hidden], latent_bias [latent], decoder.weight
[hidden latent].  A TopK file standardises its input per token; the ReLU ones do not.  The file
does not say its layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import INSIDE, SIGNED, SaeFiles, SaeFormat
from pm_audit.loading.saes.weights import Weights
from pm_audit.loading.tensors import unpickled
from pm_audit.subject.activation import Activation, Relu, TopK
from pm_audit.subject.sae import Normalisation, Sae

_ELSEWHERE = re.compile(r"attn|mlp|resid_delta|resid_post_attn")


def _load(files: SaeFiles) -> Sae:
    source = files.source
    if files.weights is None:
        raise SaeError(f"{source}: name the .pt file itself, not its folder")
    if found := _ELSEWHERE.search("/".join(files.weights.parts[-4:])):
        raise SaeError(
            f"{source}: the path says {found[0]}, a part of a block; audits need an SAE of the "
            "residual stream after a block"
        )
    held = unpickled(files.weights, error=SaeError)
    if not isinstance(held, dict):
        raise SaeError(f"{source}: holds {type(held).__name__}, expected a state dict")
    kind, options = held.pop("activation", "ReLU"), held.pop("activation_state_dict", {})
    weights = Weights(held, source=source)
    pre_bias, latent_bias, encoder = weights.take("pre_bias", "latent_bias", "encoder.weight")
    weights.refuse_unread("decoder.weight", "stats_last_nonzero")
    # a tied decoder is stored under the name of the layer that it transposes
    tied = "decoder.weight" not in weights
    return files.sae(
        layer=files.block(None),
        architecture=str(kind)[:40].lower(),
        W_enc=encoder.T,
        b_enc=latent_bias,
        W_dec=encoder if tied else weights.take("decoder.weight")[0].T,
        b_dec=pre_bias,
        activation=_activation(kind, options, files),
        input_bias=pre_bias,
        normalisation=Normalisation.LAYER_NORM if kind == "TopK" else Normalisation.NONE,
    )


def _activation(kind: object, options: object, files: SaeFiles) -> Activation:
    if kind == "ReLU":
        return Relu()
    after = options.get("postact_fn", "ReLU") if isinstance(options, Mapping) else "ReLU"
    if kind == "Identity" or (kind == "TopK" and after != "ReLU"):
        signed = kind if kind == "Identity" else after
        raise SaeError(f"{files.source}: activation {str(signed)[:40]} is refused: {SIGNED}")
    if kind == "TopK" and isinstance(options, Mapping):
        state = files.options(options, "activation_state_dict")
        state.refuse_unknown({"k", "postact_fn"}, changes="features")
        return TopK(state.whole("k"))
    raise SaeError(
        f"{files.source}: activation {str(kind)[:40]!r} with {str(options)[:80]!r} does not "
        "load; use an SAE with ReLU or TopK"
    )


def _recognises(files: SaeFiles) -> bool:
    return files.weights is not None and files.weights.suffix in (".pt", ".pth")


FORMAT = SaeFormat(
    name="OpenAI",
    files="one `.pt` file, named itself; its layer must be named",
    loads=("ReLU", "TopK"),
    refuses={"Identity": SIGNED, "attention and MLP outputs": INSIDE},
    recognises=_recognises,
    load=_load,
)
