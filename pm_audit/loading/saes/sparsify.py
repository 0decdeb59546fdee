"""SAEs of EleutherAI's sparsify: ``{hookpoint}/cfg.json`` and ``sae.safetensors``.

encoder.weight [latent hidden], W_dec [latent hidden]; the input is centred with b_dec.  Features
are the k largest, or with groupmax the largest of each of k groups.  A skip connection is a
linear path around the features and joins the offset.
"""

from __future__ import annotations

from collections.abc import Mapping

from pm_audit.errors import SaeError
from pm_audit.loading.saes.format import (
    SaeFiles,
    SaeFormat,
    read_safetensors,
    refuse_square,
    refuse_unread,
    take,
)
from pm_audit.loading.saes.options import flag, refuse_unknown, text, whole
from pm_audit.subject.activation import Activation, GroupMax, TopK
from pm_audit.subject.sae import Sae

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
REFUSED: Mapping[str, str] = {
    "transcode": "a transcoder predicts another place than it reads",
}

KNOWN = frozenset(
    {
        *("activation", "k", "num_latents", "d_in", "skip_connection", "transcode"),
        *("expansion_factor", "normalize_decoder", "multi_topk"),
    }
)
"""Options that are done here, or belong to training: the decoder on disk is normalised already."""


def load(files: SaeFiles) -> Sae:
    """Load the SAE; its folder's name is its hook point.

    Raises:
        SaeError: it is refused, or its weights do not fit its configuration.

    """
    config = files.config(CONFIG)
    source = files.source
    place: dict[str, str] = {"source": source, "where": CONFIG}
    refuse_unknown(config, KNOWN, **place)
    if flag(config, "transcode", default=False, **place):
        raise SaeError(f"{source}: transcode is set: {REFUSED['transcode']}; use an SAE")
    weights = files.weights_file(WEIGHTS)
    if weights is None:
        raise SaeError(f"{source}: {WEIGHTS} is missing beside {CONFIG}; fetch it too")
    files = files.at_weights(weights)
    layer = files.block(files.folder.resolve().name)
    tensors = read_safetensors(weights)
    keys = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
    encoder, bias, decoder, decoder_bias = take(tensors, *keys, source=source)
    refuse_unread(tensors, (*keys, "W_skip"), source=source)
    latent, hidden = decoder.shape
    said = config.get("num_latents") or latent
    if whole(config, "d_in", **place) != hidden or said != latent:
        raise SaeError(
            f"{source}: {CONFIG} says d_in {config.get('d_in')} and num_latents {str(said)[:40]}, "
            f"W_dec is {list(decoder.shape)}; the config belongs to other weights"
        )
    if flag(config, "skip_connection", default=False, **place) != ("W_skip" in tensors):
        raise SaeError(
            f"{source}: skip_connection of {CONFIG} and W_skip in the weights do not agree; the "
            "config belongs to other weights"
        )
    refuse_square(hidden, latent, source=source)
    skip = take(tensors, "W_skip", source=source)[0] if "W_skip" in tensors else None
    return Sae(
        name=files.name,
        layer=layer,
        architecture=text(config, "activation", **place) or "topk",
        source=source,
        sha256=files.sha256(),
        W_enc=encoder.T.contiguous(),
        b_enc=bias,
        W_dec=decoder,
        b_dec=decoder_bias,
        activation=_activation(config.get("activation") or "topk", config.get("k"), latent, source),
        input_bias=decoder_bias,
        W_skip=None if skip is None else skip.T.contiguous(),
    )


def _activation(kind: object, k: object, latent: int, source: str) -> Activation:
    if isinstance(k, bool) or not isinstance(k, int) or not 0 < k <= latent:
        raise SaeError(f"{source}: {CONFIG} says k is {str(k)[:40]}, expected 1 to {latent}")
    if kind == "topk":
        return TopK(k)
    if kind == "groupmax" and latent % k == 0:
        return GroupMax(k)
    raise SaeError(
        f"{source}: activation {str(kind)[:40]!r} over {latent} latents is neither of topk, "
        "groupmax"
    )


def _recognises(files: SaeFiles) -> bool:
    return files.has(CONFIG) and files.weights_file(WEIGHTS) is not None


FORMAT = SaeFormat(
    name="EleutherAI sparsify",
    files=f"`{{hookpoint}}/{CONFIG}`, `{WEIGHTS}`",
    loads=("topk", "groupmax", "skip connection"),
    refuses=REFUSED,
    recognises=_recognises,
    load=load,
)
