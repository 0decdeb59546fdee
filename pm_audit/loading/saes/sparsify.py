"""SAEs of EleutherAI's sparsify: ``{hookpoint}/cfg.json`` and ``sae.safetensors``.

encoder.weight [latent hidden], W_dec [latent hidden]; the input is centred with b_dec.  Features
are the k largest, or with groupmax the largest of each of k groups.  A skip connection is a
linear path around the features and joins the offset.
"""

from __future__ import annotations

from pm_audit.errors import SaeError
from pm_audit.loading.options import Options
from pm_audit.loading.saes.format import TRANSCODER, SaeFiles, SaeFormat
from pm_audit.loading.saes.weights import Weights
from pm_audit.subject.activation import Activation, GroupMax, TopK
from pm_audit.subject.sae import Sae

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
KNOWN = frozenset(
    {
        *("activation", "k", "num_latents", "d_in", "skip_connection", "transcode"),
        *("expansion_factor", "normalize_decoder", "multi_topk"),
    }
)
"""Options that are applied, or belong to training: the decoder on disk is normalised already."""


def _load(named: SaeFiles) -> Sae:
    options = named.options(named.config(CONFIG), CONFIG)
    options.refuse_unknown(KNOWN, changes="features")
    if options.flag("transcode", default=False):
        raise SaeError(f"{named.source}: transcode is set: {TRANSCODER}; use an SAE")
    files, path = named.located(WEIGHTS)
    layer = files.block(files.folder.resolve().name)
    weights = Weights.read(path, source=named.source)
    keys = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
    encoder, bias, decoder, decoder_bias = weights.take(*keys)
    weights.refuse_unread("W_skip")
    latent, hidden = decoder.shape
    said = options.held.get("num_latents") or latent
    if options.whole("d_in") != hidden or said != latent:
        raise SaeError(
            f"{named.source}: {CONFIG} says d_in {options.held['d_in']} and num_latents "
            f"{str(said)[:40]}, W_dec is {[latent, hidden]}; the config belongs to other weights"
        )
    if options.flag("skip_connection", default=False) != ("W_skip" in weights):
        raise SaeError(
            f"{named.source}: skip_connection of {CONFIG} and W_skip in the weights do not agree; "
            "the config belongs to other weights"
        )
    return files.sae(
        layer=layer,
        architecture=options.text("activation") or "topk",
        source=named.source,
        W_enc=encoder.T,
        b_enc=bias,
        W_dec=decoder,
        b_dec=decoder_bias,
        activation=_activation(options, latent),
        input_bias=decoder_bias,
        W_skip=weights.take("W_skip")[0].T.contiguous() if "W_skip" in weights else None,
    )


def _activation(options: Options, latent: int) -> Activation:
    kind, k = options.text("activation") or "topk", options.whole("k", most=latent)
    if kind == "topk":
        return TopK(k)
    if kind == "groupmax" and latent % k == 0:
        return GroupMax(k)
    raise options.wrong("activation", f"one of topk, groupmax (of {k} groups of {latent} latents)")


def _recognises(files: SaeFiles) -> bool:
    return files.has(CONFIG) and files.weights_file(WEIGHTS) is not None


FORMAT = SaeFormat(
    name="EleutherAI sparsify",
    files=f"`{{hookpoint}}/{CONFIG}`, `{WEIGHTS}`",
    loads=("topk", "groupmax", "skip connection"),
    refuses={"transcode": TRANSCODER},
    recognises=_recognises,
    load=_load,
)
