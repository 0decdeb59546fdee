"""The HTTP of the page: a port of this machine alone, and headers that keep the page to itself."""

from __future__ import annotations

import contextlib
import errno
import secrets
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pm_audit.errors import AuditError
from pm_audit.server import page
from pm_audit.server.admission import LARGEST, Gate, Refused
from pm_audit.server.text_box import Reply, TextBox

CONNECTIONS = 32
"""Connections that are open at once; more are closed unanswered."""

_SECONDS = 10
"""Longest silence of a client in the midst of its request."""

_Request = socket.socket | tuple[bytes, socket.socket]
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What a machine without IPv4 says; any other fault is of the port."""

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"{page.ASSETS.policy}; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}


def serve(box: TextBox, *, port: int = 0, started: Callable[[str], None]) -> None:
    """Answer requests until Ctrl-C.

    Args:
        box: answers them.
        port: of the loopback address; a free one for 0.
        started: receives the page's address once it is open.

    Raises:
        AuditError: the port cannot be used.

    """
    with Service(box, port=port) as service:
        started(service.address)
        with contextlib.suppress(KeyboardInterrupt):
            service.serve_forever()


class Service(ThreadingHTTPServer):
    """A server on a loopback address.

    Raises:
        AuditError: at construction, if the port cannot be used.

    """

    daemon_threads = True  # a computation does not hold up the end

    def __init__(self, box: TextBox, *, port: int = 0) -> None:
        self.box, self._open = box, threading.BoundedSemaphore(CONNECTIONS)
        self._bind(port)
        host = self.server_name if ":" not in self.server_name else f"[{self.server_name}]"
        # a browser leaves the standard port out
        suffix = "" if self.server_port == 80 else f":{self.server_port}"
        self.gate = Gate((f"{host}{suffix}", f"localhost{suffix}"), secrets.token_urlsafe(24))
        self.address = f"http://{host}{suffix}/{self.gate.token}/"

    def _bind(self, port: int) -> None:
        for family, host in _LOOPBACK:
            self.address_family = family
            try:
                super().__init__((host, port), _Handler)
                return
            except OSError as problem:
                if problem.errno not in _NO_SUCH_ADDRESS or family is socket.AF_INET6:
                    raise AuditError(
                        f"port {port} cannot be used: {problem.strerror or problem}; choose "
                        "another --port, or leave it out"
                    ) from None

    def server_bind(self) -> None:
        """Bind without asking a name server what the machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: _Request, client_address: object) -> None:
        """Give a connection its thread, if there is room."""
        if self._open.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: _Request, client_address: object) -> None:
        """Answer a connection and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client went away, and a traceback could hold its texts."""


class _Handler(BaseHTTPRequestHandler):
    server: Service
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Answer; what is not admitted is refused."""
        try:
            length = self.server.gate.admit(self.command, self.path, self.headers)
            if self.command == "GET":
                reply = self.server.box.blank()
            else:
                reply = self.server.box.answer(self._body(length), gone=self._gone)
        except Refused as refusal:
            reply = self.server.box.refused(refusal)
        self._send(reply)

    do_POST = do_GET  # noqa: N815 - the library's name

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """Answer what the library could not read, without a word of it."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self.do_GET()  # another method, of which nobody without the token learns anything
        else:
            self._send(Reply(HTTPStatus(code), ""))

    def version_string(self) -> str:
        """Return the name of the server, without the versions of Python and its library."""
        return "pm-audit"

    def log_message(self, *_: object) -> None:
        """Log nothing: a request's line holds the token."""

    def _body(self, length: int) -> bytes:
        body = self.rfile.read(length)
        if len(body) < length:
            raise Refused(HTTPStatus.BAD_REQUEST, "the form is cut off")
        return body

    def _gone(self) -> bool:
        """Whether the client has closed the connection, so that nobody reads the answer."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send(self, reply: Reply) -> None:
        body = reply.text.encode("utf-8")
        self.send_response(reply.status)
        for name, value in (_HEADERS | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._discard()

    def _discard(self) -> None:
        """Read some of what else a client sends: closing at once could lose it the answer."""
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            left = 16 * LARGEST
            while left > 0 and (found := self.connection.recv(65_536)):
                left -= len(found)
