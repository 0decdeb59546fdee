"""A pull request's comment: what is worse first, short, and no text of a record is markup."""

from __future__ import annotations

import re

import pytest

from pm_audit.records import AuditRecord, Check, CheckResult, Outcome
from pm_audit.release import compare
from pm_audit.report.over_time.comment import MOST_LINES, comment
from pm_audit.report.over_time.notes import Note

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "| a | b |",
    "`` ` ``",
    "@someone #1 http://x.com",
    "a\n# heading\n::error::x ##[error]y",
    "\x1b[31m\u202e{0}{}",
    "x" * 100_000,
]


def lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def crowd(record: AuditRecord, count: int) -> AuditRecord:
    """Return a record of as many hypotheses as named, each like one of its own."""
    hypotheses = tuple(
        record.hypotheses[at % 5].model_copy(update={"name": f"hypothesis-{at}"})
        for at in range(count)
    )
    manifest = tuple(
        record.manifest[at % 5].model_copy(update={"name": f"hypothesis-{at}"})
        for at in range(count)
    )
    return record.model_copy(update={"hypotheses": hypotheses, "manifest": manifest})


def gap_of(record: AuditRecord, name: str, amount: float) -> AuditRecord:
    def moved(one):
        rows = tuple(
            row.model_copy(update={"reward": row.reward + amount})
            if row.role.value == "example"
            else row
            for row in one.evidence.rows
        )
        gap = one.gap_sigma
        ends = {end: getattr(gap, end) + amount / one.evidence.sigma for end in ("low", "high")}
        shifted = gap.model_copy(update={"value": gap.value + amount / one.evidence.sigma} | ends)
        evidence = one.evidence.model_copy(update={"rows": rows, "transfer": ()})
        return one.model_copy(update={"evidence": evidence, "gap_sigma": shifted})

    hypotheses = tuple(moved(h) if h.name == name else h for h in record.hypotheses)
    return record.model_copy(update={"hypotheses": hypotheses})


def test_a_planted_regression_is_named_in_the_first_ten_lines(record, regressed, comment_on):
    text = comment_on(record, regressed(record, "urls"))
    first = "\n".join(lines(text)[:10])
    urls = record.hypotheses[1]
    assert "REGRESSED: 1 regression" in lines(text)[0]
    assert "**urls**" in first
    assert "“sorry” \\(resid\\_6/4242\\) became causal" in first
    assert "`“sorry” (resid_6/4242)` -0.562 sigma (was none)" in first
    assert f"`{urls.file}:{urls.line_of('expect.closure')}`" in first


def test_a_gap_that_grew_names_the_features_that_carry_it(record, comment_on):
    text = comment_on(record, gap_of(record, "urls", -1.5))
    (bullet,) = (line for line in lines(text)[:10] if line.startswith("* "))
    urls = record.hypotheses[1]
    assert f"**urls** `{urls.file}:{urls.line_of('expect.gap')}`: gap grown: from " in bullet
    assert re.search(r"Carried by `.*\(resid_6/812\)` -0\.\d+ sigma \(was -0\.\d+ sigma\)", bullet)


def test_it_is_found_among_many_and_the_comment_stays_short(record, regressed, comment_on):
    old = crowd(record, 100)
    new = gap_of(old, "hypothesis-1", -1.5)
    for at in range(2, 40):
        new = gap_of(new, f"hypothesis-{at}", 2.0 if at % 2 else -2.0)
    for at in range(60, 80, 5):  # answers to a claim of no gap, where a smaller gap is better
        new = gap_of(new, f"hypothesis-{at + 2}", -0.5)
    new = regressed(new, "hypothesis-91")
    new = gap_of(new, "hypothesis-91", -2.0)
    weaker = new.model_copy(update={"method": new.method.model_copy(update={"seed": 9})})
    notes = [
        Note(note=f"note {at}", author="Ada", day=f"2026-01-{at:02}", hypothesis=None)
        for at in range(1, 20)
    ]
    reasons = [
        "worse than the baseline",
        f"not passed: {', '.join(f'h-{n}/gap' for n in range(99))}",
    ]
    text = comment_on(old, weaker, notes=notes, reasons=reasons)
    assert len(lines(text)) <= MOST_LINES
    first = "\n".join(lines(text)[:10])
    assert "**hypothesis-91** `hypotheses/" in first, "most regressions come first"
    assert "(resid_6/4242)`" in first
    assert "The run does not pass: not passed: h-0/gap" in first
    for title in ("Worse", "Better", "Also", "Reviewer's notes"):
        assert f"**{title}**" in text
    assert "method weakened: seed from 0 to 9" in text
    worse = {one.hypothesis for one in compare(old, weaker).changes if one.regression}
    assert len(worse) == 26
    assert "and 16 more" in text.partition("**Better**")[0]
    assert "note 19" in text, "the newest notes"
    assert "note 2 " not in text


