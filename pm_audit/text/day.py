"""The day that chat templates get for today: a recorded one, never the clock's.

Some templates write the date into every dialogue, by ``strftime_now`` or a variable
``date_string``; with the clock's date the same PM would score a text differently tomorrow.
"""

from __future__ import annotations

import re
from datetime import date, datetime

DEFAULT = date(2024, 7, 26)
"""The fallback of Llama 3's templates without a clock."""

_CLOCK = "strftime_now"
_VARIABLE = "date_string"
_DIRECTIVES = "aAwdbBmyYHIpMSfjUWcxXGuV"


def reads_clock(template: str) -> bool:
    """Whether a chat template writes today's date."""
    return _CLOCK in template


def takes_day(template: str) -> bool:
    """Whether a chat template can be given a date."""
    return reads_clock(template) or _VARIABLE in template


def pinned(template: str, day: date) -> str:
    """Return the template with its clock stopped at the beginning of a day.

    A macro of the same name replaces the clock, since transformers passes no function through.
    """
    if not reads_clock(template):
        return template
    moment = datetime(day.year, day.month, day.day)
    filters = ["| replace('%%', '%\\0')"]
    for letter in _DIRECTIVES:
        plain = moment.strftime(f"%{letter}")
        filters.append(f"| replace('%-{letter}', {plain.lstrip('0') or '0'!r})")
        filters.append(f"| replace('%{letter}', {plain!r})")
    filters.append("| replace('%\\0', '%')")
    macro = f"{{%- macro {_CLOCK}(format) -%}}{{{{- format {' '.join(filters)} -}}}}"
    # jinja takes the blanks before a block that begins the template; after the macro it would not
    bare = re.sub(r"\A[ \t]+(?=\{[%#](?!\+))", "", template)
    return f"{macro}{{%- endmacro %}}{{{{ '' }}}}{bare}"


def variables(day: date | None) -> dict[str, str]:
    """Return the template's variables of a day that is set.

    None for the default day: templates with a ``date_string`` have a default of their own.
    """
    return {} if day is None else {_VARIABLE: day.strftime("%d %b %Y")}
