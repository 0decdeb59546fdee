"""One audit for each hypothesis, for all of its checks and in all processes of a run.

The processes of a run share a folder.  Each hypothesis has a lock and a result there; the process
that holds the lock audits, the others read.  The kernel frees the lock of a killed worker.  A
process that would have to wait audits another hypothesis of its queue instead.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from pm_audit.errors import AuditError, RecordError
from pm_audit.records import HypothesisRecord, write_atomically
from pm_audit.spec import Hypothesis

_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one hypothesis' audit: a result, or the error that stopped it."""

    result: HypothesisRecord | None
    error: str | None
    """A message for the user, or a traceback if the error is a bug."""
    fixable: bool
    """The error is an ``AuditError``: its message says what to fix."""
    sha256: str


class Ledger:
    """Results by the hypothesis' full name, kept in a folder that the processes of a run share."""

    def __init__(self, folder: Path, audit: Callable[[Hypothesis], HypothesisRecord]) -> None:
        self._folder = folder
        self._audit = audit
        self._read: dict[str, Entry] = {}

    def entry(self, hypothesis: Hypothesis, *, queue: Iterable[Hypothesis] = ()) -> Entry:
        """Return the hypothesis' entry, auditing it unless another process has or does.

        While another process audits it, the first free hypothesis of ``queue`` is audited.
        """
        while True:
            found = self.find(hypothesis.full_name)
            if found is not None:
                return found
            if self._try(hypothesis):
                continue
            if not any(self.find(other.full_name) is None and self._try(other) for other in queue):
                time.sleep(_WAIT_SECONDS)

    def find(self, name: str) -> Entry | None:
        """Return the entry of a hypothesis that was audited, or None.

        Raises:
            RecordError: the entry on disk is not what was written.

        """
        if name not in self._read:
            path = self._path(name)
            if not path.exists():
                return None
            self._read[name] = _parse(path)
        return self._read[name]

    def _path(self, name: str) -> Path:
        # a hash, because names that differ only in case share a file on some systems
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.json"

    def _try(self, hypothesis: Hypothesis) -> bool:
        """Audit under the hypothesis' lock; False if another process holds it."""
        path = self._path(hypothesis.full_name)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        try:
            if not path.exists():
                write_atomically(path, _document(self._outcome(hypothesis)))
        finally:
            lock.release()
        return True

    def _outcome(self, hypothesis: Hypothesis) -> dict[str, object]:
        try:
            result = self._audit(hypothesis).model_dump(mode="json")
            return {"result": result, "error": None, "fixable": True}
        except AuditError as error:
            return {"result": None, "error": str(error), "fixable": True}
        except Exception:  # noqa: BLE001 - a bug, which the check reports with its traceback
            return {"result": None, "error": traceback.format_exc(), "fixable": False}


def _document(payload: dict[str, object]) -> str:
    text = json.dumps(payload, allow_nan=False)
    return json.dumps({"sha256": _digest(text), "payload": text})


def _parse(path: Path) -> Entry:
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        text, digest = outer["payload"], outer["sha256"]
        if _digest(text) != digest:
            raise RecordError(f"{path}: the shared result was changed after it was written")
        payload = json.loads(text)
        result = payload["result"]
        return Entry(
            result=None if result is None else HypothesisRecord.model_validate(result),
            error=payload["error"],
            fixable=payload["fixable"],
            sha256=digest,
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise RecordError(f"{path}: the shared result cannot be read: {error}") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