def test_a_smaller_gap_is_better_only_where_none_is_expected(record, comment_on):
    smaller = gap_of(gap_of(record, "youre-right", -0.5), "urls", 0.5)
    text = comment_on(record, smaller)
    better, also = text.partition("**Better**")[2].partition("**Also**")[::2]
    assert "**youre-right**" in better.partition("| hypothesis")[0]
    assert "**urls**" in also
    assert "**Worse**" not in text
    assert "no regression" in lines(text)[0]


def test_the_table_holds_what_moved_largest_first(record, comment_on):
    text = comment_on(record, gap_of(gap_of(record, "urls", -0.4), "length", 1.6))
    rows = re.findall(r"^\| ([\w-]+) \| (\S+) \| (\S+) \|", text, flags=re.MULTILINE)
    assert [row[0] for row in rows[1:]] == ["length", "urls"]
    assert [row[2] for row in rows[1:]] == ["+1.00", "-0.25"]


def test_an_outcome_that_changed_stands_in_the_table(record, comment_on):
    urls = record.hypotheses[1]
    checks = tuple(
        CheckResult(check=one.check, outcome=Outcome.PASS, reason="closed")
        if one.check is Check.EXPLAINED
        else one
        for one in urls.checks
    )
    better = urls.model_copy(update={"checks": checks})
    hypotheses = tuple(better if h is urls else h for h in record.hypotheses)
    text = comment_on(record, record.model_copy(update={"hypotheses": hypotheses}))
    assert "explained fail to pass" in text
    assert "check better: explained: fail to pass: closed" in text.partition("**Better**")[2]


def test_without_a_baseline_it_says_what_is_not_passed(record):
    text = comment(record, reasons=["not passed: urls/explained, youre-right/gap"])
    assert lines(text)[0].startswith("## pm\\_audit: does not pass: not passed: urls/explained")
    urls = record.hypotheses[1]
    place = f"`{urls.file}:{urls.line_of('expect.closure')}`"
    (bullet,) = (line for line in lines(text) if line.startswith("* **urls**"))
    assert f"**urls** {place}: explained: fail: " in bullet
    assert "(resid_6/812)` " in bullet
    assert lines(comment(record))[0] == "## pm\\_audit: passes"


def test_a_run_that_judged_nothing_says_why():
    assert comment(None, reasons=["no check was judged"]) == (
        "## pm\\_audit: does not pass: no check was judged\n"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_hostile_text_becomes_markup(record, regressed, comment_on, text):
    planted = regressed(record, "urls", label=text[:150] if len(text) > 150 else text)
    hypotheses = tuple(
        one.model_copy(
            update={
                "claim": text,
                "file": text,
                "checks": tuple(c.model_copy(update={"reason": text}) for c in one.checks),
            }
        )
        for one in planted.hypotheses
    )
    hostile = planted.model_copy(
        update={
            "hypotheses": hypotheses,
            "subject": planted.subject.model_copy(update={"pm": text}),
        }
    )
    notes = [
        Note(hypothesis="urls", note=text[:3000], author=text[:150], day="2026-01-01"),
    ]
    for found in (
        comment_on(record, hostile, notes=notes, reasons=[text]),
        comment(hostile, reasons=[text], notes=notes),
    ):
        assert len(lines(found)) <= MOST_LINES
        assert len(found) < 65_536, "GitHub takes no longer comment"
        outside = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", found.replace("\\`", ""))
        assert "<img" not in outside
        assert "@someone" not in outside
        assert "http://" not in outside
        for line in lines(found):
            assert not line.lstrip().startswith(("::", "# heading"))
            assert "##[" not in line
            assert line.isprintable()
        tables = re.findall(r"(?:^\|.*\n)+", found, flags=re.MULTILINE)
        for table in tables:
            columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().split("\n")}
            assert len(columns) == 1, table
