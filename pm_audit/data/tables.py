"""Files to rows: JSONL, JSON, CSV, TSV, Parquet, Arrow, or a folder of these.

A row that cannot be read says why and stops nothing; a file that cannot be read is an error.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from pm_audit.data.parts import kind_of, parts_of, refuse

if TYPE_CHECKING:
    import pyarrow as pa

_NOT_UTF8 = "holds bytes that are not UTF-8"
_HALF = "holds half of a surrogate pair, which no encoding can write"
_ESCAPED = range(0xDC80, 0xDD00)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    number: int
    """Place in its file, from 0; in JSONL the number of lines above it."""
    values: dict[str, Any]
    """By column; empty if the row cannot be read."""
    fault: str = ""
    """Why it cannot be read; empty if it can."""


@dataclass(frozen=True)
class Table:
    """A data set on disk, read row by row each time that :meth:`rows` is called."""

    path: Path
    """As it was named."""
    parts: tuple[Path, ...]
    """Its files, in the order in which they are read."""

    def rows(self) -> Iterator[Row]:
        """Yield the rows, numbered over all files.

        Raises:
            InvalidSpec: a file cannot be read at all.

        """
        start = 0
        for part in self.parts:
            last = -1
            for row in _rows_of(part):
                last = row.number
                yield Row(start + row.number, row.values, row.fault)
            start += last + 1

    @property
    def name(self) -> str:
        """As errors and records call it."""
        return str(self.path)

    def sha256(self) -> str:
        """Return the hash of the file's bytes; of a folder, of its files' hashes in order."""
        hashes = [_hash(part) for part in self.parts]
        if self.parts == (self.path,):
            return hashes[0]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Given:
    """Rows that are at hand, in place of a file."""

    values: tuple[Any, ...]
    """Each an object with a key a column, as JSON would hold it."""
    name: str = "<python>"

    def rows(self) -> Iterator[Row]:
        """Yield the rows."""
        return (_checked(number, values) for number, values in enumerate(self.values))

    def sha256(self) -> str:
        """Return the hash of the rows as JSON; what JSON does not hold counts by its repr."""
        content = json.dumps(self.values, sort_keys=True, default=repr)
        return hashlib.sha256(content.encode()).hexdigest()


def open_table(path: Path) -> Table:
    """Return the data set at ``path``, its rows not yet read.

    Raises:
        InvalidSpec: nothing is there, or it is no data set that can be read.

    """
    return Table(path, tuple(parts_of(path)))


def _rows_of(path: Path) -> Iterator[Row]:
    try:
        yield from _READERS[kind_of(path)](path)
    except (OSError, EOFError, zlib.error) as error:
        refuse(path, f"cannot be read: {error}; fetch or write the file again")


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        refuse(path, f"cannot be read: {error}; check its name and permissions")


def _json_lines(path: Path) -> Iterator[Row]:
    with _opened(path) as stream:
        for number, line in enumerate(stream):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            if text.strip():
                yield _of_json(number, text)


def _of_json(number: int, line: bytes) -> Row:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError:
        return Row(number, {}, _NOT_UTF8)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"is not JSON: {error}")
    return _checked(number, values)


def _checked(number: int, values: object) -> Row:
    if not isinstance(values, dict):
        return Row(number, {}, f"is {type(values).__name__}, not an object with a key a column")
    fault = next(filter(None, map(_broken, _texts(values))), "")
    return Row(number, {} if fault else values, fault)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _broken(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return _NOT_UTF8 if ord(text[error.start]) in _ESCAPED else _HALF
    return ""


def _json(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON array; a file that begins otherwise is read as JSONL."""
    with _opened(path) as stream:
        content = stream.read()
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"["):
        yield from _json_lines(path)
        return
    try:
        values = json.loads(text.decode(errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        refuse(path, f"is not JSON: {error}; correct it, or write one object a line as .jsonl")
    yield from (_checked(number, one) for number, one in enumerate(values))


def _separated(separator: str) -> Callable[[Path], Iterator[Row]]:
    def read(path: Path) -> Iterator[Row]:
        with (
            _opened(path) as stream,
            io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
            _long_fields(),
        ):
            lines = csv.DictReader(text, delimiter=separator, restkey="", restval=None)
            for number, values in enumerate(lines):
                yield _of_fields(number, values)

    return read


def _of_fields(number: int, values: dict[str, Any]) -> Row:
    if "" in values and isinstance(values[""], list):
        return Row(number, {}, "has more fields than the header; put texts in double quotes")
    if None in values.values():
        return Row(number, {}, "has fewer fields than the header; put texts in double quotes")
    return _checked(number, values)


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _arrow(path: Path) -> Iterator[Row]:
    pa = _pyarrow(path)
    with path.open("rb") as stream:
        try:
            try:
                batches: Iterable[Any] = pa.ipc.open_stream(stream)
            except pa.ArrowInvalid:
                stream.seek(0)
                batches = pa.Table.to_batches(pa.ipc.open_file(stream).read_all())
            yield from _of_batches(batches)
        except pa.ArrowException as error:
            refuse(path, f"is not Arrow: {error}; write the file again")


def _parquet(path: Path) -> Iterator[Row]:
    pa = _pyarrow(path)
    try:
        with pa.parquet.ParquetFile(path) as opened:
            yield from _of_batches(opened.iter_batches(batch_size=1024))
    except pa.ArrowException as error:
        refuse(path, f"is not Parquet: {error}; write the file again")


def _of_batches(batches: Iterable[Any]) -> Iterator[Row]:
    start = 0
    for batch in batches:
        try:
            rows = [Row(start + n, values) for n, values in enumerate(batch.to_pylist())]
        except UnicodeDecodeError:
            rows = [_of_slice(start + n, batch.slice(n, 1)) for n in range(batch.num_rows)]
        yield from rows
        start += batch.num_rows


def _of_slice(number: int, one: pa.RecordBatch) -> Row:
    try:
        return Row(number, one.to_pylist()[0])
    except UnicodeDecodeError:
        return Row(number, {}, _NOT_UTF8)


def _pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow as pa
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        refuse(path, 'needs pyarrow; `pip install "pm-audit[data]"`')
    loaded: ModuleType = pa
    return loaded


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
    ".arrow": _arrow,
}
"""How a file is read, by its suffix; any of them but the last two may be gzipped."""
