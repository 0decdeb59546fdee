r"""Make hostile text safe, one function for each sink.

Completions are adversarial input: they may hold terminal escapes, markup, spreadsheet formulas
or workflow commands.  GitHub's runner reads ``::command::`` after leading white space and
``##[command]`` anywhere in a line of a job's log, so both are broken wherever text can reach a
log.  What cannot be shown is written as a visible escape (``\x1b``), never dropped: a reader
must be able to see that it was there.
"""

from __future__ import annotations

import re
import unicodedata

NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$]|^[+-])")
_REFERENCES = re.compile(r"&#64;|&#58;//(?=\w)|\\#(?=\d)|\bgh-(?=\d)", re.IGNORECASE)
"""What GitHub looks for in the text that Markdown became: escapes are gone by then."""
_BAR = re.compile(r"(\\*)\|")
_BACKTICKS = re.compile(r"`+")


def _escape(character: str) -> str:
    point = ord(character)
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def visible(text: str) -> str:
    """Write control, format, surrogate and unassigned characters as visible escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(character) if unicodedata.category(character) in _UNSEEN else character
        for character in text
    )


def _break_commands(text: str) -> str:
    broken = text.replace("##[", "##\\x5b").replace("::", ":\\x3a")
    # a leading colon could join one that is printed before it
    return f"\\x3a{broken[1:]}" if broken.startswith(":") else broken


def terminal(text: str) -> str:
    """Return one line without raw escapes, line breaks, bidi controls or workflow commands."""
    return _break_commands(visible(text))


def terminal_lines(text: str) -> str:
    """Make each line of a message safe and keep its line breaks."""
    return "\n".join(_guard_line(visible(line)) for line in text.split("\n"))


def _guard_line(line: str) -> str:
    # node ids hold "::" legitimately, so only a line that would start a command is broken
    guarded = line.replace("##[", "##\\x5b")
    stripped = guarded.lstrip()
    indent = guarded[: len(guarded) - len(stripped)]
    return f"{indent}\\x3a{stripped[1:]}" if stripped.startswith("::") else guarded


def xml(text: str) -> str:
    """Return text for an XML attribute or element that the writer escapes as markup.

    XML 1.0 cannot carry most control characters even as references, so they become visible.
    """
    return terminal(text)


def markdown(text: str) -> str:
    """Return prose for Markdown: no markup, HTML, mentions, issue links or automatic links."""
    safe = _MARKDOWN_SPECIAL.sub(r"\\\1", visible(text))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = safe.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")
    safe = safe.replace("::", ":&#58;").replace("##[", "##&#91;")
    # a space without width: https://github.com/github/cmark-gfm/issues/181
    return _REFERENCES.sub(r"\g<0>&#8203;", safe)


def markdown_code(text: str) -> str:
    """Return a code span that holds the text.

    A code span takes no markup, mentions or links; its fence is longer than any run of
    backticks inside.
    """
    safe = _break_commands(visible(text))
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(safe)), default=0))
    pad = " " if safe.startswith(("`", " ")) or safe.endswith(("`", " ")) or not safe else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def markdown_cell(safe: str) -> str:
    """Return safe Markdown for a table, where a bar ends a cell even inside a code span."""
    return _BAR.sub(lambda bar: bar[0] if len(bar[1]) % 2 else f"{bar[1]}\\|", safe)


def csv(text: str) -> str:
    """Return a text cell that no spreadsheet reads as a formula and that keeps to one line.

    Numbers are not text: do not pass them here, or minus signs would gain an apostrophe.
    """
    safe = _break_commands(visible(text))
    start = text.lstrip()[:1]
    dangerous = start in _FORMULA_STARTS if start else False
    return f"'{safe}" if dangerous or _starts_with_control(text) else safe


def _starts_with_control(text: str) -> bool:
    return bool(text) and unicodedata.category(text[0]) in _UNSEEN


def html(text: str) -> str:
    """Return text for an HTML element or a quoted attribute.

    The DOM holds the same text again, but for NUL and the C1 controls, which HTML cannot
    carry by reference: those become visible escapes.
    """
    parts: list[str] = []
    for character in text:
        point = ord(character)
        if character in "&<>\"'":
            parts.append(f"&#{point};")
        elif character == "\n" or 0x20 <= point < 0x7F:
            parts.append(character)
        elif point == 0 or 0x80 <= point < 0xA0 or 0xD800 <= point < 0xE000:
            parts.append(_escape(character))
        elif unicodedata.category(character) in _UNSEEN:
            parts.append(f"&#{point};")
        else:
            parts.append(character)
    # "::" and "##[" are harmless in a page, but pages are printed to job logs too
    return "".join(parts).replace("::", ":&#58;").replace("##[", "##&#91;")


def yaml(text: str) -> str:
    """Return a text as a double-quoted YAML scalar on one line, which reads back as it is.

    A job log may hold it: ``##[`` would be a command there.
    """
    return f'"{"".join(map(_yaml_escape, text))}"'.replace("##[", "##\\x5b")


def _yaml_escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def node_id(name: str) -> str:
    """Return a name for a node id: letters, digits, ``_ . -``, at most 80 of them."""
    if NAME.fullmatch(name):
        return name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:80] or "_"


def github_message(text: str) -> str:
    """Return the data part of a workflow command that the project itself emits."""
    safe = "\n".join(visible(line) for line in text.split("\n"))
    return safe.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def github_property(text: str) -> str:
    """Return a property value (file, title) of a workflow command that the project emits."""
    return github_message(text).replace(":", "%3A").replace(",", "%2C")
