"""The checks, a file each: what each judges, by which policy, and how.

A built-in check is a member of ``Check`` and a module of its name here that holds its ``RULE``.
Another package adds one by an entry point of the group ``pm_audit.checks`` that names a
``CheckRule``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from pm_audit.errors import RecordError
from pm_audit.extensions import extensions, guarded
from pm_audit.judging.checks.rule import CheckRule, Question
from pm_audit.records import Check, CheckResult
from pm_audit.records.check import CHECK_GROUP
from pm_audit.spec import Expect

__all__ = ["CheckRule", "Question", "judge_all", "rule_of", "rules"]


@cache
def rules() -> Mapping[Check, CheckRule]:
    """Return the rule of every check, in the order of the reports.

    Raises:
        RecordError: a package's entry point and its rule have different names, or its rule reads
            what no hypothesis expects.

    """
    added = {rule.name: rule for rule in extensions(CHECK_GROUP, CheckRule, error=RecordError)}
    known = Check.known()
    if missing := [check for check in known if check not in (*Check, *added)]:
        raise RecordError(
            f"entry point {missing[0].value!r} of {CHECK_GROUP} names a rule of another name; "
            "fix or remove the package that offers it"
        )
    for rule in added.values():
        if unknown := sorted(set(rule.policy) - set(Expect.model_fields)):
            raise RecordError(
                f"check {rule.name!r} has a policy for {unknown[0]!r}, which no hypothesis can "
                f"expect; choose of {', '.join(Expect.model_fields)}"
            )
    return {check: _built_in(check) if check in tuple(Check) else added[check] for check in known}


def rule_of(check: Check) -> CheckRule:
    """Return the rule of one check."""
    return _built_in(check) if check in tuple(Check) else rules()[check]


def _built_in(check: Check) -> CheckRule:
    rule: CheckRule = import_module(f"{__name__}.{check}").RULE
    return rule


def judge_all(question: Question) -> tuple[CheckResult, ...]:
    """Return the result of every check.

    Raises:
        RecordError: the check of another package raises, or returns no outcome and reason.

    """
    return tuple(
        _judged(check, rule, question)
        if check in tuple(Check)
        else _judged_by_package(check, rule, question)
        for check, rule in rules().items()
    )


def _judged(check: Check, rule: CheckRule, question: Question) -> CheckResult:
    outcome, reason = rule.judge(question)
    return CheckResult(check=check, outcome=outcome, reason=reason)


def _judged_by_package(check: Check, rule: CheckRule, question: Question) -> CheckResult:
    with guarded(f"check {check.value!r} of {CHECK_GROUP}", error=RecordError):
        result = _judged(check, rule, question)
        result.reason.encode()  # a lone surrogate is not text, and no record could hold it
    return result
