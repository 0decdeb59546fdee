"""Training refuses data that it cannot use before it loads anything."""

import json

import pytest

from pm_audit.errors import InvalidSpec, ModelError
from recipes.train.pm import PmRecipe, train_pm


@pytest.mark.parametrize("length", [0, 100_000])
def test_no_pair_to_train_on_is_one_message(tmp_path, length):
    row = {"source": "s", "prompt_id": "1", "prompt": "p", "chosen": "x" * length, "rejected": "y"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n" if length else "")
    with pytest.raises(InvalidSpec, match=r"pairs\.jsonl: no pair of at most 384 tokens"):
        train_pm(path, tmp_path / "out", PmRecipe(), device="cpu", report=print)


@pytest.mark.parametrize("depths", [{"depth": 13}, {"depth": 3}])
def test_depths_that_do_not_fit_together_are_refused_first(tmp_path, depths):
    with pytest.raises(ModelError, match=r"check --depth and --trained-depth"):
        train_pm(tmp_path / "none", tmp_path, PmRecipe(**depths), device="cpu", report=print)
