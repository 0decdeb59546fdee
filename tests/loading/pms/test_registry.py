from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pm_audit.errors import ModelError
from pm_audit.loading.pms.family import PmFamily
from pm_audit.loading.pms.registry import load, load_each
from pm_audit.loading.pms.sequence_classification import load as load_classifier
from pm_audit.subject.preflight import preflight, require
from pm_audit.text.text_format import TextSettings


def test_another_package_adds_a_family(
    save_classifier: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_classifier("llama")
    (folder / "mine.txt").touch()
    mine = PmFamily(
        "mine",
        "`mine.txt`",
        ("mine",),
        {},
        lambda checkpoint: (checkpoint.folder / "mine.txt").exists(),
        lambda request: load_classifier(replace(request, text=TextSettings("beaver"))),
    )
    point = EntryPoint("mine", "somewhere:MINE", "pm_audit.pms")
    monkeypatch.setattr(EntryPoint, "load", lambda _: mine)
    monkeypatch.setattr(
        "pm_audit.extensions.entry_points", lambda group: [point] if group == point.group else []
    )
    assert load(folder).text_format.name == "beaver"
    monkeypatch.setattr(EntryPoint, "load", lambda _: 3)
    with pytest.raises(ModelError, match="is a int, expected PmFamily"):
        load(folder)


def test_all_objectives_share_one_body(save_classifier: Callable[..., Path]) -> None:
    folder = save_classifier("llama", labels=3)
    models = load_each(folder, objective="all", text_format="hh")
    assert [model.objective for model in models] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert len({id(model.decoder) for model in models}) == 1
    alone = load(folder, objective="LABEL_1", text_format="hh")
    state = alone.decoder.backbone.get_input_embeddings().weight[:4]
    assert alone.reward(state).tolist() == models[1].reward(state).tolist()
    assert alone.reward(state).tolist() != models[2].reward(state).tolist()


def test_every_objective_passes_its_preflight(save_classifier: Callable[..., Path]) -> None:
    for model in load_each(save_classifier("gpt2", labels=2), objective="all"):
        require(preflight(model), name=str(model.objective))
        assert not any(parameter.requires_grad for parameter in model.head.parameters())


def test_all_of_one_objective_is_the_model(save_classifier: Callable[..., Path]) -> None:
    (model,) = load_each(save_classifier("llama"), objective="all", text_format="hh")
    assert model.objective is None


@pytest.mark.parametrize("base", ["folder", "nobody/no-such-base", "", "x"])
def test_a_base_for_what_is_no_adapter_is_refused(
    save_classifier: Callable[..., Path], base: str
) -> None:
    folder = save_classifier("llama")
    named = str(folder) if base == "folder" else base
    with pytest.raises(ModelError, match=r"but this is not an adapter .* name the PM alone"):
        load(f"{folder}@{named}", text_format="hh")
    with pytest.raises(ModelError, match="but this is not an adapter"):
        load(folder, base=named, text_format="hh")
    with pytest.raises(ModelError, match="but this is not an adapter"):
        load_each(f"{folder}@{named}", objective="all", text_format="hh")
