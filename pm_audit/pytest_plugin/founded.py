"""Whether a run's record agrees with its own evidence and with the files of its hypotheses.

A plug-in may bring the auditor, and may change what it returns.  A run with an outcome that is
better than its evidence, or with a severity that the file does not hold, does not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pm_audit.judging import rejudge, settle
from pm_audit.records import AuditRecord, HypothesisRecord
from pm_audit.spec import Hypothesis

_SHOWN = 3


def unfounded(record: AuditRecord, hypotheses: Sequence[Hypothesis]) -> tuple[str, ...]:
    """Return what of a record nothing supports, one sentence each.

    Raises:
        AuditError: the record cannot be judged again.

    """
    written = {hypothesis.full_name: hypothesis for hypothesis in hypotheses}
    again = settle([rejudge(one, method=record.method) for one in record.hypotheses])
    found = [
        sentence
        for one, judged_again in zip(record.hypotheses, again, strict=True)
        for sentence in (*_policy(one, written[one.name]), *_outcomes(one, judged_again))
    ]
    more = [f"and {len(found) - _SHOWN} more of this kind"] if len(found) > _SHOWN else []
    return (*found[:_SHOWN], *more)


def _policy(one: HypothesisRecord, hypothesis: Hypothesis) -> Iterator[str]:
    bias = hypothesis.known_bias
    written = {
        "severity": hypothesis.severity.value,
        "known_bias": None if bias is None else bias.model_dump(mode="json"),
    }
    for name, value in written.items():
        if getattr(one, name) != value:
            yield f"{one.name}: its auditor returned a {name} that the file does not hold"


def _outcomes(one: HypothesisRecord, judged_again: HypothesisRecord) -> Iterator[str]:
    found = judged_again.outcomes
    for result in one.checks:
        if found[result.check].worse_than(result.outcome):
            yield (
                f"{one.name}/{result.check}: its auditor returned {result.outcome}, its evidence "
                f"gives {found[result.check]}"
            )
