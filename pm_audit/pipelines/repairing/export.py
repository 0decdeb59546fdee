"""A repaired PM as files, each checked against the replay that judged it before it is kept.

features    edit.json, edit.safetensors    this tool applies them: the setting ``repair``
            patch.safetensors              x @ weight + bias of a block, if the edit is affine
directions  model/                         ordinary weights: transformers loads them by itself
            adapter/                       LoRA over a base: transformers and PEFT load it
any         steering/                      directions for other tools
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from pm_audit.errors import ModelError
from pm_audit.forward.features import Floats
from pm_audit.forward.grid import Row
from pm_audit.forward.scale import reference_grid
from pm_audit.forward.trace import Trace, rewards, trace
from pm_audit.interventions.ablation import ablate_sets
from pm_audit.interventions.levels import at_levels
from pm_audit.loading.foreign import explained
from pm_audit.loading.projected import projected, save_adapter, save_whole
from pm_audit.loading.repaired import affine, edits_of, repaired, save_edits
from pm_audit.loading.steering import Direction, save_control_vector, save_directions
from pm_audit.pipelines.repairing.candidates import Candidate, picked_of
from pm_audit.pipelines.repairing.repair import Repair
from pm_audit.records import write_atomically
from pm_audit.report.sanitise import node_id
from pm_audit.subject.preference_model import PreferenceModel

TOLERANCE = 1e-4
"""Largest difference, raw reward, between an exported PM and the replay of the same repair."""


def export(
    repair: Repair, folder: Path, *, name: str | None = None, base: str | None = None
) -> tuple[str, ...]:
    """Write a repair and return a line for each file or refusal.

    Args:
        repair: what ``repair`` returned.
        folder: where to write.
        name: which candidate, as the record spells it; by default the first that helps.
        base: what the adapter of a projection names as its base; no adapter without it.

    Raises:
        ModelError: nothing helps and none is named, or what was written gives other rewards.

    """
    chosen = _chosen(repair, name)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*_directions(repair, folder / "steering")]
    if chosen.projection is None:
        lines += _edit(repair, chosen, folder)
    else:
        lines += _weights(repair, chosen, folder, base)
    return tuple(lines)


def _chosen(repair: Repair, name: str | None) -> Candidate:
    if name is None:
        best = repair.record.best
        if best is None:
            raise ModelError(
                "no verified set helps, so there is nothing to export; name a repair of the table "
                "to export it all the same"
            )
        return repair.of(best.candidate)
    return picked_of(name, repair.candidates)


def _edit(repair: Repair, chosen: Candidate, folder: Path) -> Iterator[str]:
    edits = edits_of(repair.saes, chosen.features, chosen.levels)
    save_edits(repair.pm, edits, folder)
    clean = trace(repair.pm, repair.saes, reference_grid(repair.pm))
    replayed = ablate_sets(clean, [chosen.features], targets=at_levels(clean, chosen.levels))[0]
    apart = _apart(rewards(repaired(repair.pm, folder), clean.grid), replayed, folder)
    yield f"wrote {folder / 'edit.json'}: applied by --repair {folder} ({apart})"
    for edit in edits:
        found = affine(edit, clean.streams[edit.layer], _places(clean))
        if isinstance(found, str):
            yield f"no weight patch of {edit.sae.name}: {found}"
            continue
        path = folder / f"patch_{node_id(edit.sae.name)}.safetensors"
        told = json.dumps({"layer": edit.layer, "use": "x @ weight + bias[place]"})
        write_atomically(
            path, save(dict(zip(("weight", "bias"), found, strict=True)), {"pm_audit": told})
        )
        yield f"wrote {path}: the output of block {edit.layer}, where the features are active"


def _weights(repair: Repair, chosen: Candidate, folder: Path, base: str | None) -> Iterator[str]:
    assert chosen.projection is not None
    changed = projected(repair.pm, chosen.projection)
    grid = reference_grid(repair.pm)
    expected = rewards(changed, grid)
    save_whole(changed, folder / "model")
    apart = _apart(_by_transformers(changed, folder / "model", grid.rows), expected, folder)
    yield f"wrote {folder / 'model'}: AutoModelForSequenceClassification loads it ({apart})"
    if base is None:
        yield "no adapter: name its base, a folder or Hub name that transformers loads"
        return
    save_adapter(repair.pm, chosen.projection, folder / "adapter", base=base)
    yield f"wrote {folder / 'adapter'}: LoRA of rank {len(chosen.projection.basis)} over {base}"


def _by_transformers(pm: PreferenceModel, folder: Path, rows: Sequence[Row]) -> Floats:
    """Return rewards [row] as transformers reads the written model, without this package's code."""
    from transformers import AutoModelForSequenceClassification

    with explained(ModelError, f"{folder}: transformers cannot load it", "report this"):
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=pm.dtype).eval()
    ids = (torch.tensor([row.token_ids]) for row in rows)
    with torch.inference_mode():
        return np.array([float(model(input_ids=one).logits[0, 0]) for one in ids])


def _apart(found: Floats, expected: Floats, folder: Path) -> str:
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{folder}: rewards of what was written differ from the repair's by {difference:.2g}; "
            "do not use it, and report this"
        )
    return f"rewards within {difference:.1g} of the repair's"


def _places(clean: Trace) -> torch.Tensor:
    return clean.places(torch.arange(len(clean.grid.layout.completion_tokens)))


def _directions(repair: Repair, folder: Path) -> Iterator[str]:
    """Write each verified feature's direction, and what each set adds to an example's stream."""
    found: dict[str, Direction] = {}
    saes = {sae.name: sae for sae in repair.saes}
    for one in repair.sets:
        for feature in one.plain:
            row = saes[feature.sae].W_dec[feature.index]
            found[str(feature)] = Direction(row / row.norm(), feature.layer)
        if one.examples is None or one.levels is None:
            continue
        for name in sorted({feature.sae for feature in one.plain}):
            sae = saes[name]
            latents = [feature.index for feature in one.plain if feature.sae == name]
            more = one.examples[name].of(latents)[0] - one.levels[name].of(latents)[0]
            vector = more @ sae.W_dec[torch.tensor(latents)]
            label = one.name if len(saes) == 1 else f"{one.name}.{name}"
            found[label] = Direction(vector, sae.layer)
            path = folder / f"{node_id(label)}.gguf"
            model = repair.pm.decoder.backbone.config.get_text_config().model_type
            save_control_vector(found[label], path, model=model)
    save_directions(found, folder)
    yield f"wrote {folder}: {len(found)} directions, as safetensors and as control vectors"
