"""Hostile completions through every sink: nothing raw, no command, no foreign markup."""

from __future__ import annotations

import csv as csv_reader
import io
import itertools
import json
import random
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.report import html, markdown, sanitise, tables, terminal

FRAGMENTS = (
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x7f", "\r", "\n", "\t", "\x08",
    "::error::x", "  ::set-output name=a::b", "\n::stop-commands::x", "##[error]x", "a##[group]b",
    "%0A::warning::x", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</title>",
    "\"><svg onload=alert(1)>", "' onmouseover='x", "javascript:alert(1)", "&lt;b&gt;", "]]>",
    "<!--", "=SUM(A1)", "+1", "-1", "@cmd", " =1+1", "\t=1", "\uff1d1", "|", "`", "``", "```\n",
    "**bold**", "[a](http://x.com)", "![a](http://x.com/i.png)", "# title", "- item", "@someone",
    "#123", "http://evil.example", "www.evil.example", "<https://x.com>", "{{ 7 * 7 }}", "{% x %}",
    "${x}", "\u202e", "\u2066", "\u200b", "\u2028", "\u2029", "\ufeff", "\U000e0041", "\ue000",
    "é", "日本", "👩‍🚀", "a" * 300, " ", "", "\\", "\\x1b", "'", '"', ",", ";", "::", ":", "#",
    "#[",
)  # fmt: skip


def hostile() -> list[str]:
    drawn = random.Random(3)
    pairs = ["".join(pair) for pair in itertools.product(FRAGMENTS, repeat=2)]
    triples = ["".join(drawn.choices(FRAGMENTS, k=4)) for _ in range(300)]
    return [*FRAGMENTS, *drawn.sample(pairs, 1000 - 300 - len(FRAGMENTS)), *triples]


COMPLETIONS = hostile()


def commands(log: str) -> list[str]:
    """Read a job's log as GitHub's runner does, both generations of its syntax."""
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        trimmed = line.lstrip()
        if trimmed.startswith("::") and trimmed.find("::", 2) > 2:
            found.append(trimmed)
        start = line.find("##[")
        if start >= 0 and line.find("]", start) > 0:
            found.append(line)
    return found


def raw(text: str, *, allowed: str = "") -> list[str]:
    return [c for c in text if c not in allowed and c != sanitise.visible(c)]


def test_the_corpus_is_a_thousand_and_the_reader_of_commands_works():
    assert len(COMPLETIONS) == 1000
    assert all(commands(line) for line in ("::error::x", "  ::a b=c::d", "x ##[error]y"))
    assert not commands("a::b::c")


@pytest.mark.parametrize("sink", ["terminal", "xml", "csv", "markdown", "markdown_code"])
def test_line_sinks_hold_nothing_raw_and_no_command(sink):
    safe = getattr(sanitise, sink)
    for text in COMPLETIONS:
        shown = safe(text)
        assert raw(shown) == [], ascii(text)
        assert commands(shown) == [], ascii(text)
        assert commands(f"  {shown}") == [], ascii(text)
        assert "\n" not in shown


def test_pieces_that_meet_in_a_line_make_no_command():
    for left, right in itertools.product(FRAGMENTS, repeat=2):
        line = sanitise.terminal(left) + sanitise.terminal(right)
        assert not line.lstrip().startswith("::"), ascii((left, right))


def test_messages_keep_their_lines_and_hold_no_command():
    message = "\n".join(COMPLETIONS)
    shown = sanitise.terminal_lines(message)
    assert commands(shown) == []
    assert raw(shown, allowed="\n") == []
    assert sanitise.terminal_lines("one\ntwo::three") == "one\ntwo::three"


def test_xml_is_well_formed_and_reads_back():
    for text in COMPLETIONS:
        element = ElementTree.Element("property", value=sanitise.xml(text))
        element.text = sanitise.xml(text)
        back = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
        assert back.get("value") == sanitise.xml(text)


def test_csv_cells_are_no_formulas():
    for text in COMPLETIONS:
        stream = io.StringIO()
        csv_reader.writer(stream).writerow([sanitise.csv(text)])
        cell = next(csv_reader.reader(io.StringIO(stream.getvalue())))[0]
        assert cell == sanitise.csv(text)
        assert cell.lstrip()[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def test_json_is_ascii_without_commands_and_reads_back():
    document = sanitise.json_document(COMPLETIONS)
    assert json.loads(document) == COMPLETIONS
    assert document.isascii()
    assert raw(document, allowed="\n") == []
    assert commands(document) == []
    with pytest.raises(ValueError, match="not JSON compliant"):
        sanitise.json_document([float("nan")])


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_html_makes_no_elements_and_holds_nothing_raw():
    for text in COMPLETIONS:
        shown = sanitise.html(text)
        reader = Reader()
        reader.feed(f'<p title="{shown}">{shown}</p>')
        reader.close()
        assert reader.tags == ["p"], ascii(text)
        assert raw(shown, allowed="\n") == []
        assert commands(shown) == []


def test_node_ids_are_plain():
    for text in COMPLETIONS:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", sanitise.node_id(text))
    assert sanitise.node_id("i-dont-know") == "i-dont-know"


def test_github_data_cannot_end_its_command():
    for text in COMPLETIONS:
        line = f"::error title={sanitise.github_property(text)}::{sanitise.github_message(text)}"
        assert len(line.splitlines()) == 1
        head = line[2:].split("::")[0]
        assert head.startswith("error title=")
        assert "," not in head


@given(st.text(max_size=60))
def test_any_text_is_visible_in_one_line_and_ordinary_text_is_unchanged(text):
    shown = sanitise.terminal(text)
    assert raw(shown) == []
    assert len(shown.splitlines()) <= 1
    if text.isascii() and text.isprintable() and ":" not in text and "##[" not in text:
        assert shown == text


@given(st.text(max_size=60))
def test_a_code_span_is_closed_by_its_own_fence_only(text):
    span = sanitise.markdown_code(text)
    fence = re.match(r"`+", span).group()
    inner = span[len(fence) : -len(fence)]
    assert span.endswith(fence)
    assert fence not in re.findall(r"`+", inner)
    assert re.search(r"(?<!\\)\|", inner) is None


@pytest.mark.parametrize("start", range(0, 1000, 340))
def test_whole_reports_of_a_thousand_hostile_completions(with_texts, start):
    record = with_texts(COMPLETIONS[start : start + 340])
    views = {
        "terminal": terminal.summary(record, every_feature=True),
        "markdown": markdown.render(record),
        "html": html.render(record),
        "csv": tables.csv(tables.rewards_frame(record)),
        "json": sanitise.json_document(record.model_dump(mode="json")),
    }
    for name, text in views.items():
        assert raw(text, allowed="\n") == [], name
        assert commands(text) == [], name
