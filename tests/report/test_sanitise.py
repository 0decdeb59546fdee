"""Hostile text through every sink: nothing raw, no command, no foreign markup.

Whole reports are made of records with hostile text in every text field.  The fields are found by
walking the models, so a field that is added later is covered from then.
"""

from __future__ import annotations

import csv as csv_reader
import enum
import io
import itertools
import json
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pm_audit import strategies
from pm_audit.records import AuditRecord, Firing, HypothesisRecord, LabelSource
from pm_audit.records.document import json_document
from pm_audit.report import changes, github, html, junit, markdown, sanitise, tables, terminal
from pm_audit.report.changes import Change, ChangeKind, Comparison
from pm_audit.report.formats import csv
from pm_audit.report.markdown_writer import Code, MarkdownWriter
from tests.report.conftest import searched

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
    document = json_document(COMPLETIONS)
    assert json.loads(document) == COMPLETIONS
    assert document.isascii()
    assert raw(document, allowed="\n") == []
    assert commands(document) == []
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_document([float("nan")])


def test_yaml_is_one_line_of_printed_characters_and_reads_back():
    for text in COMPLETIONS:
        scalar = sanitise.yaml(text)
        assert scalar.isprintable()
        assert yaml.safe_load(f"[{scalar}]") == [text]


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
    assert re.search(r"(?<!\\)\|", sanitise.markdown_cell(inner)) is None


def test_a_bar_is_escaped_in_a_table_alone():
    writer = MarkdownWriter()
    writer.bullets([Code("<|end|>")])
    writer.table(["a"], [[Code("<|end|>")], ["a|b"], [Code("a\\\\|b")]])
    assert "* `<|end|>`\n" in writer.text()
    assert "| `<\\|end\\|>` |\n| a\\|b |\n| `a\\\\\\|b` |" in writer.text()


@pytest.mark.parametrize(
    "text",
    ["@someone", "(@org/team)", "a@b.com", "#123", "owner/name#7", "GH-12", "see gh-3",
     "http://evil.example", "x:@y #8"],
)  # fmt: skip
def test_markdown_refers_to_nobody_after_its_escapes_are_read(text):
    read = unescape(re.sub(r"\\([#(){}\[\]])", r"\1", sanitise.markdown(text)))
    assert re.search(r"@\w|#\d|gh-\d|://\w", read, re.IGNORECASE) is None
    assert read.replace("\u200b", "") == text


def filled(value: object, supply: Callable[[], str]) -> object:
    """Return the value with every text in it replaced; enums, numbers and shapes stay."""
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, str):
        return supply()
    if isinstance(value, BaseModel):
        fields = {name: filled(getattr(value, name), supply) for name in type(value).model_fields}
        return value.model_copy(update=fields)
    if isinstance(value, tuple):
        return tuple(filled(inner, supply) for inner in value)
    if isinstance(value, dict):
        return {supply() if hostile_keys(value) else key: inner if key == "expires" else
                filled(inner, supply) for key, inner in value.items()}  # fmt: skip
    return value


def hostile_keys(value: dict) -> bool:
    # views refuse an `expect` or a `known_bias` that cannot be read
    return not {"gap", "expires"} & value.keys()


def with_every_field(record: AuditRecord) -> AuditRecord:
    """Give optional texts of the record a value, so that they are replaced too."""
    first, *rest = record.hypotheses
    firing = Firing(before="a ", token="", after="", activation=9.0, special="<|end|>")
    feature = first.features[0].model_copy(
        update={
            "firings": (firing, *first.features[0].firings),
            "corpus_firings": first.features[0].firings,
        }
    )
    left_out = feature.model_copy(update={"folds": (), "index": 99})
    first = first.model_copy(
        update={
            "features": (feature, left_out, *first.features[1:]),
            "objective": "x",
            "warnings": ("x",),
            "known_bias": {"reason": "x", "ticket": "x", "expires": "2099-01-01"},
            "evidence": first.evidence.model_copy(update={"generated": searched()}),
        }
    )
    subject = record.subject.model_copy(update={"objective": "x"})
    hypotheses = tuple(map(with_one_other_replacement, (first, *rest)))
    return record.model_copy(update={"hypotheses": hypotheses, "subject": subject})


def with_one_other_replacement(hypothesis: HypothesisRecord) -> HypothesisRecord:
    """Leave one, for views refuse two of one name."""
    evidence = hypothesis.evidence
    one = evidence.model_copy(update={"alongside": evidence.alongside[:1]})
    return hypothesis.model_copy(update={"evidence": one})


def comparison(supply: Callable[[], str]) -> Comparison:
    kinds = tuple(ChangeKind)
    change = Change(kind=kinds[0], hypothesis="x", file="x", line=3, message="x")
    told = Comparison(
        old="x",
        new="x",
        compared=2,
        changes=tuple(change.model_copy(update={"kind": kind}) for kind in kinds),
    )
    found = filled(told, supply)
    errors = tuple(one.model_copy(update={"severity": "error"}) for one in found.changes)
    return found.model_copy(update={"changes": errors})


