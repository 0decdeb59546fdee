"""Feature directions for steering, in files that other tools read.

* ``directions.safetensors``: a unit decoder row a feature, under ``sae/index``, and for each
  hypothesis what its set adds to the stream of an example over a counter-example; the metadata has
  the layer of each.
* ``NAME.gguf``: the control vector of llama.cpp, repeng and EasySteer, a tensor ``direction.LAYER``
  for the output of block LAYER, counted from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from safetensors.torch import save
from torch import Tensor

from pm_audit.records import write_atomically

FILE = "directions.safetensors"


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of the stream after one block."""

    vector: Tensor
    """[hidden]"""
    layer: int


def save_directions(directions: Mapping[str, Direction], folder: Path) -> None:
    """Write the directions as safetensors, with their layers as metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = {name: one.layer for name, one in directions.items()}
    tensors = {name: one.vector.float().contiguous().cpu() for name, one in directions.items()}
    write_atomically(folder / FILE, save(tensors, metadata={"layers": json.dumps(layers)}))


def save_control_vector(direction: Direction, path: Path, *, model: str) -> None:
    """Write one direction as a control vector in GGUF.

    llama.cpp adds none after block 0, and repeng names the model's type as the hint.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arch = "controlvector"
    writer = gguf.GGUFWriter(path, arch)
    writer.add_string(f"{arch}.model_hint", model)
    writer.add_uint32(f"{arch}.layer_count", 1)
    vector = direction.vector.float().cpu().numpy().astype(np.float32)
    writer.add_tensor(f"direction.{direction.layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
