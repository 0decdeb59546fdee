"""Write the sample outputs of README and guide again: what is shown is what a command printed.

A marker in front of a block names the command, and a filter of its output where it is long:

    <!-- sample: pm-audit show reports/baseline.json | rows hedging urls -->
    ```text
    ...
    ```

A figure within a sentence is one of ``reports/baseline.json``: its hypothesis and name follow it,
as in ``by 0.40<!-- figure: hedging size --> sigma``.

python docs/samples.py          # writes the pages
python docs/samples.py --check  # fails where one is stale
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from click.testing import CliRunner

from pm_audit.cli import main as command_line
from pm_audit.records import AuditRecord, Figure, HypothesisRecord
from pm_audit.report import figures

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "reports" / "baseline.json"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "reports/README.md")

SAMPLE = re.compile(r"^<!-- sample: (.+?) -->\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"([+-]?\d[\d.]*%?|-)<!-- figure: (\S+) (\w+) -->")

MEASURED = ("explain", "doctor")
"""Commands that run a PM: their figures differ in the last digit from processor to processor."""

TOLERANCE = 0.0021
"""Of figures that are measured again, printed with three decimals."""

FIGURES: dict[str, Callable[[HypothesisRecord], str]] = {
    "gap": lambda one: _plain(figures.number(one.gap_sigma)),
    "size": lambda one: _plain(figures.number(one.gap_sigma)).lstrip("+-"),
    "residual": lambda one: _plain(figures.number(one.residual_sigma)).lstrip("+-"),
    "closure": lambda one: _share(one.closure),
    "sufficiency": lambda one: _share(one.sufficiency),
    "unseen": lambda one: _share(one.transfer_closure),
}


def _share(figure: Figure | None) -> str:
    return "-" if figure is None else figures.number(figure)


def _plain(number: str) -> str:
    return number.removesuffix(" sigma")


def output(marker: str) -> str:
    """Run the command of a marker in the project's root; return what its filter leaves."""
    command, _, chosen = marker.partition(" | ")
    program, *words = shlex.split(command)
    if program != "pm-audit":
        raise SystemExit(f"<!-- sample: {marker} -->: only pm-audit's own commands are run")
    with contextlib.chdir(ROOT):
        result = CliRunner().invoke(command_line, words, prog_name=program)
    if result.exit_code not in (0, 1) or not result.stdout.strip():
        raise SystemExit(f"<!-- sample: {marker} --> failed: {result.output or result.exception}")
    lines = [line.rstrip() for line in result.stdout.rstrip().splitlines()]
    return "\n".join(kept(lines, chosen) if chosen else lines) + "\n"


def kept(lines: list[str], chosen: str) -> list[str]:
    """Return what a filter keeps: ``rows NAME...`` of a table, or the ``section NAME``."""
    kind, *names = chosen.split()
    if kind == "rows" and names:
        return rows(lines, names)
    if kind == "section" and len(names) == 1:
        return section(lines, names[0])
    raise SystemExit(f"`{chosen}`: write `rows NAME...` or `section NAME`")


def section(lines: list[str], name: str) -> list[str]:
    """Return the lines from the one that starts with ``NAME:`` to the next empty one."""
    starts = [at for at, line in enumerate(lines) if line.startswith(f"{name}:")]
    if not starts:
        raise SystemExit(f"`section {name}`: no line starts with `{name}:`")
    after = lines[starts[0] :]
    return after[: after.index("")] if "" in after else after


def rows(lines: list[str], names: list[str]) -> list[str]:
    """Return the head of the first table and its rows of these names."""
    rules = [at for at, line in enumerate(lines) if line and set(line) <= {"-", " "}]
    by_name = {line.split()[0]: line for line in lines[rules[0] + 1 :] if line} if rules else {}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise SystemExit(f"no table has a row {', '.join(missing)}")
    return [*lines[rules[0] - 1 : rules[0] + 1], *(by_name[name] for name in names)]


@cache
def hypotheses() -> dict[str, HypothesisRecord]:
    """Return the baseline's hypotheses by name."""
    return {one.name: one for one in AuditRecord.read(RECORD).hypotheses}


def figure(name: str, what: str) -> str:
    """Return a figure of the baseline, one of ``FIGURES``."""
    if name not in hypotheses() or what not in FIGURES:
        raise SystemExit(f"<!-- figure: {name} {what} -->: the baseline holds no such figure")
    return FIGURES[what](hypotheses()[name])


def filled(text: str) -> str:
    """Return a page with every sample and every figure as they are now."""
    text = SAMPLE.sub(lambda at: f"<!-- sample: {at[1]} -->\n```text\n{output(at[1])}```", text)
    return FIGURE.sub(lambda at: f"{figure(at[2], at[3])}<!-- figure: {at[2]} {at[3]} -->", text)


def stale(page: Path) -> list[str]:
    """Return the markers of a page whose text is no longer what they give."""
    text = page.read_text(encoding="utf-8")
    found = [marker for marker, shown in SAMPLE.findall(text) if not holds(marker, shown)]
    for shown, name, what in FIGURE.findall(text):
        if figure(name, what) != shown:
            found.append(f"{name} {what}")
    return found


def holds(marker: str, shown: str) -> bool:
    """Whether a command still prints this; measured figures may differ in the last digit."""
    now = output(marker)
    if marker.split()[1] not in MEASURED:
        return now == shown
    number = re.compile(r"[+-]\d+\.\d+")
    pairs = zip(number.findall(now), number.findall(shown), strict=False)
    return number.sub("#", now) == number.sub("#", shown) and all(
        abs(float(one) - float(other)) <= TOLERANCE for one, other in pairs
    )


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` compare them; return the exit status."""
    wrong = 0
    for page in PAGES:
        if "--check" in arguments:
            for marker in stale(page):
                print(f"{page.relative_to(ROOT)}: stale: {marker}; run `make docs-samples`")
                wrong = 1
        else:
            text = page.read_text(encoding="utf-8")
            new = filled(text)
            if new != text:
                page.write_text(new, encoding="utf-8")
                print(f"wrote {page.relative_to(ROOT)}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
