"""Reports of a torn record: the product's own error, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from pm_audit.errors import AuditError, RecordError
from pm_audit.records import AuditRecord
from pm_audit.report import html, markdown, tables, terminal
from pm_audit.report.formats import csv

VIEWS = {
    "html": html.render,
    "markdown": markdown.render,
    "terminal": lambda record: terminal.summary(record, every_feature=True),
    "hypotheses": lambda record: csv.text(tables.frame(record)),
    "features": lambda record: csv.text(tables.features_frame(record)),
    "rewards": lambda record: csv.text(tables.rewards_frame(record)),
}
NUMBERS = (0, -1, 1, 7, 1e308, -1e308, 5e-324, 1e15, -3.5, 10**9)


def places(node: object, place: tuple = ()) -> Iterator[tuple]:
    if isinstance(node, dict | list):
        if isinstance(node, list):
            yield place
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in pairs:
            yield from places(inner, (*place, key))
    else:
        yield place


def mutated(value: object, drawn: random.Random) -> object:
    match value:
        case list():
            return drawn.choice([[], value[:-1], value[1:], value + value])
        case bool():
            return not value
        case float():
            return drawn.choice(NUMBERS)
        case int():
            return drawn.choice((0, -1, 3, 7, 10**9))
        case str():
            return drawn.choice(("", "x" * 3000, "pass"))
        case _:
            return drawn.choice((None, 1.0, "x"))


@pytest.fixture(scope="module")
def written(record) -> dict:
    """One hypothesis as JSON, with features, baselines and placebos."""
    return json.loads(record.model_copy(update={"hypotheses": record.hypotheses[:1]})
                      .model_dump_json())  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_record_is_shown_or_refused(written, seed):
    drawn = random.Random(seed)
    by_kind: dict[tuple, list[tuple]] = {}
    for place in places(written):
        kind = tuple(key if isinstance(key, str) else 0 for key in place)
        by_kind.setdefault(kind, []).append(place)
    kinds = list(by_kind)
    shown = 0
    for _ in range(60):
        data = copy.deepcopy(written)
        *path, last = drawn.choice(by_kind[drawn.choice(kinds)])
        node = data
        for key in path:
            node = node[key]
        node[last] = mutated(node[last], drawn)
        try:
            torn = AuditRecord.model_validate(data)
        except (ValidationError, AuditError):
            continue
        for view in VIEWS.values():
            with contextlib.suppress(AuditError):
                shown += bool(view(torn))
    assert shown > 100


def torn(record, **changes) -> AuditRecord:
    first, *rest = record.hypotheses
    evidence = first.evidence.model_copy(update=changes)
    first = first.model_copy(update={"evidence": evidence})
    return record.model_copy(update={"hypotheses": (first, *rest)})


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_verify_refuses_no_view_shows(record, view):
    rows = record.hypotheses[0].evidence.rows
    outside = rows[0].model_copy(update={"prompt": 99})
    for changes, reason in (
        ({"rows": rows[:3]}, "the record is torn"),
        ({"rows": (outside, *rows[1:])}, "names prompt 99"),
        ({"sigma": 0.0}, "sigma is 0"),
        ({"prompts": ()}, "holds no prompt"),
    ):
        with pytest.raises(RecordError, match=reason) as refused:
            view(torn(record, **changes))
        assert str(refused.value).startswith("hypotheses/i_dont_know.yaml:2: i-dont-know: ")


def test_a_number_that_no_audit_writes_is_named(record):
    first = record.hypotheses[0]
    huge = first.gap.model_copy(update={"value": 1e300})
    changed = record.model_copy(update={"hypotheses": (first.model_copy(update={"gap": huge}),)})
    with pytest.raises(RecordError, match=r"value is 1e\+300, which no audit writes"):
        html.render(changed)
