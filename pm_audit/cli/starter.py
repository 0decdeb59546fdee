"""A first project: one hypothesis, one probe, the settings and a workflow, all commented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pm_audit.records import write_atomically
from pm_audit.spec.schema import json_schema

_FILES = Path(__file__).parent / "starter_files"
_TARGETS = {
    "hypothesis.yaml": Path("hypotheses/first.yaml"),
    "probe.yaml": Path("probes/first.yaml"),
    "settings.toml": Path("pyproject.toml"),
    "workflow.yml": Path(".github/workflows/pm-audit.yml"),
}
_SCHEMAS = {
    "hypothesis": Path("hypotheses/hypothesis.schema.json"),
    "probe": Path("probes/probe.schema.json"),
}


def write_starter(folder: Path, *, pm: str) -> Iterator[str]:
    """Write the files that ``folder`` lacks and yield a line for each file.

    An existing file is never changed; for settings, the lines to add are printed instead.
    """
    texts = {target: _text(source, pm) for source, target in _TARGETS.items()}
    for kind, target in _SCHEMAS.items():
        texts[target] = json.dumps(json_schema(kind), indent=2) + "\n"
    for target, text in texts.items():
        path = folder / target
        if not path.exists():
            write_atomically(path, text)
            yield f"wrote {path}"
            continue
        yield f"kept  {path}"
        if target.name == "pyproject.toml" and not _has_settings(path):
            yield f"add to {path}:\n\n{text.split('[tool.pytest')[0].strip()}\n"
    where = "" if folder == Path() else f"in {folder}, "
    yield (
        f"next: {where}run `pytest --pm-audit`; the default PM passes, so a failure says something "
        "about the PM"
    )
    yield (
        "then: write and commit the baseline with `pytest --pm-audit --pm-audit-baseline "
        "reports/baseline.json --pm-audit-update-baseline`, and set PM_AUDIT in "
        f"{_TARGETS['workflow.yml']}"
    )


def _has_settings(pyproject: Path) -> bool:
    try:
        return "[tool.pm_audit]" in pyproject.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _text(source: str, pm: str) -> str:
    return (_FILES / source).read_text(encoding="utf-8").replace("@PM@", json.dumps(pm))
