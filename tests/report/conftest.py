"""The stored record that every view is tested on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pm_audit.records import AuditRecord, BreakingEdit, GeneratedEvidence
from pm_audit.report import findings


@pytest.fixture(scope="session")
def record(stored_record_path) -> AuditRecord:
    return AuditRecord.read(stored_record_path)


@pytest.fixture(scope="session")
def twenty(record) -> AuditRecord:
    """Twenty hypotheses with as many features each as a real audit has."""
    hypotheses = []
    for number in range(20):
        like = record.hypotheses[number % 5]
        features = tuple(
            feature.model_copy(update={"index": 5 * copy + place})
            for copy in range(4)
            for place, feature in enumerate(like.features)
        )
        hypotheses.append(
            like.model_copy(update={"name": f"hypothesis-{number}", "features": features})
        )
    return record.model_copy(update={"hypotheses": tuple(hypotheses)})


@pytest.fixture(scope="session")
def shipped_twenty() -> AuditRecord:
    """The shipped audit's own record, drawn out to twenty hypotheses."""
    shipped = AuditRecord.read(Path(__file__).parents[2] / "reports" / "baseline.json")
    names = itertools.count()
    hypotheses = tuple(
        one.model_copy(update={"name": f"{one.name}-{next(names)}"})
        for one in itertools.islice(itertools.cycle(findings.by_size(shipped)), 20)
    )
    return shipped.model_copy(update={"hypotheses": hypotheses})


def searched(**changes) -> GeneratedEvidence:
    """Return what a search over edits found."""
    found = GeneratedEvidence(
        seed=0,
        drawn=100,
        distinct=98,
        too_small=1,
        refused=0,
        breaking=3,
        others=(BreakingEdit(edit="write \u201c?\u201d behind word 2", gap_sigma=-1.5),),
        steps=4,
        prompts=tuple(map(str, range(8))),
        unchanged=0,
        broke=True,
        replayed=False,
        gap_sigma=1.0,
        edit="write \u201c!\u201d behind word 1",
        program={"edits": [{"kind": "attach", "text": "!", "word": 0}]},
        base=" Paris is.",
        edited=" Paris! is.",
        engine="6.100.0",
    )
    return found.model_copy(update=changes)


@pytest.fixture
def with_texts(record):
    """Return a maker of records whose completions, firings and labels are the given texts."""

    def make(texts: list[str]) -> AuditRecord:
        supply = itertools.cycle(texts)
        hypotheses = []
        for hypothesis in record.hypotheses:
            rows = tuple(
                row.model_copy(update={"text": next(supply)}) for row in hypothesis.evidence.rows
            )
            features = tuple(
                feature.model_copy(
                    update={
                        "firings": tuple(
                            firing.model_copy(
                                update={"before": next(supply), "token": next(supply)}
                            )
                            for firing in feature.firings
                        ),
                        "label": feature.label
                        and feature.label.model_copy(update={"text": next(supply)}),
                        "promotes": tuple(next(supply) for _ in feature.promotes),
                    }
                )
                for feature in hypothesis.features
            )
            generated = searched(edit=next(supply), base=next(supply), edited=next(supply))
            evidence = hypothesis.evidence.model_copy(update={"rows": rows, "generated": generated})
            hypotheses.append(
                hypothesis.model_copy(
                    update={
                        "evidence": evidence,
                        "features": features,
                        "claim": next(supply),
                        "warnings": (next(supply),),
                    }
                )
            )
        return record.model_copy(update={"hypotheses": tuple(hypotheses)})

    return make
