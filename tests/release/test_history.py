"""Records in any order become one history: ordered, each compared, nothing compared in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as drawing
from hypothesis import strategies as st

from pm_audit.errors import InvalidSpec, RecordError
from pm_audit.judging import rejudge, settle
from pm_audit.records import AuditRecord, Role
from pm_audit.release.history import moment, read_history
from pm_audit.report.changes import ChangeKind

MONTHS = [f"2026-0{month}-01T00:00:00+00:00" for month in (1, 2, 3, 4)]


@pytest.fixture(scope="session")
def moved():
    """Return a maker of releases: the examples of one hypothesis move by a reward, judged again."""

    def move(record: AuditRecord, name: str, amount: float, **update) -> AuditRecord:
        hypotheses = []
        for one in record.hypotheses:
            if one.name == name:
                rows = tuple(
                    row.model_copy(
                        update={"reward": row.reward + amount, "ablated": row.ablated + amount}
                    )
                    if row.role is Role.EXAMPLE
                    else row
                    for row in one.evidence.rows
                )
                evidence = one.evidence.model_copy(update={"rows": rows})
                one = rejudge(one.model_copy(update={"evidence": evidence}), method=record.method)
            hypotheses.append(one)
        return record.model_copy(update={"hypotheses": settle(hypotheses)} | update).sealed()

    return move


@pytest.fixture(scope="session")
def releases(judged, moved) -> list[AuditRecord]:
    """Four releases, a month apart; ``youre-right`` grows from each to the next."""
    return [moved(judged, "youre-right", 0.5 * at, created=MONTHS[at]) for at in range(4)]


@pytest.fixture
def written(tmp_path):
    def write(*records: AuditRecord, names: str = "abcdefgh") -> list[Path]:
        paths = [tmp_path / f"{name}.json" for name in names[: len(records)]]
        for record, path in zip(records, paths, strict=True):
            record.write(path)
        return paths

    return write


def days(history) -> list[str]:
    return [release.day for release in history.releases]


def test_the_order_of_the_files_does_not_matter(releases, written):
    paths = written(*releases, names="dbca")
    whole = read_history(paths)
    assert days(whole) == ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]
    assert read_history(paths[::-1]) == whole
    grown = next(one for one in whole.series if one.name == "youre-right")
    gaps = [point.gap.value for point in grown.points]
    assert gaps == sorted(gaps)
    assert grown.joined == (False, True, True, True)
    assert [release.step.regressions > 0 for release in whole.releases[1:]] == [True] * 3
    others = [
        c for r in whole.releases[1:] for c in r.step.changes if c.hypothesis != "youre-right"
    ]
    assert others == []


@drawing(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.datetimes(min_value=moment("2020-01-01T00:00:00").replace(tzinfo=None)),
            st.sampled_from(["", "+00:00", "Z", "+05:30", "-08:00"]),
        ),
        min_size=2,
        max_size=8,
    )
)
def test_moments_are_in_order_whatever_their_zone(stamps):
    from datetime import UTC, datetime, timedelta, timezone

    zones = {"": UTC, "+00:00": UTC, "Z": UTC}
    zones |= {"+05:30": timezone(timedelta(hours=5.5)), "-08:00": timezone(-timedelta(hours=8))}
    expected = [stamp.replace(tzinfo=zones[zone]) for stamp, zone in stamps]
    found = [moment(f"{stamp.isoformat()}{zone}") for stamp, zone in stamps]
    assert found == expected
    assert sorted(found) == sorted(expected)
    assert all(isinstance(one, datetime) and one.tzinfo for one in found)


def test_records_of_one_moment_have_one_order(releases, written):
    at_once = releases[1].model_copy(update={"created": MONTHS[0]}).sealed()
    first = read_history(written(releases[0], at_once, names="ab"))
    second = read_history(written(releases[0], at_once, names="ba"))
    digests = [[release.digest for release in found.releases] for found in (first, second)]
    assert digests[0] == digests[1] == sorted(digests[0])


@drawing(max_examples=4)
@given(order=st.permutations(range(4)), twice=st.lists(st.integers(0, 3), max_size=3))
def test_any_shuffle_with_repeats_is_the_same_history(order, twice, releases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shuffled")
    paths = [folder / f"{at}.json" for at in range(4)]
    for at, path in enumerate(paths):
        releases[at].write(path)
    found = read_history([paths[at] for at in (*order, *twice)])
    assert days(found) == ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]
    assert all(release.copies == () for release in found.releases)


def test_days_are_of_one_zone(releases, written):
    zones = "2026-11-28T01:00:00+00:00", "2026-11-27T23:30:00-05:00"
    paths = written(*(releases[0].model_copy(update={"created": one}).sealed() for one in zones))
    found = read_history(paths)
    assert [one.created[:16] for one in found.releases] == ["2026-11-28T01:00", "2026-11-28T04:30"]
    assert found.lead.endswith(", 2026-11-28")


@pytest.mark.parametrize(
    "created", ["", "yesterday", "2026-01-01", "20260101T000000", "2026-13-01T00:00"]
)
def test_a_record_without_a_time_is_set_aside(releases, written, created):
    timeless = releases[1].model_copy(update={"created": created}).sealed()
    found = read_history(written(releases[0], timeless))
    assert len(found.releases) == 1
    assert found.set_aside[0].reason.startswith("cannot be put in order")


def test_a_copy_is_named_and_counted_once(releases, written, tmp_path):
    paths = written(releases[0], releases[1], releases[0])
    (tmp_path / "c.notes.yaml").write_text("- {note: seen, author: Ada, day: 2026-01-02}\n")
    (tmp_path / "a.notes.yaml").write_text(
        "- {note: seen, author: Ada, day: 2026-01-02}\n"
        "- {hypothesis: urls, note: why, author: Ada, day: 2026-01-02}\n"
    )
    first, second = read_history(paths).releases
    assert first.copies == (str(paths[2]),)
    assert second.copies == ()
    assert [note.note for note in first.notes] == ["seen"]
    assert [note.note for note in first.points["urls"].notes] == ["why"]


def test_one_file_under_two_names_counts_once(releases, written, tmp_path):
    (path,) = written(releases[0], names="z")
    (tmp_path / "z.notes.yaml").write_text("- {note: seen, author: Ada, day: 2026-01-02}\n")
    link = tmp_path / "latest.json"
    link.symlink_to(path)
    (tmp_path / "b").mkdir()
    (release,) = read_history([path, link, tmp_path / "b" / ".." / "z.json"]).releases
    assert {release.file, *release.copies} == {str(tmp_path / "b/../z.json"), str(link)}
    assert [note.note for note in release.notes] == ["seen"]


def test_what_is_no_release_is_set_aside_with_its_reason(releases, written, tmp_path):
    partial = releases[1].model_copy(update={"complete": False}).sealed()
    doctored = releases[2].model_copy(update={"created": "2026-05-01T00:00:00+00:00"})
    older = releases[3].model_copy(update={"schema_version": 2})
    paths = written(releases[0], partial, doctored, older)
    (tmp_path / "scan.json").write_text('{"schema_version": 1, "subject": {}}')
    (tmp_path / "torn.json").write_text("{")
    found = read_history([*paths, tmp_path / "scan.json", tmp_path / "torn.json"])
    assert len(found.releases) == 1
    reasons = {Path(one.file).name: one.reason for one in found.set_aside}
    assert reasons.keys() == {"b.json", "c.json", "d.json", "scan.json", "torn.json"}
    assert "is partial" in reasons["b.json"]
    assert "was changed after the record was written" in reasons["c.json"]
    assert "schema_version is 2" in reasons["d.json"]
    assert "record of a scan, a repair" in reasons["scan.json"]
    assert "cannot be read as a record" in reasons["torn.json"]


def test_nothing_to_show_is_one_error_with_every_reason(releases, written, tmp_path):
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(RecordError, match=r"no file holds a release:\n.*torn\.json: cannot"):
        read_history([tmp_path / "torn.json"])
    with pytest.raises(RecordError, match=r"x\.json, .*y\.json: no such record"):
        read_history([tmp_path / "x.json", tmp_path / "y.json", tmp_path / "torn.json"])
    (path,) = written(releases[0])
    path.with_name("a.notes.yaml").write_text(
        "- {hypothesis: no, note: a, author: b, day: 2026-01-01}"
    )
    with pytest.raises(InvalidSpec, match=r"a\.notes\.yaml:1:16: the record holds no hypothesis"):
        read_history([path])


def test_a_weaker_method_joins_nothing(releases, written):
    weaker = releases[1].model_copy(
        update={"method": releases[1].method.model_copy(update={"seed": 7})}
    )
    settled = settle([rejudge(one, method=weaker.method) for one in weaker.hypotheses])
    weaker = weaker.model_copy(update={"hypotheses": settled}).sealed()
    found = read_history(written(releases[0], weaker, releases[2]))
    for release in found.releases[1:]:
        assert "a seed can be chosen until the checks pass" in release.step.breaks[0]
        assert "--pm-audit-update-baseline" not in release.step.breaks[0]
        assert release.step.changes == ()
    assert all(one.joined == (False, False, False) for one in found.series)


def test_another_body_joins_nothing_and_another_name_is_said(releases, written):
    other = releases[1].subject.model_copy(update={"layers": 99, "tokenizer_sha256": "f" * 64})
    renamed = releases[2].subject.model_copy(update={"pm": "release-2", "pm_sha256": "e" * 64})
    found = read_history(
        written(
            releases[0],
            releases[1].model_copy(update={"subject": other}).sealed(),
            releases[0].model_copy(update={"created": "2026-03-01T00:00:00Z"}).sealed(),
            releases[3].model_copy(update={"subject": renamed}).sealed(),
        )
    )
    away, back, named = (release.step for release in found.releases[1:])
    was = releases[0].subject
    assert f"another body: layers from {was.layers} to 99" in away.breaks
    assert f"another body: layers from 99 to {was.layers}" in back.breaks
    assert named.breaks == ()
    assert named.remarks == ("PM from default to release-2",)
    assert named.regressions > 0
    assert found.lead == "4 releases of default and release-2, 2026-01-01 to 2026-04-01"


def test_a_hypothesis_that_is_missing_once_is_joined_to_neither_side(releases, written):
    fewer = releases[1].model_copy(
        update={
            "hypotheses": settle(releases[1].hypotheses[1:]),
            "manifest": releases[1].manifest[1:],
        }
    )
    found = read_history(written(releases[0], fewer.sealed(), releases[2], releases[3]))
    name = releases[0].hypotheses[0].name
    series = {one.name: one for one in found.series}
    assert [point is None for point in series[name].points] == [False, True, False, False]
    assert series[name].joined == (False, False, False, True)
    assert ChangeKind.HYPOTHESIS_GONE in {c.kind for c in found.releases[1].step.changes}
    assert ChangeKind.NO_BASELINE in {c.kind for c in found.releases[2].step.changes}
    gone = read_history(written(releases[0], fewer.sealed()))
    assert gone.series[-1].name == name
    assert gone.series[-1].gone


def test_other_texts_of_a_hypothesis_interrupt_its_line_alone(releases, written, edited):
    one = releases[1].hypotheses[0]
    evidence = one.evidence.model_copy(
        update={"prompts": tuple(f"{text} Really?" for text in one.evidence.prompts)}
    )
    other = edited(releases[1], one.name, evidence=evidence)
    settled = settle([rejudge(each, method=other.method) for each in other.hypotheses])
    found = read_history(
        written(releases[0], other.model_copy(update={"hypotheses": settled}).sealed())
    )
    joined = {series.name: series.joined[1] for series in found.series}
    assert joined.pop(one.name) is False
    assert all(joined.values())
    assert "the texts are not the baseline's" in found.releases[1].step.why_apart(one.name)
