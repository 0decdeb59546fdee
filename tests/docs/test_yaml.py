"""The reference of the YAML files: every key, what it holds, and what it means."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from pm_audit.spec.generate import WrittenGenerate
from pm_audit.spec.hypothesis import Expect, KnownBias, WrittenHypothesis
from pm_audit.spec.probe import Prompt, WrittenProbe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "yaml.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_models_say(tmp_path):
    make_yaml = runpy.run_path(str(ROOT / "docs" / "make_yaml.py"))
    main = make_yaml["main"]
    assert main(["--check"]) == 0, "run `make docs-samples`"
    main.__globals__["PAGE"] = tmp_path / "yaml.md"
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0


@pytest.mark.parametrize(
    "model", [WrittenHypothesis, WrittenGenerate, Expect, KnownBias, WrittenProbe, Prompt]
)
def test_every_key_of_the_yaml_files_stands_in_the_reference(model):
    for name, field in model.model_fields.items():
        meaning = " ".join(field.description.split()).replace("|", "\\|")
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
        assert [row for row in rows if row.endswith(f"| {meaning} |")], name
        needed = field.is_required() and model is not Expect and name not in ("expect", "effect")
        assert not needed or any("| required |" in row for row in rows), name


def test_a_key_is_said_to_hold_what_it_holds():
    for row in (
        "| `effect` | `raises` or `lowers` or `none` |  |",
        "| `generate` | [Generate](#generate) |  |",
        "| `at_most` | a number, 1 to 8 | `3` |",
        "| `claim` | text | required |",
        "| `examples` | list: text |  |",
        "| `pairs` | [Pairs](#pairs) |  |",
        "| `strict` | `true` or `false` | `false` |",
        "| `prompts` | list: [Prompt](#prompt) |  |",
        "| `closure` | a number, 0 to 1 | `0.5` |",
        "| `expires` | a date | required |",
        "| `fields` | field names, each with its text |  |",
    ):
        assert row in PAGE
    for anchor in re.findall(r"\]\(#(\w+)\)", PAGE):
        assert re.search(rf"^### {anchor}$", PAGE, re.MULTILINE | re.IGNORECASE), anchor
