"""A check's result as properties of the test report, which pytest writes to JUnit XML.

xunit1 files carry them on each test case.  The xunit2 schema allows properties on the suite
only, so there each name is prefixed with the hypothesis and the check.
"""

from __future__ import annotations

from pm_audit.records import Check, CheckResult, HypothesisRecord
from pm_audit.report import feature_words, figures, findings, wording
from pm_audit.report.sanitise import xml

PREFIX = "pm_audit."

_SHARES = ("closure", "sufficiency", "transfer_closure", "stability", "collateral")


def properties(
    hypothesis: HypothesisRecord, result: CheckResult, *, result_sha256: str
) -> list[tuple[str, str]]:
    """Return name and value pairs, all of them text that XML can hold.

    The controller verifies the shared result by ``result_sha256``.
    """
    selected = findings.selected(hypothesis)
    pairs: dict[str, str] = {
        "hypothesis": hypothesis.name,
        "check": result.check.value,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "found": findings.finding(hypothesis).sentence,
        "severity": hypothesis.severity,
        "gap": figures.with_bounds(hypothesis.gap),
        "gap_sigma": figures.with_bounds(hypothesis.gap_sigma),
        "residual": figures.with_bounds(hypothesis.residual),
        **{name: figures.with_bounds(getattr(hypothesis, name)) for name in _SHARES},
        "features": " ".join(str(feature) for feature in selected),
        "labels": "; ".join(feature_words.label(feature) for feature in selected),
        **{f"search.{word}": said for word, said in wording.searched(hypothesis).items()},
        "sha256": result_sha256,
    }
    return [(PREFIX + name, xml(value)) for name, value in pairs.items()]


def identity(name: str, check: Check) -> list[tuple[str, str]]:
    """Return the properties that identify a check, judged or not."""
    pairs = {"hypothesis": name, "check": check.value}
    return [(PREFIX + key, xml(value)) for key, value in pairs.items()]


def suite_name(name: str, properties_of_case: dict[str, str]) -> str:
    """Return a property's name for the suite: ``pm_audit.urls/gap.outcome``."""
    hypothesis = properties_of_case.get(f"{PREFIX}hypothesis", "")
    check = properties_of_case.get(f"{PREFIX}check", "")
    return f"{PREFIX}{hypothesis}/{check}.{name.removeprefix(PREFIX)}"
