"""The form of the page: three texts, as a browser sends them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qsl

from pm_audit.server.admission import Refused

_TEXTS = ("prompt", "completion_a", "completion_b")
_SPACE = "space"


@dataclass(frozen=True)
class Form:
    """What is typed."""

    prompt: str = ""
    completion_a: str = ""
    completion_b: str = ""
    space: bool = True
    """A completion that begins without white space gets a space in front, as after a colon."""

    @classmethod
    def sent(cls, body: bytes) -> Self:
        """Return the form that a request holds.

        Raises:
            Refused: it holds other fields, one twice, or bytes that are no text.

        """
        try:
            pairs = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=8
            )
        except UnicodeError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the texts are no UTF-8") from None
        except ValueError:  # too many fields
            pairs = []
        fields = dict(pairs)
        if len(fields) != len(pairs) or fields.keys() - {_SPACE} != set(_TEXTS):
            names = ", ".join(_TEXTS)
            raise Refused(HTTPStatus.BAD_REQUEST, f"a form has each of {names} once, and no other")
        # browsers send every line break of a text field as two characters
        texts = {name: fields[name].replace("\r\n", "\n") for name in _TEXTS}
        return cls(**texts, space=_SPACE in fields)

    @property
    def texts(self) -> tuple[str, str, str]:
        """Prompt and completions as the PM is to read them."""
        return self.prompt, self._answer(self.completion_a), self._answer(self.completion_b)

    def _answer(self, completion: str) -> str:
        bare = self.space and completion and not completion[0].isspace()
        return f" {completion}" if bare else completion
