"""YAML as data only: core scalars of YAML 1.2, without tags, references or merges.

The file is read event by event, and its depth and size are limited before anything is built.
Anchors, aliases, merge keys, tags and repeated keys are refused with their place.  A parser of
events constructs no objects from tags and expands no references, so YAML bombs do nothing.
Faults that leave the rest readable are all collected; a syntax error or a limit ends the reading.

ruamel.yaml 0.19 was measured against the tests and is not used.  Its loader keeps the places of
keys, but accepts anchors, aliases, merges, tags, keys that are numbers and `%YAML 1.1`; reads
`2027-01-31` as a date, `1_000` as 1000 and `0b11` as 3; stops at the first repeated key; has no
limit of depth or size (100,000 brackets end in a RecursionError); and takes 12 times the time.  All
of this could be refused only from its events, and those are the same as PyYAML's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import yaml

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.spec.nodes import Node, Path, Position
from pm_audit.spec.scalars import Value, resolve

MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_PROBLEMS = 100
"""Most faults reported for one file."""

# Line breaks of YAML 1.1 that YAML 1.2 counts as text would be folded into spaces in silence,
# so they are refused along with what YAML calls not printable.
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_ESCAPE = re.compile(r"\\(?:[nrt\"]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_REFUSED = -1
"""The step of a value under a refused key; the value is read to report its own faults."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class _EventSource(Protocol):
    def get_event(self) -> yaml.Event | None: ...


@dataclass(frozen=True, slots=True)
class Document:
    """The one document of a file, and warnings about what its author may have meant otherwise."""

    top: Node
    warnings: tuple[Problem, ...] = ()


def parse(text: str, file: str) -> Document:
    """Return the document that ``text`` holds; ``file`` is its name in messages.

    Raises:
        InvalidSpec: not YAML, more than one document, or anything that this reader refuses.

    """
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        line, column = _line_column(text, forbidden.start())
        message = (
            f"character U+{ord(forbidden[0]):04X} is not allowed in a YAML file; "
            "write it as an escape in double quotes"
        )
        raise InvalidSpec([Problem(Place(file, line, column), message)])
    return _Reader(file, _event_source(text)).document()


@dataclass
class _Reader:
    """State of one reading: the stream of events, counts and faults."""

    file: str
    events: _EventSource
    positions: dict[Path, Position] = field(default_factory=dict)
    nodes: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def document(self) -> Document:
        self._next()  # the start of the stream
        start = self._next()
        if not isinstance(start, yaml.DocumentStartEvent):
            self._stop(self._place(start), "the file is empty; write a mapping of keys and values")
        if start.tags or (start.version and tuple(start.version) != (1, 2)):
            self._fault(self._place(start), "directives are refused, all but `%YAML 1.2`")
        top = self._next()
        value = self._value(top, ())
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._fault(
                self._place(after),
                "a second document starts here; use one file for each, or a list",
            )
        if self.problems:
            raise InvalidSpec(self.problems)
        return Document(Node(value, self._place(top), self.positions), tuple(self.warnings))

    def _next(self) -> yaml.Event:
        try:
            event = self.events.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
            because = " ".join(filter(None, (error.context, error.problem)))
            self._stop(place, f"not YAML: {because}")
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            self._stop(Place(self.file), f"not YAML: {error}")
        if event is None:
            self._stop(Place(self.file), "not YAML: the file ends too early")
        return event

    def _value(self, event: yaml.Event, path: Path) -> object:
        """Return the value that ``event`` starts.  Recursion is bounded by ``MAX_DEPTH``."""
        place = self._place(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(place, f"more than {MAX_NODES:,} values in one file; split it")
        if len(path) >= MAX_DEPTH:
            self._stop(place, f"nested deeper than {MAX_DEPTH} levels; flatten it")
        self._refuse_references(event, place)
        match event:
            case yaml.ScalarEvent():
                return self._scalar(event, place)
            case yaml.SequenceStartEvent():
                items: list[object] = []
                while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                    here = self._place(event)
                    self.positions[*path, len(items)] = Position(here, here)
                    items.append(self._value(event, (*path, len(items))))
                return items
            case yaml.MappingStartEvent():
                return self._mapping(path)
        return None  # an alias, reported already: the reading goes on

    def _mapping(self, path: Path) -> dict[str, object]:
        entries: dict[str, object] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key_place, key = self._place(event), self._value(event, (*path, _REFUSED))
            first = self.positions.get((*path, key)) if isinstance(key, str) else None
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
                self._fault(key_place, "merge keys are refused; write the keys out")
            elif not isinstance(key, str):
                self._fault(key_place, "a key must be text; put it in quotes")
            elif first is not None:
                self._fault(
                    key_place,
                    f"key {_quoted(key)} appears twice, first on line {first.starts.line}; "
                    "keep one",
                )
            else:
                event = self._next()
                block = not isinstance(event, yaml.ScalarEvent)
                shown = key_place if block else self._place(event)
                self.positions[*path, key] = Position(key_place, shown)
                entries[key] = self._value(event, (*path, key))
                continue
            self._value(self._next(), (*path, _REFUSED))
        return entries

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Value:
        if not event.style or event.style == "'":
            escape = _ESCAPE.search(event.value)
            if escape:
                message = (
                    f"{escape[0]} is {len(escape[0])} characters here, not one; "
                    "escapes are read inside double quotes only"
                )
                self.warnings.append(Problem(place, message))
        if _SURROGATE.search(event.value):
            self._fault(
                place, "half of a surrogate pair is not a character; write it as \\UXXXXXXXX"
            )
            return ""
        if event.style:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self._fault(place, str(error))
            return None

    def _refuse_references(self, event: yaml.Event, place: Place) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._fault(place, "aliases (*) are refused; write the value out")
            return
        if getattr(event, "anchor", None) is not None:
            self._fault(place, "anchors (&) are refused; write the value where it is used")
        if getattr(event, "tag", None) is not None:
            self._fault(place, "tags (!) are refused; YAML here is data only")

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def _fault(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise InvalidSpec(self.problems)

    def _stop(self, place: Place, message: str) -> NoReturn:
        raise InvalidSpec([*self.problems, Problem(place, message)])


def _event_source(text: str) -> _EventSource:
    """Return libyaml's parser, twenty times faster, if PyYAML has it, else PyYAML's own."""
    return yaml.CLoader(text) if yaml.__with_libyaml__ else yaml.Loader(text)


def _line_column(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
