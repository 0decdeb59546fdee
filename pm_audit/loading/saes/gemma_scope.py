"""SAEs of Gemma Scope and its kin (2408.05147): ``params.npz``, JumpReLU, input not centred.

The layer stands in the folder's name: ``layer_20/width_16k/average_l0_71/params.npz``.
"""

from __future__ import annotations

import re

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import CROSSCODER, INSIDE, TRANSCODER, SaeFiles, SaeFormat
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.activation import JumpRelu
from pm_audit.subject.sae import Sae

WEIGHTS = "params.npz"
_ELSEWHERE = re.compile(r"transcoder|crosscoder|clt|attn|mlp|embedding")


def _load(named: SaeFiles) -> Sae:
    files, path = named.located(WEIGHTS)
    folders = files.folder.resolve().parts[-5:]
    if found := _ELSEWHERE.search("/".join(folders)):
        raise SaeError(
            f"{named.source}: the folder says {found[0]}; audits need an SAE that reads and writes "
            "the residual stream after one block"
        )
    layers = [part for part in folders if re.fullmatch(r"(?:resid_post_)?layer_\d+", part)]
    weights = Weights.read(path, source=named.source)
    encoder, bias, decoder, decoder_bias, threshold = weights.take(
        "w_enc", "b_enc", "w_dec", "b_dec", "threshold"
    )
    weights.refuse_unread()
    return files.sae(
        layer=files.block(layers[-1] if layers else None),
        architecture="jumprelu",
        source=named.source,
        W_enc=encoder,
        b_enc=bias,
        W_dec=decoder,
        b_dec=decoder_bias,
        activation=JumpRelu(threshold),
    )


def _recognises(files: SaeFiles) -> bool:
    if files.weights is not None:
        return files.weights.suffix == ".npz"
    return files.has(WEIGHTS)


FORMAT = SaeFormat(
    name="Gemma Scope",
    files=f"`{WEIGHTS}`",
    loads=("jumprelu",),
    refuses={
        "attention and MLP outputs": INSIDE,
        "transcoder": TRANSCODER,
        "crosscoder": CROSSCODER,
    },
    recognises=_recognises,
    load=_load,
)
