"""A repair as files: ``edit.json`` says what it is, ``edit.safetensors`` holds its weights.

The edit is whole in itself: encoder, decoder rows, levels.  If latents compete (topk, groupmax), a
few cannot be encoded without the others, so the whole encoder is kept.  The files name the PM by
the hash of its weights; on another PM the edit is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from pm_audit.errors import ModelError
from pm_audit.files import read_json, sha256
from pm_audit.loading.foreign import explained
from pm_audit.loading.recipe_folder import EDIT
from pm_audit.loading.tensors import read_safetensors
from pm_audit.records import Feature, write_atomically
from pm_audit.records.document import json_document
from pm_audit.subject.activation import Activation, Gated, GroupMax, JumpRelu, Relu, TopK
from pm_audit.subject.preference_model import PreferenceModel, Readout
from pm_audit.subject.sae import Normalisation, Sae
from pm_audit.subject.stream_edit import StreamEdit

WEIGHTS = "edit.safetensors"
EDIT_VERSION = 1

_ACTIVATIONS: dict[str, type[Activation]] = {
    kind.__name__: kind for kind in (Relu, JumpRelu, Gated, TopK, GroupMax)
}


class HasLevels(Protocol):
    """Levels of one SAE's latents."""

    def of(self, latents: Sequence[int]) -> Tensor:
        """Return levels [place selected]."""


_TENSORS = ("W_enc", "b_enc", "input_bias")
_PLAIN = ("name", "layer", "architecture", "source", "sha256", "centred", "epsilon")


def edits_of(
    saes: Sequence[Sae], features: Sequence[Feature], levels: Mapping[str, HasLevels]
) -> tuple[StreamEdit, ...]:
    """Return the edits that put features at levels, by SAE."""
    found = []
    for sae in saes:
        own = [feature.index for feature in features if feature.sae == sae.name]
        if own:
            level = levels[sae.name].of(own)
            found.append(StreamEdit(sae=sae, latents=torch.tensor(own), level=level))
    return tuple(found)


def affine(edit: StreamEdit, stream: Tensor, place: Tensor) -> tuple[Tensor, Tensor] | str:
    """Return (weight [hidden hidden], bias [place hidden]) that equal an edit, or why none do.

    Where all features of the edit are active, a feature is linear in the stream, and the edited
    stream is ``x @ weight + bias[place]``.

    Args:
        edit: the edit.
        stream: [token hidden], of completions, on which the features must be active.
        place: [token]

    """
    sae, latents = edit.sae, edit.latents
    if sae.normalisation is not Normalisation.NONE or sae.centred:
        return "the SAE normalises each token, which no weights do"
    if not isinstance(sae.activation, Relu | JumpRelu | TopK):
        return f"{type(sae.activation).__name__} is not linear where a feature is active"
    active = sae.encode_selected(stream.to(sae.W_dec.dtype), latents).features > 0
    share = active.double().mean(dim=0)
    if not bool(active.all()):
        least = int(share.argmin())
        return (
            f"{int((share < 1).sum())} of its {len(latents)} features are not active on every "
            f"token ({sae.name}/{int(latents[least])} on {100 * float(share[least]):.1f}%), and "
            "where one is not, its edit bends"
        )
    rows, encoder = sae.W_dec[latents].double(), sae.W_enc[:, latents].double()
    constant = sae.b_enc[latents].double()
    if sae.input_bias is not None:
        constant = constant - sae.input_bias.double() @ encoder
    weight = torch.eye(sae.hidden_size, dtype=torch.float64, device=rows.device) - encoder @ rows
    level = edit.level[: int(place.max()) + 1].double()
    return weight.float(), ((level - constant) @ rows).float()


def save_edits(pm: PreferenceModel, edits: Sequence[StreamEdit], folder: Path) -> None:
    """Write edits of a PM, which has none yet, into a folder."""
    tensors: dict[str, Tensor] = {}
    described = []
    for number, edit in enumerate(edits):
        sae, latents = _needed(edit)
        tensors |= {
            f"{number}.{name}": tensor
            for name, tensor in (
                *((name, getattr(sae, name)) for name in _TENSORS),
                *((f"activation.{key}", one) for key, one in sae.activation.tensors().items()),
                ("W_dec", edit.sae.W_dec[edit.latents]),
                ("level", edit.level),
            )
            if tensor is not None
        }
        activation: dict[str, Any] = {"kind": type(sae.activation).__name__}
        activation |= {"k": sae.activation.k} if isinstance(sae.activation, TopK | GroupMax) else {}
        described.append(
            {
                **{name: getattr(sae, name) for name in _PLAIN},
                "normalisation": sae.normalisation.value,
                "activation": activation,
                "features": edit.latents.tolist(),
                "encoded_at": latents.tolist(),
            }
        )
    document = {
        "schema_version": EDIT_VERSION,
        "pm": pm.name,
        "pm_sha256": pm.sha256,
        "edits": described,
    }
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: one.detach().contiguous().cpu() for name, one in tensors.items()}
    write_atomically(folder / WEIGHTS, save(kept))
    write_atomically(folder / EDIT, json_document(document) + "\n")


