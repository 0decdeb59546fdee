"""Whether two records of the same audit agree digit for digit, but for time and machine.

    python -m benchmarks.same_record OLD NEW [--renamed OLD_KEY=NEW_KEY ...]

After a change that must not move a figure, audit with the code before and after it, on one
machine, and hold the records against each other: gaps, closures, selected features, outcomes and
every number of the evidence.  ``--renamed`` maps keys that an older schema called otherwise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

IGNORED = {"created", "environment", "digest", "schema_version"}
"""Keys that name the time, the machine, or hash the names of the others."""

SHOWN = 20
"""Differences that are listed."""

Leaf = tuple[tuple[str, ...], object]


def leaves(value: object, renamed: Mapping[str, str], path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield every number, text and flag of a JSON document with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in IGNORED:
                yield from leaves(inner, renamed, (*path, renamed.get(key, key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, renamed, (*path, str(number)))
    else:
        yield path, value


def differences(
    old: object, new: object, renamed: Mapping[str, str]
) -> dict[tuple[str, ...], tuple[object, object]]:
    """Return what differs, by path; a value that one side lacks is ``None`` there."""
    before, after = dict(leaves(old, renamed)), dict(leaves(new, {}))
    return {
        path: (before.get(path), after.get(path))
        for path in {**before, **after}
        if before.get(path) != after.get(path)
    }


def main() -> int:
    """Print the differences; exit code 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--renamed", action="append", default=[], metavar="OLD_KEY=NEW_KEY")
    options = parser.parse_args()
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    renamed = dict(pair.split("=", 1) for pair in options.renamed)
    found = differences(old, new, renamed)
    for path, (was, now) in list(found.items())[:SHOWN]:
        print(f"{'.'.join(path)}: {was!r} -> {now!r}")
    print(f"{sum(1 for _ in leaves(old, renamed))} values compared, {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
