"""The page over a real socket."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from urllib.parse import urlencode, urlsplit

import pytest
from click.testing import CliRunner

from pm_audit.cli import main
from pm_audit.errors import AuditError
from pm_audit.server.admission import FORM, LARGEST
from pm_audit.server.service import CONNECTIONS, Service, serve
from tests.server.conftest import running

TEXTS = {"prompt": "Where?", "completion_a": "by;^", "completion_b": "by!;", "space": "1"}
ATTACKS = [
    "<script>alert(1)</script>",
    "\u202eevil\u2066 \0 \x1b[31m \x9b",
    "👩‍🚀 日本 \U0001f1e6 é" * 5,
    "::error::x ##[error]y",
]


def request(service: Service, method: str, target: str | None = None, body=None, **headers: str):
    found = urlsplit(service.address)
    connection = http.client.HTTPConnection(found.hostname, found.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target or found.path, body, named)
    reply = connection.getresponse()
    text = reply.read().decode("utf-8")
    connection.close()
    return reply, text


def post(service: Service, body: str | bytes, **headers: str):
    own = {"Origin": f"http://{urlsplit(service.address).netloc}", "Content_Type": FORM}
    return request(service, "POST", body=body, **(own | headers))


def test_the_form_is_served_and_answers(service):
    reply, text = request(service, "GET")
    assert reply.status == 200
    assert "<form" in text
    reply, text = post(service, urlencode(TEXTS))
    assert reply.status == 200
    assert "The PM prefers B" in text


def test_only_the_loopback_address_listens(service):
    assert service.server_address[0] == "127.0.0.1"
    assert "--host" not in CliRunner().invoke(main, ["explain", "--help"]).output


def test_every_answer_keeps_to_itself(service):
    token = urlsplit(service.address).path
    answers = [request(service, "GET"), post(service, urlencode(TEXTS)), post(service, "a=b")]
    answers += [request(service, "GET", "/"), request(service, "BREW"), request(service, "HEAD")]
    for reply, text in answers:
        policy = reply.getheader("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'self'; ")
        assert policy.endswith("; frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert reply.getheader("Cache-Control") == "no-store"
        assert reply.getheader("X-Content-Type-Options") == "nosniff"
        assert reply.getheader("X-Frame-Options") == "DENY"
        assert reply.getheader("Referrer-Policy") == "no-referrer"
        assert reply.getheader("Server") == "pm-audit"
        assert reply.getheader("Access-Control-Allow-Origin") is None
        assert token not in text


def test_without_the_token_nothing_is_told(service):
    for method in ("GET", "POST", "BREW", "OPTIONS"):
        for target in ("/", "/favicon.ico", "/" + "x" * 32 + "/"):
            reply, text = request(service, method, target)
            assert (reply.status, text) == (403, "")
            assert reply.getheader("Allow") is None
    reply, text = request(service, "GET", Host="evil.example")
    assert (reply.status, text) == (403, "")
    reply, _ = request(service, "BREW")
    assert (reply.status, reply.getheader("Allow")) == (405, "GET, POST")


def test_two_services_have_different_tokens(service, box_of, explainer):
    with running(box_of(explainer)) as other:
        assert other.gate.token != service.gate.token
        assert len(other.gate.token) >= 32


def test_a_body_above_the_limit_is_refused_and_the_reason_arrives(service):
    big = urlencode(TEXTS | {"prompt": "x" * (4 * LARGEST)})
    reply, text = post(service, big)
    assert reply.status == 413
    assert "shorten them" in text


@pytest.mark.parametrize("text", ATTACKS)
def test_hostile_texts_come_back_as_text(service, text):
    sent = TEXTS | {"prompt": text, "completion_a": text, "completion_b": f"{text}!"}
    reply, page = post(service, urlencode(sent))
    assert reply.status == 200
    assert "The PM prefers B" in page
    assert page.count("<script>") == 1
    assert not re.search("[\0\x1b\x9b\u202e\u2066]|::error|##\\[", page)


def test_thirty_kilobytes_are_an_error_in_words(service):
    reply, page = post(service, urlencode(TEXTS | {"completion_a": "<b>é" * 7_500}))
    assert reply.status == 422
    assert "this page reads at most 400" in page
    assert "<b>é" not in page


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a browser that tries TLS
    ],
)
def test_what_is_no_http_gets_no_word_of_itself(service, raw):
    with socket.create_connection(service.server_address[:2], timeout=10) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert b" 200 " not in answer
    assert b"nonsense" not in answer
    assert b"xxx" not in answer
    assert request(service, "GET")[0].status == 200


def test_a_form_that_is_cut_off_is_no_form(service):
    found = urlsplit(service.address)
    with socket.create_connection(service.server_address[:2], timeout=10) as client:
        head = (
            f"POST {found.path} HTTP/1.1\r\nHost: {found.netloc}\r\nContent-Type: {FORM}\r\n"
            f"Origin: http://{found.netloc}\r\nContent-Length: 500\r\n\r\nprompt=a"
        )
        client.sendall(head.encode())
        client.shutdown(socket.SHUT_WR)
        assert b" 400 " in client.recv(65_536)


def test_connections_are_few(service):
    idle = [socket.create_connection(service.server_address[:2]) for _ in range(CONNECTIONS)]
    with socket.create_connection(service.server_address[:2], timeout=10) as late:
        assert late.recv(1) == b""
    for one in idle:
        one.close()
    # their threads end, and others are answered again
    for _ in range(200):
        try:
            assert request(service, "GET")[0].status == 200
            return
        except (http.client.RemoteDisconnected, ConnectionError):
            threading.Event().wait(0.05)
    pytest.fail("no connection is answered any more")


def test_who_went_away_while_waiting_costs_nothing(box_of, explainer):
    entered, go_on, computed = threading.Event(), threading.Event(), []

    def explain(*texts: str):
        computed.append(texts)
        entered.set()
        assert go_on.wait(20)
        return explainer(*texts)

    with running(box_of(explain)) as service:
        first = threading.Thread(target=post, args=(service, urlencode(TEXTS)))
        first.start()
        assert entered.wait(20)
        found, body = urlsplit(service.address), urlencode(TEXTS | {"prompt": "second"})
        room = service.box._turns._room
        before = room._value
        with socket.create_connection(service.server_address[:2], timeout=10) as client:
            head = (
                f"POST {found.path} HTTP/1.1\r\nHost: {found.netloc}\r\nContent-Type: {FORM}\r\n"
                f"Origin: http://{found.netloc}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            client.sendall(head.encode())
            while room._value == before:
                threading.Event().wait(0.01)
        go_on.set()
        first.join(20)
        while room._value <= before:
            threading.Event().wait(0.01)
    assert [texts[0] for texts in computed] == ["Where?"]


def test_no_text_and_no_token_reach_the_terminal(service, capfd, said):
    post(service, urlencode(TEXTS | {"prompt": "nobody's business"}))
    post(service, "prompt=nobody")
    request(service, "GET", "/nobody")
    assert capfd.readouterr() == ("", "")
    assert said == []


def test_a_port_in_use_is_an_error_with_a_remedy(service, box_of, explainer):
    with pytest.raises(AuditError, match=r"port \d+ cannot be used: .*in use; choose another"):
        serve(box_of(explainer), port=service.server_port, started=lambda address: None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--serve", "a", "b", "c"], "neither texts nor --json"),
        (["--serve", "--json", "x.json"], "neither texts nor --json"),
        (["--port", "8000", "a", "b", "c"], "add --serve"),
        (["--longest", "9", "a", "b", "c"], "add --serve"),
        (["--serve", "--port", "70000"], "65535"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, problem):
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exit_code == 2
    assert problem in result.output


COMMAND = """
import sys, time
import torch
torch.set_num_threads(1)
import pm_audit.server.explainer as explainer
from pm_audit.cli import main
from recipes.planted.linear import plant
planted = plant({"!": 3.0})
explainer.load_subject = lambda settings: (planted.pm, (planted.sae,))
if sys.argv.pop(1) == "slow":
    def slow(*_, **__):
        print("computing", flush=True)
        while True:
            torch.randn(200, 200) @ torch.randn(200, 200)
    explainer.take_apart = slow