def repaired(pm: PreferenceModel, folder: Path) -> PreferenceModel:
    """Return a PM with the edits of a folder.

    Raises:
        ModelError: the files are missing or torn, the edits are of another PM, or this one reads
            nothing that a completion could change.

    """
    named = folder / EDIT
    if not named.is_file():
        raise ModelError(
            f"{folder}: holds no {EDIT}; name the folder that `pm-audit repair --export` wrote"
        )
    document = read_json(named, error=ModelError)
    if document.get("schema_version") != EDIT_VERSION:
        raise ModelError(f"{named}: not an edit of version {EDIT_VERSION}; export the repair again")
    if document.get("pm_sha256") != pm.sha256:
        raise ModelError(
            f"{named}: was made for other weights than {pm.name} has; name the PM that it repairs "
            f"({str(document.get('pm'))[:80]})"
        )
    if pm.readout is Readout.FIRST:
        raise ModelError(f"{pm.name}: an encoder's rewards cannot be edited in the stream")
    tensors = read_safetensors(folder / WEIGHTS, error=ModelError)
    with explained(ModelError, f"{named}: is torn", "export the repair again"):
        edits = tuple(
            _edit(number, one, tensors).to(pm.device)
            for number, one in enumerate(document["edits"])
        )
    if not edits or any(
        not 0 <= one.layer < pm.depth or one.sae.hidden_size != pm.hidden_size for one in edits
    ):
        raise ModelError(f"{named}: does not fit {pm.name}; export the repair again")
    digest = f"{pm.sha256}{sha256([named, folder / WEIGHTS])}"
    note = f"repaired by {folder.name}: {words(edits)}"
    return replace(
        pm,
        edits=edits,
        sha256=hashlib.sha256(digest.encode()).hexdigest(),
        notes=(*pm.notes, note),
    )


def words(edits: Sequence[StreamEdit]) -> str:
    """Return what edits do: ``11 features of layer_6 at fixed levels``."""
    counts = [(len(edit.latents), edit.sae.name) for edit in edits]
    parts = (f"{many} feature{'s' * (many != 1)} of {name}" for many, name in counts)
    return f"{', '.join(parts)} at fixed levels"


def _needed(edit: StreamEdit) -> tuple[Sae, Tensor]:
    """Return the SAE with the latents that encoding needs, and where the edit's are in it."""
    sae, latents = edit.sae, edit.latents
    if not sae.activation.elementwise:
        return sae, latents
    small = replace(
        sae,
        W_enc=sae.W_enc[:, latents],
        b_enc=sae.b_enc[latents],
        W_dec=sae.W_dec[latents],
        activation=sae.activation.select(latents),
    )
    return small, torch.arange(len(latents))


def _edit(number: int, described: dict[str, Any], tensors: dict[str, Tensor]) -> StreamEdit:
    own = {
        name.removeprefix(f"{number}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{number}.")
    }
    activation = dict(described["activation"])
    kind = _ACTIVATIONS[activation.pop("kind")]
    held = {
        name.removeprefix("activation."): tensor
        for name, tensor in own.items()
        if name.startswith("activation.")
    }
    rows = own["W_dec"]
    latents = torch.tensor(described["encoded_at"], dtype=torch.long)
    decoder = rows.new_zeros(own["W_enc"].shape[1], rows.shape[1])
    decoder[latents] = rows
    sae = Sae(
        **{name: described[name] for name in _PLAIN},
        W_enc=own["W_enc"],
        b_enc=own["b_enc"],
        input_bias=own.get("input_bias"),
        W_dec=decoder,
        b_dec=rows.new_zeros(rows.shape[1]),
        activation=kind(**activation, **held),
        normalisation=Normalisation(described["normalisation"]),
    )
    return StreamEdit(sae=sae, latents=latents, level=own["level"])
