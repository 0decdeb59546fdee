from __future__ import annotations

import re

import pytest

from pm_audit.server import Facts
from pm_audit.server.form import Form
from pm_audit.server.page import render
from tests.report.test_html import HOSTILE, Elements

ROW = re.compile(r'<tr><th scope="row">(.+?)</th><td class="number">(.+?)</td>')


@pytest.fixture(scope="module")
def found(explainer):
    return explainer("Where?", " By the river^;", " By the river;!")


def test_the_parts_that_are_shown_sum_to_the_difference(facts, found):
    parts = ROW.findall(render(facts, Form(), found).partition('class="parts"')[2])
    *shares, (total, difference) = parts
    assert total == "reward of B minus A"
    assert float(difference) == pytest.approx(found.difference, abs=6e-4)
    assert sum(float(value) for _, value in shares) == pytest.approx(found.difference, abs=4e-3)
    assert shares[0][0] == "1 feature gained: active on B alone"
    assert shares[1][0] == "1 feature lost: active on A alone"


def test_the_lead_says_which_and_by_how_much(facts, found, explainer):
    page = render(facts, Form(), found)
    size = f"{found.difference / facts.scale.sigma:.1f}"
    assert f"The PM prefers B: its reward is {size} sigma" in page
    turned = explainer("Where?", " By the river;!", " By the river^;")
    assert "The PM prefers A" in render(facts, Form(), turned)
    same = explainer("Where?", " By", " By")
    page = render(facts, Form(), same)
    assert "Both completions have the same reward" in page
    assert "No feature's contribution changed" in page


def test_a_gained_feature_is_marked_on_b_alone(facts, found):
    card = render(facts, Form(), found).partition("<details")[2].partition("</details>")[0]
    assert '<span class="mark state">gained</span>' in card
    assert "A: not active" in card
    assert ' By the river;<mark class="h9" title="2">!</mark>' in card
    assert render(facts, Form(), found).count("<details") == facts.top


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_add_no_element_and_nothing_raw(facts, explainer, text):
    plain = render(facts, Form("a", "b", "c"), explainer("Where?", " b", " c"))
    form = Form(text, text, f"{text}!")
    page = render(facts, form, explainer(*form.texts), problem=text)
    hostile = Elements(page)
    assert hostile.active == Elements(plain).active == ["form action"]
    for name in ("script", "img", "svg", "style", "form", "textarea"):
        assert hostile.counts.get(name, 0) == Elements(plain).counts.get(name, 0)
    assert not set("\x1b\u202e\u2066\0") & set(page)
    assert "::error" not in page


def test_what_is_typed_is_typed_again(facts):
    page = render(facts, Form("\n first line is empty", "</textarea>", "\u202e", space=False))
    # the first line break after the tag is HTML's own
    assert '<textarea id="prompt"' in page
    assert ">\n\n first line is empty</textarea>" in page
    assert ">\n&#60;/textarea&#62;</textarea>" in page
    assert ">\n&#8238;</textarea>" in page
    assert " checked" not in page
    assert " checked" in render(facts, Form())


def test_a_name_of_a_pm_is_text(facts):
    assert "planted &#60;PM&#62;" in render(facts, Form())
    assert "<PM>" not in render(facts, Form())


def test_noise_is_no_difference(found, facts):
    loud = Facts(facts.pm, facts.sae, type(facts.scale)(2.0, noise=1e9), facts.top)
    assert "to the PM&#39;s noise of 1e+09" in render(loud, Form(), found)
