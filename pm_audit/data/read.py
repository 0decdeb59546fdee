"""A preference set, from its file to pairs.

file -> rows -> those that ``where`` keeps -> pairs, or why not -> sample
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pm_audit.data.columns import Columns, id_of, pair_of, parse, scalars
from pm_audit.data.pair import Pair, PairSet, Skipped, SkipReason
from pm_audit.data.sampling import Sample, Where, draw, holds
from pm_audit.data.tables import Given, Row, Table, open_table
from pm_audit.data.transcript import NotAPairError
from pm_audit.errors import InvalidSpec, Place, Problem

_LOOKED_AT = 100
"""Rows from whose columns those that are not named are found."""
MOST_LISTED = 100
"""Skipped rows that an error lists one by one."""


def read_pairs(
    path: Path | str,
    columns: Columns | None = None,
    *,
    where: Where | None = None,
    sample: Sample | None = None,
    strict: bool = False,
) -> PairSet:
    """Return the pairs of a preference set, and which rows are none and why.

    Args:
        path: JSONL, JSON, CSV, TSV, Parquet or Arrow, or a folder of these or of ``datasets``.
        columns: what the columns are called; those that are not named are found by the names and
            shapes of well-known sets.
        where: values that columns must have; a row with others is excluded, not skipped.
        sample: how many pairs are taken; all of them by default.
        strict: a skipped row is an error.

    Raises:
        InvalidSpec: the file cannot be read, a named column is not in it, it holds no pair, or,
            if ``strict``, a row is skipped.

    """
    return _read(open_table(Path(path)), columns or Columns(), where or {}, sample, strict=strict)


def read_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Columns | None = None,
    *,
    where: Where | None = None,
    sample: Sample | None = None,
    strict: bool = False,
) -> PairSet:
    """Return the pairs of rows that are at hand, read as those of a file are (``read_pairs``).

    Raises:
        InvalidSpec: as ``read_pairs``.

    """
    return _read(Given(tuple(rows)), columns or Columns(), where or {}, sample, strict=strict)


@dataclass(frozen=True, slots=True)
class KeyProblem(Problem):
    """A column or a value that is in no row."""

    key: tuple[str, ...]
    """What named it, as in a hypothesis: ``("example",)``, ``("where", "subset")``."""


def _read(
    table: Table | Given, columns: Columns, where: Where, sample: Sample | None, *, strict: bool
) -> PairSet:
    reading = _Reading(table, columns, where)
    pairs = tuple(reading.pairs())
    reading.require_columns(sample)
    if strict and reading.skipped:
        raise InvalidSpec(reading.problems())
    if not pairs:
        key = ("where",) if reading.excluded else ("file",)
        raise InvalidSpec([KeyProblem(Place(table.name), reading.nothing(), key)])
    if sample is not None:
        pairs = draw(pairs, reading.keys, sample)
    return PairSet(
        file=table.name,
        sha256=table.sha256(),
        rows=reading.rows,
        excluded=reading.excluded,
        pairs=pairs,
        skipped=tuple(reading.skipped),
    )


class _Reading:
    """One pass over a table: what was found, left out and skipped so far."""

    def __init__(self, table: Table | Given, columns: Columns, where: Where) -> None:
        self.table, self.columns, self.where = table, columns, where
        self.rows = self.excluded = 0
        self.skipped: list[Skipped] = []
        self.keys: dict[str, str] = {}
        self._known: dict[str, None] = {}
        self._first: dict[str, int] = {}

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs, in the file's order.

        Raises:
            InvalidSpec: the file cannot be read, or no column is known as one of the sides.

        """
        for row in self._mapped(self.table.rows()):
            self.rows += 1
            if row.fault:
                self.skipped.append(Skipped(row.number, SkipReason.UNREADABLE, row.fault))
                continue
            self._known.update(dict.fromkeys(row.values))
            if not holds(row.values, self.where):
                self.excluded += 1
                continue
            try:
                yield self._pair(row)
            except NotAPairError as error:
                self.skipped.append(Skipped(row.number, error.reason, error.detail))

    def _mapped(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows, after the columns that are not named were found in the first of them."""
        first = list(islice((row for row in rows), _LOOKED_AT))
        known = dict.fromkeys(name for row in first for name in row.values)
        self.columns = self.columns.completed(known)
        lacking = [use for use in ("example", "counter_example") if use not in self.columns.named()]
        if lacking and known:
            raise InvalidSpec(
                KeyProblem(
                    Place(self.table.name),
                    f"no column is known as {use}; name it: there are {_listed(known)}",
                    (use,),
                )
                for use in lacking
            )
        return chain(first, rows)

    def _pair(self, row: Row) -> Pair:
        parsed = parse(row.values, self.columns)
        key = parsed.sha256()
        if key in self._first:
            detail = f"is row {self._first[key]} again"
            raise NotAPairError(SkipReason.DUPLICATE, detail)
        name = id_of(row.values, self.columns, key, self.keys)
        self._first[key], self.keys[name] = row.number, key
        columns = scalars(row.values, self.columns)
        return pair_of(parsed, row=row.number, name=name, columns=columns)

    def require_columns(self, sample: Sample | None) -> None:
        """Raise unless each column that was named is in some row.

        Raises:
            InvalidSpec: one of them is in none.

        """
        named: dict[tuple[str, ...], str] = {
            (use,): name for use, name in self.columns.named().items()
        }
        named |= {("where", name): name for name in self.where}
        if sample is not None and sample.by is not None:
            named["sample", "by"] = sample.by
        problems = [
            KeyProblem(
                Place(self.table.name),
                f"no row has the column `{name}`; {_near(name, self._known)}",
                key,
            )
            for key, name in named.items()
            if name not in self._known
        ]
        if problems and self._known:
            raise InvalidSpec(problems)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each skipped row, the last of them for those that are not listed."""
        for one in self.skipped[:MOST_LISTED]:
            place = Place(self.table.name, one.row + 1)
            yield Problem(place, f"{one.reason}: {one.detail}; correct or leave out the row")
        more = len(self.skipped) - MOST_LISTED
        if more > 0:
            yield Problem(Place(self.table.name), f"and {more} more rows are skipped")

    def nothing(self) -> str:
        """Return why a file holds no pair."""
        if not self.rows:
            return "holds no row; check that it is the file that you mean"
        said = []
        if self.excluded:
            wanted = ", ".join(f"{name}: {value}" for name, value in self.where.items())
            said.append(f"{self.excluded:,} do not have {wanted}")
        if self.skipped:
            first = self.skipped[0]
            said.append(
                f"{len(self.skipped):,} skipped, the first, row {first.row}, as "
                f"{first.reason}: {first.detail}"
            )
        said.append("check the values of `where`" if self.excluded else "check the columns")
        return f"none of its {self.rows:,} rows is a pair: {'; '.join(said)}"


def _listed(names: Iterable[Any]) -> str:
    shown = [f"`{name}`" for name in names]
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return ", ".join(shown[:20]) + more


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {_listed(close)}?" if close else f"it has {_listed(known)}"
