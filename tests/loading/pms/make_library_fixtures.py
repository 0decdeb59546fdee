"""Let RewardBench's own classes write tiny reward models, with their own rewards beside.

RewardBench pins other versions of our dependencies, so what its classes wrote is kept in
``library/``.  To make it again:

    pip install --no-deps --target LIBRARIES rewardbench==0.1.4
    python tests/loading/pms/make_library_fixtures.py LIBRARIES
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import Gemma2Config, LlamaConfig
from transformers.models.llama import modeling_llama

OUT = Path(__file__).parent / "library"
SIZES: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 128,
    "pad_token_id": 2,
}
LENGTHS = (5, 17, 9, 30, 12, 7, 23, 14)


def module(libraries: Path, name: str) -> ModuleType:
    """Import one module of the package, without the package's own imports."""
    spec = importlib.util.spec_from_file_location(
        name, libraries / "rewardbench" / "models" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def rewards_of(model: Any, row: torch.Tensor) -> torch.Tensor:
    answer = model(input_ids=row[None], attention_mask=torch.ones_like(row)[None])
    for name in ("end_scores", "logits", "scores"):
        found = answer.get(name) if isinstance(answer, dict) else getattr(answer, name, None)
        if found is not None:
            return found.reshape(())
    return answer.reshape(())


def keep(name: str, model: Any, config: Any, **described: Any) -> None:
    noise = torch.Generator().manual_seed(11)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.3)
        rows = [torch.randint(10, 400, (length,), generator=noise) for length in LENGTHS]
        expected = torch.stack([rewards_of(model, row) for row in rows])
    folder = OUT / name
    folder.mkdir(parents=True)
    for key, value in described.items():
        setattr(config, key, value)
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    weights = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"tokens": torch.cat(rows), "rewards": expected}, folder / "expected.safetensors")


def main(libraries: Path) -> None:
    llama = {"num_key_value_heads": 2}
    # names that the package imports for docstrings alone, gone from transformers 5
    modeling_llama.LLAMA_INPUTS_DOCSTRING = ""
    modeling_llama._CONFIG_FOR_DOC = "LlamaConfig"

    config = LlamaConfig(**SIZES, **llama)
    config.num_labels = 1
    inform = module(libraries, "inform")
    keep("inform", inform.INFORMForSequenceClassification(config), config)

    config = Gemma2Config(**SIZES, num_key_value_heads=1, head_dim=4)
    config.vhead_num_neurons = 12
    keep("grm", module(libraries, "grm").GRewardModel(config), config)

    config = LlamaConfig(**SIZES, **llama)
    keep("ultra", module(libraries, "openbmb").LlamaRewardModel(config), config)

    config = LlamaConfig(**SIZES, **llama)
    starling = module(libraries, "starling")
    keep("starling", starling.LlamaForSequenceClassification(config), config)

    assistant = module(libraries, "openassistant")
    config = assistant.GPTNeoXRewardModelConfig(**SIZES)
    keep("oasst", assistant.GPTNeoXRewardModel(config), config)

    beaver = module(libraries, "beaver")
    for kind in ("reward", "cost"):
        config = LlamaConfig(**SIZES, **llama)
        model = beaver.LlamaForScore(
            config,
            score_type=kind,
            bias=True,
            do_normalize=True,
            normalizer_type="RunningMeanStd",
        )
        model.normalizer.set_mean_var([0.7], [2.5])
        keep(f"beaver_{kind}", model, config)


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    main(Path(sys.argv[1]))
