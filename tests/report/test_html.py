"""The page as text: safe, self-contained, quick.  ``test_html_browser`` opens it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
from html.parser import HTMLParser

import pytest

from pm_audit.records import (
    Check,
    Departure,
    Evidence,
    Figure,
    Role,
    RowEvidence,
    Unit,
    Unplanned,
)
from pm_audit.report import html
from pm_audit.report.html.plots import (
    baselines,
    expected_band,
    gap_plots,
    mean_over_prompts,
    prompt_gaps,
    scatter,
)
from pm_audit.report.html.scale import Scale, spanning

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onclick='alert(1)",
    "</style></script><svg onload=alert(1)>",
    "\x1b[31m ::error::x ##[error]y",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u2066",
    "&lt;b&gt;",
]


class Elements(HTMLParser):
    """Counts elements, gathers ids and the values that load or run something."""

    def __init__(self, page: str):
        super().__init__()
        self.counts: dict[str, int] = {}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.active: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name == "href":
                self.links.append(value)
            elif name.startswith("on") or name in ("src", "style", "srcset", "action"):
                self.active.append(f"{tag} {name}")


def test_hostile_texts_add_no_element_and_nothing_raw(record, with_texts):
    plain = Elements(html.render(with_texts(["plain text"] * 3)))
    page = html.render(with_texts(HOSTILE))
    hostile = Elements(page)
    for tag in plain.counts.keys() | hostile.counts.keys():
        if tag not in ("mark", "p", "bdi", "span"):  # one for each different text
            assert hostile.counts.get(tag) == plain.counts.get(tag), tag
    assert hostile.active == []
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "##[" not in page
    assert "alert(1)</script>" not in page


def test_the_policy_allows_the_pages_own_style_and_script_only(record):
    page = html.render(record)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not re.search(r'(src|srcset|href|xlink:href)="(?!#)', page)


def test_every_link_leads_to_an_element_of_the_page(record):
    found = Elements(html.render(record))
    assert len(found.ids) == len(set(found.ids))
    assert found.links
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_twenty_hypotheses_render_fast_and_small(record, twenty):
    html.render(record)
    start = time.process_time()
    page = html.render(twenty)
    assert time.process_time() - start < 2
    assert len(page.encode()) < 1.5 * 2**20


def test_a_real_audit_of_twenty_is_small_too(shipped_twenty):
    assert len(html.render(shipped_twenty).encode()) < 1.5 * 2**20


def test_the_banner_says_what_a_release_may_do(record):
    assert "2 checks would block a release" in html.render(record)
    passing = record.model_copy(update={"hypotheses": record.hypotheses[:1]})
    assert "Every check that blocks a release passed." in html.render(passing)
    partial = passing.model_copy(update={"complete": False})
    assert "This is not a release verdict" in html.render(partial)
    known = record.model_copy(update={"hypotheses": (record.hypotheses[2],)})
    assert "1 known bias stand" in html.render(known)


def test_the_banner_excuses_what_a_known_bias_in_force_covers_and_no_more(record):
    biased = record.hypotheses[2]

    def banner(**changes):
        bias = biased.known_bias | changes
        one = biased.model_copy(update={"known_bias": bias})
        return html.render(record.model_copy(update={"hypotheses": (one,)}))

    assert "1 check would block a release" in banner(expires="2020-01-01")
    assert "1 check would block a release" in banner(checks=["explained"])
    assert "checks: gap, fit.</p>" in banner(checks=["gap", "fit"])
    assert "Every check that blocks a release passed." in banner(checks=["gap", "explained"])


def test_the_gap_plot_steps_join_and_end_at_nothing(record):
    (fall,) = gap_plots(record.hypotheses[0])
    whole, *parts, error_first = fall.drawn
    assert parts[0].start == whole.end
    for left, right in itertools.pairwise(parts):
        assert left.end == right.start
    assert abs(parts[-1].end) < 1e-9
    assert error_first.start == whole.end
    part = record.hypotheses[0].decompositions[0].error_first.value
    assert error_first.start - error_first.end == pytest.approx(part / 1.6)
    assert gap_plots(record.hypotheses[3]) == ()


def test_intervals_of_completions_are_t_intervals():
    found = mean_over_prompts([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert abs(found.high - (2.0 + 4.302652729749 / 3**0.5)) < 1e-9
    assert mean_over_prompts([5.0]).low is None


def test_scales_have_round_ticks_inside():
    scale = Scale(-1.03, 0.47, 0.0, 150.0)
    assert [tick.label for tick in scale.ticks()] == ["-1.00", "-0.75", "-0.50", "-0.25", "0.00",
                                                      "0.25"]  # fmt: skip
    assert all(0 <= tick.at <= 150 for tick in scale.ticks())
    assert [t.label for t in Scale(0, 3, 0, 1).ticks(whole=True)] == ["0", "1", "2", "3"]
    flat = spanning([0.0, None], start=0.0, end=1.0)
    assert flat.low < 0 < flat.high


def test_baselines_share_axes_and_their_curves_stay_inside(record):
    plot = baselines(record.hypotheses[0])
    assert [panel.name for panel in plot.drawn] == [
        *("sae features", "neurons", "difference of means", "learned subspace")
    ]
    closures = [point.closure.value for point in plot.drawn[-1].points]
    assert closures[-1] > 1.5
    assert (plot.up.low, plot.up.high) == (0.0, 1.5)
    assert plot.up.clamped(closures[1]) == plot.up(closures[1])
    assert plot.up.clamped(closures[-1]) == plot.up(1.5)
    page = html.render(record.model_copy(update={"hypotheses": record.hypotheses[:1]}))
    drawn = re.findall(r'<svg class="plot" viewBox="0 -8 260 192".*?</svg>', page, flags=re.DOTALL)
    assert len(drawn) == 4
    assert drawn[-1].count("<circle") == 3
    for panel in drawn:
        for points in re.findall(r'points="([^"]*)"', panel):
            for x, y in (point.split(",") for point in points.split()):
                assert plot.across.start <= float(x) <= plot.across.end
                assert plot.up.end <= float(y) <= plot.up.start
    (band,) = re.findall(r'class="band" points="([^"]*)"', drawn[-1])
    assert len(band.split()) == 6
    assert baselines(record.hypotheses[2]) is None


def test_the_page_shows_baselines_placebo_and_agreement_where_they_were_run(record):
    page = html.render(record)
    assert page.count("Does the SAE earn its place?") == 2
    assert "a baseline of their number comes nearer to the whole gap: learned subspace" in page
    assert page.count("searches on exchanged labels closed") == 2
    assert page.count("Attribution has the sign of the ablation for 90% of candidates") == 3
    silent = html.render(record.model_copy(update={"hypotheses": record.hypotheses[2:4]}))
    assert "earn its place" not in silent


def said(page: str) -> list[str]:
    """Return the text of each finding, in the order of the page."""
    found = re.findall(r"<summary>\s*<h3>(.*?)<svg", page, flags=re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in found]


def test_findings_come_first_by_size_with_the_features_that_carry_them(record):
    page = html.render(record)
    first, second, *_ = said(page)
    assert first == (
        "A made-up link lowers the reward. Lowers the reward by 1.90 sigma [1.78, 2.01] "
        "as expected 2 features explain 32% [24%, 39%] of the gap; 1.30 sigma remains: "
        "“://” (resid_6/812) a short answer (resid_6/1790)"
    )
    assert second.startswith("Saying &#34;I don&#39;t know&#34; lowers the reward.")
    assert second.endswith("“know”, “don&#39;t” (resid_6/812) a short answer (resid_6/1790)")
    assert page.index("Findings, largest gap first") < page.index("would block a release")
    assert not re.search(r"<details[^>]* open>", page)
    assert "1 sigma = 1.60 raw reward" in page
    assert "10 of 12 prompts" in page


def test_a_gap_where_none_was_expected_shows_what_carries_it(record):
    odd = record.hypotheses[2].model_copy(
        update={
            "features": record.hypotheses[0].features,
            "closure": record.hypotheses[0].closure,
        }
    )
    (finding,) = said(html.render(record.model_copy(update={"hypotheses": (odd,)})))
    assert "Raises the reward by 0.688 sigma" in finding
    assert "expected: no gap" in finding
    assert finding.endswith(
        "0.691 sigma remains: “know”, “don&#39;t” (resid_6/812) a short answer (resid_6/1790)"
    )


def test_no_number_of_the_page_is_a_signed_or_an_empty_zero(record):
    tiny = Figure(value=0.0004, low=0.0001, high=0.0007, unit=Unit.REWARD)
    first = record.hypotheses[0]
    features = tuple(f.model_copy(update={"contribution": tiny}) for f in first.features)
    small = first.model_copy(update={"features": features})
    page = html.render(record.model_copy(update={"hypotheses": (small, *record.hypotheses[1:])}))
    text = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    assert "+0.000250 sigma" in text
    assert not re.search(r"[-+]0\.0+(?!\d)", re.sub(r"<[^>]+>", " ", text))
    assert not re.search(r"-0(\.0)?%", text)


def test_the_scatter_is_scaled_to_the_selected_features(record):
    first = record.hypotheses[0]
    everything = scatter(first)
    assert all(point.inside for point in everything.drawn)
    huge = first.features[-1].model_copy(
        update={"contribution": Figure(value=50.0, unit=Unit.REWARD), "attribution": -70.0}
    )
    found = scatter(first.model_copy(update={"features": (*first.features, huge)}))
    assert found.across == everything.across
    assert [point.inside for point in found.drawn] == [True] * len(everything.drawn) + [False]
    assert found.across.clamped(found.drawn[-1].attribution) == found.across(found.across.low)
    assert found.up.clamped(found.drawn[-1].contribution) == found.up(found.up.high)
    assert scatter(first.model_copy(update={"features": first.features[:1]})) is None


def test_the_band_is_where_the_claim_expects_the_gap(record):
    scale = Scale(-2.0, 2.0, 3.0, 97.0)
    bands = {h.name: expected_band(h, scale) for h in record.hypotheses}
    assert bands["urls"] == (0.0, 50.0)
    assert bands["answers-the-question"] == (50.0, 100.0)
    low, high = bands["youre-right"]
    assert (low, high) == (scale(-0.25), scale(0.25))
    odd = record.hypotheses[0].model_copy(update={"expect": {"gap": "sideways"}})
    assert expected_band(odd, scale) is None


def test_notices_stand_first(record):
    page = html.render(record, notices=["This record was changed after it was written."])
    assert "was changed after it was written" in page
    assert page.index("was changed after") < page.index("Findings, largest gap first")
    assert "was changed after" not in html.render(record)


def test_every_term_on_the_page_explains_itself(record):
    page = html.render(record)
    asked = set(re.findall(r'popovertarget="([^"]+)"', page))
    assert {"t-gap", "t-sigma", "t-closure", "t-residual", "t-contribution"} <= asked
    assert asked <= set(re.findall(r'<div class="tip" id="([^"]+)" popover>', page))


def test_the_page_lists_checks_that_did_not_go_as_planned(record):
    unplanned = tuple(
        Unplanned(name="urls", check=check, departure=Departure.SKIPPED, reason="<b>not today</b>")
        for check in Check
    )
    page = html.render(record.model_copy(update={"not_as_planned": unplanned}))
    assert "4 checks that were not run or not reported as planned" in page
    assert "urls/gap: skipped: &#60;b&#62;not today" in page
    assert "as planned" not in html.render(record)


def test_an_interval_that_is_unbounded_on_one_side_says_so(record):
    def open_below(figure):
        return figure if figure is None else figure.model_copy(update={"low": None})

    names = ("gap", "gap_sigma", "residual_sigma", "closure", "sufficiency", "collateral")
    hypotheses = tuple(
        one.model_copy(update={name: open_below(getattr(one, name)) for name in names})
        for one in record.hypotheses
    )
    page = html.render(record.model_copy(update={"hypotheses": hypotheses}))
    assert "[unbounded, -1.44]" in page


def test_the_page_draws_the_largest_gaps_of_very_many_prompts():
    rows = [
        RowEvidence(prompt=at, role=role, variant=0, text="a", reward=reward, ablated=0.0)
        for at in range(250)
        for role, reward in ((Role.EXAMPLE, at / 250), (Role.COUNTER_EXAMPLE, 0.0))
    ]
    names = tuple(map(str, range(250)))
    evidence = Evidence(prompts=names, rows=rows, sigma=1.0, noise=0.0, folds=(), null=(), fits=())
    plot = prompt_gaps(evidence)
    assert [shown.text for shown in plot.drawn] == list(names[:49:-1])
    assert plot.title == "The 200 largest of 250."
