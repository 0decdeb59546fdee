from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pm_audit.errors import InvalidSpec

TRIVIA = """\
prompts:
  - id: france
    wordings: [What is the capital of France?, Name the capital of France.]
    fields: {answer: Paris is the capital}
  - id: planets
    wordings: [How many planets are there?]
    fields: {answer: There are eight}
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write files into a project that has the probe ``trivia``; return its root."""

    def write(**files: str) -> Path:
        root = tmp_path / "project"
        (root / "probes").mkdir(parents=True, exist_ok=True)
        (root / "hypotheses").mkdir(exist_ok=True)
        (root / "probes" / "trivia.yaml").write_text(TRIVIA)
        for name, text in files.items():
            (root / "hypotheses" / f"{name}.yaml").write_text(text)
        return root

    return write


@pytest.fixture
def faults() -> Callable[[Callable[[], object]], list[str]]:
    """Run something that must be refused; return its problems, each as one line."""

    def run(action: Callable[[], object]) -> list[str]:
        with pytest.raises(InvalidSpec) as refused:
            action()
        assert "\n".join(map(str, refused.value.problems)) == str(refused.value)
        return str(refused.value).splitlines()

    return run