def views(record: AuditRecord, told: Comparison) -> dict[str, str]:
    notices = [record.subject.pm]
    checks = [(one, result) for one in record.hypotheses for result in one.checks]
    properties = [
        pair
        for one, result in checks
        for pair in junit.properties(one, result, result_sha256=one.digest)
    ]
    failures = [
        terminal.failure(one, result, place=f"{one.file}:{one.line}", command=one.name)
        for one, result in checks
    ]
    return {
        "terminal": terminal.summary(record, notices=notices),
        "terminal -v": terminal.summary(record, every_feature=True, notices=notices),
        "failures": "\n".join(failures),
        "comparison": "\n".join(changes.terminal_lines(told)),
        "markdown": markdown.render(record, notices=notices),
        "markdown of a comparison": changes.markdown_page(told),
        "html": html.render(record, notices=notices),
        "html of a comparison": html.render_comparison(told),
        "csv": csv.text(tables.frame(record)),
        "csv of features": csv.text(tables.features_frame(record)),
        "csv of rewards": csv.text(tables.rewards_frame(record)),
        "junit": "\n".join(f"{name}={value}" for name, value in properties),
        "junit suite": "\n".join(junit.suite_name(n, dict(properties)) for n, _ in properties),
        "json": json_document(record.model_dump(mode="json")),
    }


def supply_from(texts: list[str]) -> Callable[[], str]:
    return itertools.cycle(texts).__next__


@pytest.fixture(scope="module")
def poisoned(record):
    def make(texts: list[str]) -> tuple[AuditRecord, Comparison]:
        supply = supply_from(texts)
        return filled(with_every_field(record), supply), comparison(supply)

    return make


def generated(count: int) -> list[str]:
    """Return completions that programs of edits with hostile phrases have made."""
    phrases = [one for one in FRAGMENTS if one.strip()]
    kinds = [kind() for kind in strategies.KINDS.values()]
    some = strategies.programs(strategies.insertions(phrases), *kinds, at_most=3)
    found: list[str] = []

    @settings(max_examples=count, database=None, derandomize=True, phases=[Phase.generate])
    @given(some)
    def collect(program):
        found.append(program.apply(f" Ask {FRAGMENTS[len(found) % len(FRAGMENTS)]} at the mill"))
        found.append(str(program))

    collect()
    return found


def test_no_generated_completion_reaches_a_sink_raw(poisoned):
    texts = generated(80)
    assert len(set(texts)) > 100
    for name, view in views(*poisoned(texts)).items():
        assert raw(view, allowed="\n") == [], name
        assert commands(view) == [], name


@pytest.mark.parametrize("start", range(0, 1000, 125))
def test_no_field_of_a_record_reaches_a_sink_raw(poisoned, start):
    texts = COMPLETIONS[start : start + 125]
    for name, text in views(*poisoned(texts)).items():
        assert raw(text, allowed="\n") == [], name
        assert commands(text) == [], name


@pytest.mark.parametrize(
    "text",
    ["::error::x", "##[error]x", "\x1b[31mred", "a\n::error::x", "\u202eevil", "\r::error::x"],
    ids=ascii,
)
def test_one_hostile_text_in_every_field(poisoned, text):
    for name, shown in views(*poisoned([text])).items():
        assert raw(shown, allowed="\n") == [], name
        assert commands(shown) == [], name


def test_every_text_field_was_replaced(record):
    texts: list[str] = []

    def collect() -> str:
        texts.append("x")
        return "<replaced>"

    found = filled(with_every_field(record), collect)
    fields = "replacement|special|objective|reason|name|claim|pm|file|source|title"
    sources = "|".join(LabelSource)
    left = rf'"({fields})":"(?!<replaced>|({sources})")[^"]*"'
    assert re.findall(left, found.model_dump_json()) == []
    assert len(texts) > 500


def test_annotations_are_one_command_each(poisoned):
    for start in range(0, 1000, 250):
        record, told = poisoned(COMPLETIONS[start : start + 250])
        for line in github.commands(record, told):
            assert len(re.split(r"\r\n|\r|\n", line)) == 1
            assert raw(line) == []
            assert line.startswith(("::error ", "::warning ", "::notice "))
            properties = line[2:].split("::")[0].split(" ", 1)[1].split(",")
            names = {one.split("=")[0] for one in properties}
            assert names <= {"file", "line", "title", "endLine"}


class ActiveElements(HTMLParser):
    """What a page is made of that could load, run or restyle something."""

    def __init__(self, page: str):
        super().__init__()
        self.counts: dict[str, int] = {}
        self.active: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "style", "img", "iframe", "object", "link", "meta", "form", "base"):
            self.counts[tag] = self.counts.get(tag, 0) + 1
        self.active += [name for name, _ in attrs if name.startswith("on")]
        self.active += [
            name
            for name, value in attrs
            if name in ("src", "style", "srcset", "action")
            or (name == "href" and not value.startswith("#"))
        ]


def test_a_page_gains_no_element_from_any_field(poisoned):
    plain = ActiveElements(html.render(poisoned(["plain"])[0])).counts
    for start in range(0, 1000, 250):
        record, told = poisoned(COMPLETIONS[start : start + 250])
        for page in (html.render(record), html.render_comparison(told)):
            found = ActiveElements(page)
            assert found.active == []
            assert found.counts == plain


def outside_code(line: str) -> str:
    """Return a line without its code spans, as a reader of Markdown finds them."""
    kept, at = "", 0
    while at < len(line):
        run = re.match(r"`*", line[at:]).group()
        closing = re.search(rf"(?<!`){run}(?!`)", line[at + len(run) :]) if run else None
        if line[at] == "\\":
            at += 2
        elif closing:
            at += len(run) + closing.end()
        else:
            kept += line[at]
            at += 1
    return kept


def test_markdown_gains_no_markup_from_any_field(poisoned):
    for start in range(0, 1000, 250):
        record, told = poisoned(COMPLETIONS[start : start + 250])
        for page in (markdown.render(record), changes.markdown_page(told)):
            outside = "\n".join(outside_code(line) for line in page.split("\n"))
            assert set(re.findall(r"<(\w+)", outside)) <= {"br"}
            assert "http://" not in outside
            assert "@someone" not in outside
            for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
                rows = table.strip().split("\n")
                assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
