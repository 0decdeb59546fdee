from __future__ import annotations

import threading
from http import HTTPStatus
from urllib.parse import urlencode

import pytest

from pm_audit.errors import ModelError
from pm_audit.server.admission import Refused
from pm_audit.server.text_box import RETRY_AFTER, WAITING

SECRET = "a text of nobody's business"
BODY = urlencode({"prompt": SECRET, "completion_a": "by;^", "completion_b": "by!;"}).encode()


def test_an_edit_is_explained(box_of, explainer):
    reply = box_of(explainer).answer(BODY)
    assert reply.status is HTTPStatus.OK
    assert "The PM prefers B" in reply.text
    assert f"\n{SECRET.replace(chr(39), '&#39;')}</textarea>" in reply.text


def test_an_error_is_shown_as_the_command_words_it(box_of, said):
    def explain(*texts: str):
        raise ModelError("the <PM> is broken; load another")

    box = box_of(explain)
    reply = box.answer(BODY)
    assert reply.status is HTTPStatus.UNPROCESSABLE_ENTITY
    assert "error: <bdi>the &#60;PM&#62; is broken; load another</bdi>" in reply.text
    assert "by;^</textarea>" in reply.text  # what was typed is not lost
    assert said == []
    assert not box.busy


def test_a_bug_names_its_place_and_no_text(box_of, said):
    def explain(*texts: str):
        raise RuntimeError(f"cannot read {texts}")

    reply = box_of(explain).answer(BODY)
    assert reply.status is HTTPStatus.INTERNAL_SERVER_ERROR
    assert "RuntimeError at test_text_box.py:" in reply.text
    (line,) = said
    assert "RuntimeError at test_text_box.py:" in line
    assert SECRET not in line
    assert reply.text.count("nobody") == 1  # in the form alone


def test_a_refusal_without_reason_has_no_page(box_of, explainer):
    box = box_of(explainer)
    assert box.refused(Refused(HTTPStatus.FORBIDDEN)).text == ""
    assert "no form" in box.refused(Refused(HTTPStatus.BAD_REQUEST, "no form")).text
    assert box.answer(b"a=b").status is HTTPStatus.BAD_REQUEST


def test_one_is_computed_few_wait_and_more_are_turned_away(box_of, explainer):
    entered, go_on, at_once, most = threading.Semaphore(0), threading.Event(), [], []

    def explain(*texts: str):
        at_once.append(texts)
        most.append(len(at_once))
        entered.release()
        assert go_on.wait(20)
        at_once.pop()
        return explainer(*texts)

    box = box_of(explain)
    replies = []

    def ask() -> None:
        replies.append(box.answer(BODY))

    threads = [threading.Thread(target=ask) for _ in range(1 + WAITING)]
    for thread in threads:
        thread.start()
    assert entered.acquire(timeout=20)
    assert box.busy
    # every thread has its place once no further one is free
    while box._turns._room._value:
        threading.Event().wait(0.01)
    busy = box.answer(BODY)
    assert busy.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert busy.headers == {"Retry-After": str(RETRY_AFTER)}
    assert "busy" in busy.text
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert [reply.status for reply in replies] == [HTTPStatus.OK] * (1 + WAITING)
    assert set(most) == {1}
    assert not box.busy
    assert box.answer(BODY).status is HTTPStatus.OK


def test_nothing_is_computed_for_a_client_that_went_away(box_of):
    box = box_of(lambda *texts: pytest.fail("computed"))
    assert box.answer(BODY, gone=lambda: True).text == ""
