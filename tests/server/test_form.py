from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

import pytest

from pm_audit.server.admission import Refused
from pm_audit.server.form import Form

TEXTS = {"prompt": "What?\r\nSay\n", "completion_a": "A+ 100%", "completion_b": "\u202e日本 👩‍🚀\0"}


def test_texts_come_as_they_were_typed():
    form = Form.sent(urlencode(TEXTS).encode())
    assert form == Form("What?\nSay\n", "A+ 100%", "\u202e日本 👩‍🚀\0", space=False)
    assert form.texts == (form.prompt, form.completion_a, form.completion_b)


@pytest.mark.parametrize(
    ("typed", "read"), [("Yes.", " Yes."), (" Yes.", " Yes."), ("\nYes.", "\nYes."), ("", "")]
)
def test_a_completion_that_begins_bare_gets_its_space(typed, read):
    sent = urlencode(TEXTS | {"completion_a": typed, "space": "1"}).encode()
    assert Form.sent(sent).texts[1] == read
    assert Form.sent(sent).completion_a == typed
    assert Form.sent(sent).texts[0] == "What?\nSay\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"prompt=a&completion_a=b",
        b"prompt=a&completion_a=b&completion_b=c&more=d",
        b"prompt=a&completion_a=b&completion_b=c&prompt=d",
        b"prompt=%ff&completion_a=b&completion_b=c",
        b"prompt=%ed%a0%80&completion_a=b&completion_b=c",  # a lone surrogate
        b"prompt=\xc3\xa9&completion_a=b&completion_b=c",
        b"&".join([b"a=b"] * 1000),
        b'{"prompt": "a"}',
    ],
)
def test_what_is_no_form_is_refused(body):
    with pytest.raises(Refused) as refused:
        Form.sent(body)
    assert refused.value.status is HTTPStatus.BAD_REQUEST
    assert refused.value.reason


def test_too_many_fields_are_said_to_be_that():
    with pytest.raises(Refused) as refused:
        Form.sent(b"&".join(b"a%d=b" % at for at in range(20)))
    assert refused.value.reason.startswith("a form has each of")