main(["explain", "--serve", "--top", "2"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("speed", ["idle", "slow"])
def test_the_command_serves_until_ctrl_c(speed, tmp_path):
    command = [sys.executable, "-u", "-c", COMMAND, speed]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # what starts the tests may ignore Ctrl-C, and children would inherit that
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    started = subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=heard, **pipes)
    with started as process:
        lines = [process.stdout.readline() for _ in range(3)]
        found = urlsplit(lines[1].split()[1])
        connection = http.client.HTTPConnection(found.hostname, found.port, timeout=60)
        own = {"Origin": f"http://{found.netloc}", "Content-Type": FORM}
        with contextlib.closing(connection):
            connection.request("POST", found.path, urlencode(TEXTS), own)
            if speed == "slow":
                assert process.stdout.readline() == "computing\n"
            else:
                page = connection.getresponse().read().decode()
                assert "The PM prefers B" in page
                assert page.count("<details") == 2
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_a_machine_without_ipv4_has_its_page_too(box_of, explainer, monkeypatch):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    bind = Service.server_bind

    def without_ipv4(self: Service) -> None:
        if self.address_family is socket.AF_INET:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        bind(self)

    monkeypatch.setattr(Service, "server_bind", without_ipv4)
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        with pytest.raises(AuditError, match="cannot be used"):
            Service(box_of(explainer))
        return
    with running(box_of(explainer)) as service:
        assert service.address.startswith("http://[::1]:")
        assert request(service, "GET")[0].status == 200
        assert post(service, urlencode(TEXTS))[0].status == 200
