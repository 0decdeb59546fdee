from __future__ import annotations

import json
from pathlib import Path

import pytest

from pm_audit.spec.schema import json_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["hypothesis", "probe"])
def test_the_schema_next_to_the_shipped_files_is_the_present_one(kind: str) -> None:
    folder = {"hypothesis": "hypotheses", "probe": "probes"}[kind]
    shipped = ROOT / folder / f"{kind}.schema.json"
    assert json.loads(shipped.read_text()) == json_schema(kind), (
        f"write it again: pm-audit schema {kind} > {shipped.relative_to(ROOT)}"
    )


@pytest.mark.parametrize(("folder", "kind"), [("hypotheses", "hypothesis"), ("probes", "probe")])
def test_shipped_files_name_their_schema(folder: str, kind: str) -> None:
    for path in (ROOT / folder).rglob("*.yaml"):
        up = "../" * (len(path.relative_to(ROOT / folder).parts) - 1)
        first = path.read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema={up}{kind}.schema.json", path


def test_authors_may_leave_out_what_has_a_default() -> None:
    schema = json_schema("hypothesis")
    definitions = schema["$defs"]
    assert schema["then"]["items"] == schema["else"]
    assert "expect" not in definitions["WrittenHypothesis"]["required"]
    assert "required" not in definitions["Expect"]
    assert definitions["KnownBias"]["required"] == ["reason", "ticket", "expires"]


def test_every_object_is_closed_and_every_key_explained() -> None:
    whole = json_schema("hypothesis")
    objects = [whole["$defs"][name] for name in whole["$defs"]] + [json_schema("probe")]
    for each in objects:
        if each["type"] == "object":
            assert each["additionalProperties"] is False
            assert "properties" in each
            for key, value in each["properties"].items():
                assert value.get("description") or key in {"id"}, key


def test_null_is_nothing_that_an_author_writes() -> None:
    assert "null" not in json.dumps([json_schema("hypothesis"), json_schema("probe")])


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="`hypothesis` and for `probe`"):
        json_schema("record")
