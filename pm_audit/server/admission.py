"""Which requests are answered: those of a browser on this machine that was given the address.

Whatever runs on the machine reaches a loopback port, and so do pages of any site in its browser.
A request is answered if it names this server as its host (a name that an attacker points to
127.0.0.1 is another), has the token, and comes from no other site.  What fails one of these gets
403 and no word why.  Only a request that has passed them learns what else is wrong with it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

FORM = "application/x-www-form-urlencoded"

LARGEST = 262_144
"""Bytes of a form: three texts of 28,000 characters of any script."""


class Refused(Exception):
    """A request that is not answered: its status and, for the page, the reason."""

    def __init__(self, status: HTTPStatus, reason: str = "", **headers: str) -> None:
        super().__init__(status.phrase)
        self.status, self.reason, self.headers = status, reason, headers


@dataclass(frozen=True)
class Gate:
    """Who may come in."""

    hosts: tuple[str, ...]
    """Authorities of this server, as a browser names them: ``127.0.0.1:8000``."""
    token: str

    def admit(self, method: str, target: str, headers: Message) -> int:
        """Return how many bytes of a form follow; 0 for a request of the empty page.

        Raises:
            Refused: the request is not answered.

        """
        head, _, after = target.removeprefix("/").partition("/")
        known = hmac.compare_digest(head.encode("latin-1", "replace"), self.token.encode())
        host = _only(headers, "Host")
        if not known or not target.startswith("/") or host not in self.hosts:
            raise Refused(HTTPStatus.FORBIDDEN)
        _require_own_page(method, f"http://{host}", headers)
        if after:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        if method == "GET":
            return 0
        if method != "POST":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and POST", Allow="GET, POST")
        return _length(headers)


def _require_own_page(method: str, own: str, headers: Message) -> None:
    """Refuse what another site's page sent.

    A browser says where a request comes from.  Under this page's referrer policy the origin of its
    own form is ``null``, as is that of a page in a sandbox: then Sec-Fetch-Site, which no page can
    set, has to say that it is the same.
    """
    site, origin = _only(headers, "Sec-Fetch-Site"), _only(headers, "Origin")
    same_site = site == "same-origin"
    from_elsewhere = (
        site not in (None, "same-origin", "none")
        or origin not in (None, "null", own)
        or (origin == "null" and not same_site)
    )
    unproven = method == "POST" and not same_site and origin != own
    if from_elsewhere or unproven:
        raise Refused(HTTPStatus.FORBIDDEN)


def _length(headers: Message) -> int:
    kind = (_only(headers, "Content-Type") or "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a form is sent as {FORM}")
    written = _only(headers, "Content-Length")
    if written is None or "Transfer-Encoding" in headers:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "the form's length is missing")
    if not (written.isascii() and written.isdigit()):
        raise Refused(HTTPStatus.BAD_REQUEST, "the form's length is no number")
    if len(written) > len(str(LARGEST)) or int(written) > LARGEST:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the texts are longer than the {LARGEST:,} bytes that this page takes; shorten them",
        )
    return int(written)


def _only(headers: Message, name: str) -> str | None:
    """Return the one value of a header; None without it.  Two are an attack or a fault."""
    values = headers.get_all(name, [])
    if len(values) > 1:
        raise Refused(HTTPStatus.FORBIDDEN)
    return str(values[0]).strip() if values else None
