"""The history as a page: safe, self-contained, small, and every figure is the record's."""

from __future__ import annotations

import re

from pm_audit.report.html import history
from pm_audit.report.over_time.history import SetAside
from pm_audit.report.over_time.notes import Note

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></script><svg onload=alert(1)>",
    "\x1b[31m ::error::x ##[error]y",
    "{{ 7 * 7 }}",
    "\u202eevil",
]


def test_twenty_releases_of_the_shipped_hypotheses_stay_below_a_megabyte(twenty_releases):
    assert len(twenty_releases.releases) == 20
    assert len(twenty_releases.series) >= 15
    page = history.render(twenty_releases)
    assert len(page.encode()) < 1_000_000
    assert page.count("<details") == len(twenty_releases.series)


def test_every_figure_of_every_release_stands_on_the_page(record, shifted, history_of):
    records = [
        shifted(record, "urls", -0.4 * at, created=f"2026-0{at + 1}-01T00:00:00Z")
        for at in range(3)
    ]
    found = history_of(records)
    page = history.render(found)
    urls = page.partition('id="h-urls"')[2].partition("</details>")[0]
    for each in records:
        gap = next(h for h in each.hypotheses if h.name == "urls").gap_sigma
        assert f"{gap.value:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]" in urls
    assert urls.count('class="curve"') == 6, "two steps of gap, residual and plot"
    assert urls.count("gap grown") == 2
    assert "as before" in urls
    assert "2 regressions" not in page
    assert "1 regression at the latest release" in page


def test_where_nothing_can_be_compared_nothing_is_joined(record, shifted, history_of):
    other = record.subject.model_copy(update={"layers": 3})
    moved = shifted(record, "urls", -2.0, subject=other)
    page = history.render(history_of([record, moved]))
    assert page.count('class="curve"') == 1, "of the legend"
    assert page.count('class="apart"') == 1 + 3 * 5
    assert "The latest release cannot be compared with the one before" in page
    assert "another body: layers from" in page
    assert "gap grown" not in page


def test_a_single_release_has_no_step(record, history_of):
    page = history.render(history_of([record]))
    assert "the first" in page
    assert 'class="banner' not in page


def test_hostile_texts_are_text(record, history_of):
    def hostile(text: str):
        hypotheses = tuple(
            one.model_copy(
                update={
                    "claim": text,
                    "file": text,
                    "features": tuple(
                        f.model_copy(update={"label": f.label.model_copy(update={"text": text})})
                        if f.label
                        else f
                        for f in one.features
                    ),
                }
            )
            for one in record.hypotheses
        )
        subject = record.subject.model_copy(update={"pm": text})
        return record.model_copy(update={"hypotheses": hypotheses, "subject": subject})

    plain = history.render(
        history_of(
            [record, hostile("x")],
            [Note(note="x", author="x", day="2026-01-01")],
            [SetAside(file="x", reason="x")],
        )
    )
    for text in HOSTILE:
        note = Note(note=text, author=text, day="2026-01-01")
        found = history_of([record, hostile(text)], [note], [SetAside(file=text, reason=text)])
        page = history.render(found)
        for tag in ("<script", "<img", "<svg", "<style", "<details", "<a "):
            assert page.count(tag) == plain.count(tag), (text, tag)
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "##[" not in page
        assert "::error" not in page
        assert not re.search(r"<[^>]*\son\w+=", page)


def test_links_lead_to_the_releases_own_pages(record, history_of):
    found = history_of([record])
    (release,) = found.releases
    assert 'href="releases/' not in history.render(found)
    page = history.render(found, {release.digest: f"releases/{release.page}"})
    assert page.count(f'href="releases/{release.page}"') == 1 + len(found.series)
    assert re.fullmatch(r"2026-01-02-[0-9a-f]{12}\.html", release.page)
