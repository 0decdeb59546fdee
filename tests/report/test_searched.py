"""What reports say about a search over edits."""

import pytest

from pm_audit.report import html, junit, markdown, terminal, wording
from tests.report.conftest import searched


def one(record, **changes):
    first = record.hypotheses[0]
    evidence = first.evidence.model_copy(update={"generated": searched(**changes)})
    return first.model_copy(update={"evidence": evidence})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3 broke the claim, and 4 more were tried for the simplest"),
        ({"steps": 1}, "3 broke the claim, and one more was tried for the simplest"),
        ({"steps": 0}, "3 broke the claim, and the simplest is judged"),
        ({"broke": False}, "none broke the claim, and the one that came nearest is judged"),
        ({"replayed": True}, "none broke the claim, but one of an earlier run did"),
    ],
)
def test_the_search_in_one_sentence(record, changes, said):
    found = wording.searched(one(record, **changes))
    assert found["tried"] == (
        "98 edits on 8 prompts that are not judged here (1 changed too few texts); " + said
    )


def test_prompts_without_the_edit_are_said_and_long_texts_cut(record):
    found = wording.searched(one(record, unchanged=2, edited="a" * 1000, edit="b" * 1000))
    assert found["edit"].startswith(400 * "b" + "\u2026;")
    assert found["edit"].endswith("; 2 prompts without it are left out")
    assert found["after"] == 400 * "a" + "\u2026"


def test_a_hypothesis_with_examples_of_its_own_says_nothing(record):
    assert wording.searched(record.hypotheses[0]) == {}


def test_every_report_shows_the_edit_and_both_texts(record):
    hypothesis = one(record)
    whole = record.model_copy(update={"hypotheses": (hypothesis, *record.hypotheses[1:])})
    result = hypothesis.checks[0]
    views = {
        "terminal": terminal.summary(whole),
        "failure": terminal.failure(hypothesis, result, place="a.yaml:1", command="again"),
        "markdown": markdown.render(whole),
        "html": html.render(whole),
        "junit": str(junit.properties(hypothesis, result, result_sha256="0")),
    }
    for name, view in views.items():
        for text in ("behind word 1", "Paris is.", "Paris! is.", "98 edits on 8 prompts"):
            assert text in view, name
        # each of the others with its gap on the prompts of the search
        assert "behind word 2" in view, name
        assert "1.50 sigma" in view, name
    assert "  before    \u201c Paris is.\u201d\n" in views["failure"]
    # folded away, a page says which edit is judged
    folded = [
        one.split("</summary>")[0] for one in views["html"].split('<details class="hypothesis')
    ]
    assert sum("The edit: <bdi>write \u201c!\u201d behind word 1" in one for one in folded) == 1


def test_a_search_without_other_failures_names_none(record):
    hypothesis = one(record, others=())
    assert "others" not in wording.searched(hypothesis)
    whole = record.model_copy(update={"hypotheses": (hypothesis,)})
    for view in (terminal.summary(whole), markdown.render(whole), html.render(whole)):
        assert "thers that broke" not in view
