"""Mutated records through every reader: only the product's own errors come out.

The suite tries a fixed sample.  `python tests/report/test_mutated_records.py 10000` tries as many
as are named, from a first seed if one is, and prints what became of them.
"""

from __future__ import annotations

import copy
import json
import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pm_audit.errors import AuditError
from pm_audit.judging import rejudge, settle, verify
from pm_audit.records import AuditRecord
from pm_audit.release import compare, read_believed
from pm_audit.release.history import read_history
from pm_audit.report import changes, github, html, markdown, tables, terminal
from pm_audit.report.formats import csv
from pm_audit.report.html import history as history_page
from pm_audit.report.over_time import sparklines
from pm_audit.report.over_time.comment import comment
from pm_audit.report.viewed import read_viewed
from pm_audit.spec import GateMode

SAMPLE = 120
HERE = Path(__file__).parent
HOSTILE: tuple[Any, ...] = (
    None,
    "",
    " ",
    "\ud800",
    "\x1b[31m::error::x",
    "x" * 5000,
    "NaN",
    True,
    False,
    0,
    -1,
    1,
    7,
    2**31,
    2**63,
    10**400,
    -(10**30),
    0.0,
    -0.0,
    1e-320,
    0.5,
    1e30,
    1e155,
    1e308,
    -1e308,
    float("inf"),
    float("nan"),
    [],
    {},
    [[]],
    [None],
    {"a": 1},
)


def choose(tree: Any, generator: random.Random) -> tuple[Any, ...]:
    """Return a place, most often in a hypothesis, with each level as likely as the many leaves."""
    path: tuple[Any, ...] = ("hypotheses",) if generator.random() < 0.8 else ()
    node = tree[path[0]] if path and path[0] in tree else tree
    path = path if node is not tree else ()
    while isinstance(node, dict | list) and node and (not path or generator.random() < 0.8):
        key = generator.choice(list(node) if isinstance(node, dict) else range(len(node)))
        path, node = (*path, key), node[key]
    return path


def mutate(tree: Any, generator: random.Random) -> None:
    """Change one place of the tree, most often to something of its own kind."""
    path = choose(tree, generator)
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    key, value = path[-1], holder[path[-1]]
    kind = generator.random()
    if kind < 0.05:
        del holder[key]
    elif kind < 0.15:
        holder[key] = copy.deepcopy(generator.choice(HOSTILE))
    elif kind < 0.2 and isinstance(holder, dict):
        holder[key] = copy.deepcopy(generator.choice(list(holder.values())))
    else:
        holder[key] = alike(value, generator)


