"""What requires less than the baseline did: looser expectations do not make a better PM."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from pm_audit.judging import read_expect, read_known_bias, rules
from pm_audit.records import AuditRecord, Check, HypothesisRecord
from pm_audit.release.texts import less_text
from pm_audit.report.changes import Change, ChangeKind
from pm_audit.spec import KnownBias, today

ACCEPT = "accept it with --pm-audit-update-baseline"


def tickets_of(record: AuditRecord) -> frozenset[str]:
    """Return every ticket under which a record accepts a failure."""
    biases = (read_known_bias(one) for one in record.hypotheses)
    return frozenset(_same(bias.ticket) for bias in biases if bias is not None)


def _same(ticket: str) -> str:
    """Return what all spellings of a ticket share: case, width and white space do not count."""
    return "".join(unicodedata.normalize("NFKC", ticket).casefold().split())


def policy_changes(
    old: HypothesisRecord, new: HypothesisRecord, *, tickets: frozenset[str]
) -> Iterator[Change]:
    """Yield what requires less than the baseline did, and a known bias that is new.

    Args:
        old: the baseline's record of the hypothesis.
        new: this run's.
        tickets: every ticket that the baseline knows.

    """
    was, now = (
        read_expect(of).model_dump(mode="json") | {"severity": of.severity} for of in (old, new)
    )
    looser = [key for key, loosens in _policy().items() if loosens(was[key], now[key])]
    if looser:
        words = ", ".join(f"{key} from {was[key]} to {now[key]}" for key in looser)
        key = looser[0] if looser[0] == "severity" else f"expect.{looser[0]}"
        yield _loosened(new, words, key)
    less = less_text(old.evidence, new.evidence)
    if less:
        yield _loosened(new, ", ".join(less), "name")
    yield from _bias(read_known_bias(old), new, tickets)


def _policy() -> dict[str, Callable[[Any, Any], bool]]:
    """Return, by part of the policy, whether the second value requires less than the first."""
    parts = {key: loosens for rule in rules().values() for key, loosens in rule.policy.items()}
    return parts | {"severity": lambda was, now: was != now == "warn"}


def newly_accepted(new: HypothesisRecord, *, tickets: frozenset[str]) -> frozenset[Check]:
    """Return the checks that a known bias covers under a ticket that the baseline does not know."""
    bias = read_known_bias(new)
    if bias is None or _same(bias.ticket) in tickets or bias.expired(today()):
        return frozenset()
    return frozenset(bias.checks)


def _bias(
    was: KnownBias | None, new: HypothesisRecord, tickets: frozenset[str]
) -> Iterator[Change]:
    now = read_known_bias(new)
    wider = "" if now is None else _wider(was, now)
    if now is None or not wider:
        return
    if _same(now.ticket) in tickets:
        words = f"{wider} under ticket {now.ticket}, which the baseline holds already"
        yield _loosened(new, words, "known_bias", remedy=f"name a new ticket, or {ACCEPT}")
        return
    message = f"{wider}: {now.reason} (ticket {now.ticket}, new since the baseline)"
    yield Change.of(new, ChangeKind.KNOWN_BIAS_ADDED, message, key="known_bias", severity="note")


def _wider(was: KnownBias | None, now: KnownBias) -> str:
    """Return what a known bias accepts that the baseline's did not; empty if it is not wider."""
    checks = ", ".join(now.checks)
    if was is None:
        return f"known bias on {checks} until {now.expires}"
    added = [check for check in now.checks if not was.covers(check)]
    if added:
        return f"known bias on {', '.join(added)} as well, until {now.expires}"
    if now.expires > was.expires:
        return f"known bias on {checks} from {was.expires} to {now.expires}"
    if _same(now.ticket) != _same(was.ticket):
        return f"known bias on {checks} until {now.expires}"
    return ""


def _loosened(new: HypothesisRecord, words: str, key: str, *, remedy: str = ACCEPT) -> Change:
    message = f"{words}; {remedy}"
    return Change.of(new, ChangeKind.POLICY_LOOSENED, message, key=key, severity="error")
