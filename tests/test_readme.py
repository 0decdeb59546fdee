"""The README shows what is there: its commands, its hypothesis, its links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_hypothesis_shown_is_the_one_shipped():
    shown = re.search(r"```yaml\n# (\S+)\n(.*?)```", README, re.DOTALL)
    shipped = (ROOT / shown[1]).read_text(encoding="utf-8")
    assert shipped.endswith(shown[2])


@pytest.mark.parametrize("name", ["audit", "test"])
def test_each_command_of_a_fresh_machine_stands_behind_its_marker(name):
    block = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert "pip install --quiet torch==" in block[1]
    assert "-m pytest" in block[1].splitlines()[-1]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
