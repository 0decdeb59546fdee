from __future__ import annotations

from email.message import Message
from http import HTTPStatus

import pytest

from pm_audit.server.admission import FORM, LARGEST, Gate, Refused

HOST, TOKEN = "127.0.0.1:8000", "t0ken"
GATE = Gate((HOST, "localhost:8000"), TOKEN)
OWN = {"Origin": f"http://{HOST}", "Content-Type": FORM, "Content-Length": "12"}


def admit(method: str = "GET", target: str = f"/{TOKEN}/", **given: str | None) -> int:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    headers = Message()
    for name, value in ({"Host": HOST} | (OWN if method == "POST" else {}) | named).items():
        if value is not None:
            headers[name] = value
    return GATE.admit(method, target, headers)


def refusal(*arguments: str, **given: str | None) -> Refused:
    with pytest.raises(Refused) as refused:
        admit(*arguments, **given)
    return refused.value


def test_the_browser_of_this_machine_comes_in():
    assert admit() == 0
    assert admit(target=f"/{TOKEN}") == 0
    assert admit(Host="localhost:8000") == 0
    assert admit(Sec_Fetch_Site="none") == 0
    assert admit("POST") == 12
    assert admit("POST", Content_Type=f"{FORM};charset=UTF-8") == 12
    # its own form under a policy without referrer
    assert admit("POST", Origin="null", Sec_Fetch_Site="same-origin") == 12
    assert admit("POST", Origin=None, Sec_Fetch_Site="same-origin") == 12


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {}),
        ("//", {}),
        ("/other/", {}),
        (f"/{TOKEN}x/", {}),
        (f"/{TOKEN[:-1]}/", {}),
        (f"/x/{TOKEN}/", {}),
        (f"/?{TOKEN}", {}),
        (f"{TOKEN}/", {}),
        (f"http://{HOST}/{TOKEN}/", {}),
        ("/t\xf6ken/", {}),
        (f"/{TOKEN}/", {"Host": None}),
        (f"/{TOKEN}/", {"Host": "evil.example:8000"}),
        (f"/{TOKEN}/", {"Host": "127.0.0.1:8001"}),
        (f"/{TOKEN}/", {"Host": "127.0.0.1"}),
        (f"/{TOKEN}/", {"Host": f"{HOST}.evil.example"}),
        (f"/{TOKEN}/", {"Sec_Fetch_Site": "cross-site"}),
        (f"/{TOKEN}/", {"Sec_Fetch_Site": "same-site"}),
        (f"/{TOKEN}/", {"Sec_Fetch_Site": "anything"}),
        (f"/{TOKEN}/", {"Origin": "http://evil.example"}),
        (f"/{TOKEN}/", {"Origin": "http://127.0.0.1:8001"}),
        (f"/{TOKEN}/", {"Origin": "https://127.0.0.1:8000"}),
        (f"/{TOKEN}/", {"Origin": "http://localhost:8000"}),
        (f"/{TOKEN}/", {"Origin": "null"}),
        (f"/{TOKEN}/", {"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}),
    ],
)
def test_anybody_else_gets_403_and_no_word_why(method, target, headers):
    refused = refusal(method, target, **headers)
    assert refused.status is HTTPStatus.FORBIDDEN
    assert refused.reason == ""


def test_a_form_has_to_prove_that_it_is_the_page_s_own():
    assert refusal("POST", Origin=None).status is HTTPStatus.FORBIDDEN
    assert refusal("POST", Origin=None, Sec_Fetch_Site="none").status is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "header", ["Host", "Origin", "Sec-Fetch-Site", "Content-Length", "Content-Type"]
)
def test_a_header_that_is_given_twice_is_refused(header):
    headers = Message()
    for name, value in ({"Host": HOST, "Sec-Fetch-Site": "same-origin"} | OWN).items():
        headers[name] = value
    assert GATE.admit("POST", f"/{TOKEN}/", headers) == 12
    headers[header] = headers[header]
    with pytest.raises(Refused) as refused:
        GATE.admit("POST", f"/{TOKEN}/", headers)
    assert refused.value.status is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("arguments", "headers", "status"),
    [
        (("GET", f"/{TOKEN}/more"), {}, HTTPStatus.NOT_FOUND),
        (("GET", f"/{TOKEN}/?a=b"), {}, HTTPStatus.NOT_FOUND),
        (("DELETE",), {}, HTTPStatus.METHOD_NOT_ALLOWED),
        (("HEAD",), {}, HTTPStatus.METHOD_NOT_ALLOWED),
        (("get",), {}, HTTPStatus.METHOD_NOT_ALLOWED),
        (("POST",), {"Content_Type": "text/plain"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (("POST",), {"Content_Type": None}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (("POST",), {"Content_Length": None}, HTTPStatus.LENGTH_REQUIRED),
        (("POST",), {"Transfer_Encoding": "chunked"}, HTTPStatus.LENGTH_REQUIRED),
        (("POST",), {"Content_Length": "-1"}, HTTPStatus.BAD_REQUEST),
        (("POST",), {"Content_Length": "1_0"}, HTTPStatus.BAD_REQUEST),
        (("POST",), {"Content_Length": "\u0661"}, HTTPStatus.BAD_REQUEST),
        (("POST",), {"Content_Length": str(LARGEST + 1)}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (("POST",), {"Content_Length": "9" * 5000}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_who_has_come_in_learns_what_is_wrong(arguments, headers, status):
    refused = refusal(*arguments, **headers)
    assert refused.status is status
    assert refused.reason
    assert admit("POST", Content_Length=str(LARGEST)) == LARGEST