def alike(value: Any, generator: random.Random) -> Any:
    """Return another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return generator.choice([value + 1, value - 1, -value, 0, 1, 10**6, 2**31, 10**400])
        case float():
            factor = generator.choice([-1, 0, 2, 1e30, 1e-30, 1e200, 1 + 1e-6])
            return generator.choice([value * factor, value + 1, 5e-324, 1e308, -1e308])
        case str():
            others = [one for one in HOSTILE if isinstance(one, str)]
            return generator.choice([value + value, value[1:], value[:1], *others])
        case list() if value:
            changed = list(value)
            match generator.randrange(4):
                case 0:
                    changed.append(copy.deepcopy(generator.choice(changed)))
                case 1:
                    del changed[generator.randrange(len(changed))]
                case 2:
                    generator.shuffle(changed)
                case _:
                    changed = []
            return changed
        case dict() if value:
            chosen = generator.choice(list(value))
            return {**value, chosen: alike(value[chosen], generator)}
        case _:
            return copy.deepcopy(generator.choice(HOSTILE))


def mutated(text: str, generator: random.Random) -> bytes:
    """Return the text of a record with one to three places changed, or cut and torn."""
    if generator.random() < 0.05:
        data = bytearray(text.encode())
        for _ in range(generator.randint(1, 5)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        return bytes(data[: generator.randrange(len(data))])
    tree = json.loads(text)
    for _ in range(generator.randint(1, 3)):
        mutate(tree, generator)
    data = json.dumps(tree).encode()
    return resealed(data) if generator.random() < 0.6 else data


def resealed(data: bytes) -> bytes:
    """Return the record with new digests, as a forger would write it; as it is where none is."""
    try:
        record = AuditRecord.model_validate_json(data)
        hypotheses = tuple(one.sealed() for one in record.hypotheses)
        return (
            record.model_copy(update={"hypotheses": hypotheses}).sealed().model_dump_json().encode()
        )
    except Exception:  # noqa: BLE001 - whatever cannot be sealed is tried unsealed
        return data


def view(record: AuditRecord, notices: tuple[str, ...] = ()) -> None:
    """Render every view of a record."""
    terminal.summary(record, notices=notices)
    terminal.summary(record, every_feature=True)
    markdown.render(record, notices=notices)
    html.render(record, notices=notices)
    csv.text(tables.frame(record))
    csv.text(tables.features_frame(record))
    csv.text(tables.rewards_frame(record))
    github.commands(record)
    comment(record, reasons=("a check is not passed",))


def follow(paths: list[Path]) -> None:
    """Render a history of files, at least one of which is sound."""
    history = read_history(paths)
    sparklines.summary(history)
    history_page.render(history)


def hold(old: AuditRecord, new: AuditRecord) -> None:
    """Compare two records and render the comparison."""
    comparison = compare(old, new, gate=GateMode.REGRESSIONS)
    changes.terminal_lines(comparison)
    changes.markdown_page(comparison)
    html.render_comparison(comparison)
    github.commands(new, comparison)
    comment(new, baseline=old, comparison=comparison)


def try_all(path: Path, sound: AuditRecord) -> str:
    """Read, verify, show, report and compare one file; return the first step that refused it."""
    try:
        record = AuditRecord.read(path)
    except AuditError:
        with pytest.raises(AuditError):
            read_viewed(path)
        return "refused to read"
    steps = {
        "verify": lambda: verify(record),
        "show": lambda: view(*read_viewed(path)),
        "compare": lambda: hold(sound, record),
        "be compared with": lambda: hold(record, sound),
        "gate": lambda: read_believed(path),
        "follow": lambda: follow([path, path.with_name("sound.json")]),
    }
    refused = []
    for name, step in steps.items():
        try:
            step()
        except AuditError as error:
            str(error).encode("utf-8", "backslashreplace")
            refused.append(name)
    return f"refused to {refused[0]}" if refused else "taken"


def sound_text(stored: Path) -> str:
    """Return the text of a small record that follows from its evidence."""
    record = AuditRecord.read(stored)
    chosen = [one for one in record.hypotheses if one.name in ("i-dont-know", "youre-right")]
    method = record.method.model_copy(update={"bootstrap_resamples": 100})
    judged = settle([rejudge(one, method=method) for one in chosen])
    names = {one.name for one in judged}
    small = record.model_copy(
        update={
            "method": method,
            "hypotheses": judged,
            "manifest": tuple(entry for entry in record.manifest if entry.name in names),
        }
    )
    return small.sealed().model_dump_json()


@pytest.fixture(scope="module")
def text(stored_record_path) -> str:
    return sound_text(stored_record_path)


def test_the_sound_record_is_taken(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text)
    path.with_name("sound.json").write_text(text)
    assert try_all(path, AuditRecord.read(path)) == "taken"


def test_mutated_records_are_taken_or_refused(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text)
    path.with_name("sound.json").write_text(text)
    sound = AuditRecord.read(path)
    counts: Counter[str] = Counter()
    for seed in range(SAMPLE):
        path.write_bytes(mutated(text, random.Random(seed)))
        counts[try_all(path, sound)] += 1
    assert set(counts) >= {"taken", "refused to read", "refused to verify"}


def main(count: int, first: int = 0) -> int:
    text = sound_text(HERE / "stored_record.json")
    counts: Counter[str] = Counter()
    faults: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        path.write_text(text)
        path.with_name("sound.json").write_text(text)
        sound = AuditRecord.read(path)
        for seed in range(first, first + count):
            path.write_bytes(mutated(text, random.Random(seed)))
            try:
                counts[try_all(path, sound)] += 1
            except Exception as error:  # noqa: BLE001 - the finding that is looked for
                frames = traceback.extract_tb(error.__traceback__)
                own = [frame for frame in frames if "/pm_audit/" in frame.filename][-1]
                where = f"{own.filename.split('/pm_audit/')[-1]}:{own.lineno}"
                key = f"{type(error).__name__} at {where}: {str(error)[:90]}"
                faults.setdefault(key, seed)
                counts["CRASHED"] += 1
    for outcome, number in sorted(counts.items()):
        print(f"{number:>7}  {outcome}")  # noqa: T201
    for key, seed in faults.items():
        print(f"seed {seed}: {key}")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) if len(sys.argv) > 1 else main(10_000))
