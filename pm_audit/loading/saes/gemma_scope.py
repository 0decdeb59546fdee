"""SAEs of Gemma Scope and its kin (2408.05147): ``params.npz``, JumpReLU, input not centred.

The layer stands in the folder's name: ``layer_20/width_16k/average_l0_71/params.npz``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import (
    SaeFiles,
    SaeFormat,
    read_npz,
    refuse_square,
    refuse_unread,
    take,
)
from pm_audit.subject.activation import JumpRelu
from pm_audit.subject.sae import Sae

WEIGHTS = "params.npz"
REFUSED: Mapping[str, str] = {
    "attention and MLP outputs": "audits splice the residual stream between blocks",
    "transcoder": "a transcoder predicts another place than it reads",
    "crosscoder": "it reads several places at once",
}
_ELSEWHERE = re.compile(r"transcoder|crosscoder|clt|attn|mlp|embedding")


def load(files: SaeFiles) -> Sae:
    """Load the SAE.

    Raises:
        SaeError: it is refused, or its arrays do not fit together.

    """
    source = files.source
    weights = files.weights or files.weights_file(WEIGHTS)
    if weights is None:
        raise SaeError(f"{source}: {WEIGHTS} is missing; fetch it too")
    folders = files.folder.resolve().parts[-5:]
    if found := _ELSEWHERE.search("/".join(folders)):
        raise SaeError(
            f"{source}: the folder says {found[0]}; audits need an SAE that reads and writes "
            "the residual stream after one block"
        )
    files = files.at_weights(weights)
    layers = [part for part in folders if re.fullmatch(r"(?:resid_post_)?layer_\d+", part)]
    arrays = {key.lower(): array for key, array in read_npz(weights).items()}
    keys = ("w_enc", "b_enc", "w_dec", "b_dec", "threshold")
    encoder, bias, decoder, decoder_bias, threshold = take(arrays, *keys, source=source)
    refuse_unread(arrays, keys, source=source)
    latent, hidden = decoder.shape
    refuse_square(hidden, latent, source=source)
    return Sae(
        name=files.name,
        layer=files.block(layers[-1] if layers else None),
        architecture="jumprelu",
        source=source,
        sha256=files.sha256(),
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
    refuses=REFUSED,
    recognises=_recognises,
    load=load,
)
