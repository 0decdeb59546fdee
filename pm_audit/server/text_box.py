"""From a form to a page: one edit is explained at a time, and a few may wait."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from pm_audit.errors import AuditError
from pm_audit.pipelines.explain import Explanation
from pm_audit.server import page
from pm_audit.server.admission import Refused
from pm_audit.server.form import Form

WAITING = 3
"""Requests that may wait for the one that is computed."""

RETRY_AFTER = 10
"""Seconds after which a request that found no room may try again."""

Explain = Callable[[str, str, str], Explanation]
"""Explains the edit of completion A of a prompt into completion B."""


class _Turns:
    """One request at a time; those beyond the few that may wait are refused."""

    def __init__(self) -> None:
        self._room, self._turn = threading.BoundedSemaphore(1 + WAITING), threading.Lock()

    @property
    def taken(self) -> bool:
        return self._turn.locked()

    @contextmanager
    def turn(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the PM is busy with other requests; try again in {RETRY_AFTER} seconds",
                **{"Retry-After": str(RETRY_AFTER)},
            )
        try:
            with self._turn:
                yield
        finally:
            self._room.release()


@dataclass(frozen=True)
class Reply:
    """A page and the status that it is sent with."""

    status: HTTPStatus
    text: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TextBox:
    """Answers requests that were admitted."""

    explain: Explain
    facts: page.Facts
    report: Callable[[str], None]
    """Receives what the terminal shows: never a text of a request."""
    _turns: _Turns = field(default_factory=_Turns)

    @property
    def busy(self) -> bool:
        """Whether an edit is being explained."""
        return self._turns.taken

    def blank(self) -> Reply:
        """Return the page before anything is typed."""
        return Reply(HTTPStatus.OK, page.render(self.facts, Form()))

    def answer(self, body: bytes, *, gone: Callable[[], bool] = lambda: False) -> Reply:
        """Return the page that explains the edit of a form; ``gone``: nobody waits for it now."""
        form = Form()
        try:
            form = Form.sent(body)
            with self._turns.turn():
                if gone():
                    return Reply(HTTPStatus.REQUEST_TIMEOUT, "")
                found = self.explain(*form.texts)
            return Reply(HTTPStatus.OK, page.render(self.facts, form, found))
        except Refused as refusal:
            return self.refused(refusal, form)
        except AuditError as error:
            return self._failed(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), form)
        except Exception as error:  # noqa: BLE001 - a bug; its message may hold a request's text
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.report(f"a request failed: {type(error).__name__} at {where}")
            message = f"this is a bug of pm_audit: {type(error).__name__} at {where}"
            return self._failed(HTTPStatus.INTERNAL_SERVER_ERROR, message, form)

    def refused(self, refusal: Refused, form: Form | None = None) -> Reply:
        """Return the page that says why a request is refused; nothing, if it may not know."""
        if not refusal.reason:
            return Reply(refusal.status, "")
        text = page.render(self.facts, form or Form(), problem=refusal.reason)
        return Reply(refusal.status, text, refusal.headers)

    def _failed(self, status: HTTPStatus, problem: str, form: Form) -> Reply:
        return Reply(status, page.render(self.facts, form, problem=problem))
