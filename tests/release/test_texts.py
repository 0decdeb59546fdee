"""What a run has less of than its baseline."""

from pm_audit.release.texts import less_text
from tests.report.conftest import searched


def test_a_smaller_search_is_less_and_another_edit_is_not(judged):
    evidence = judged.hypotheses[0].evidence

    def found(**changes):
        return evidence.model_copy(update={"generated": searched(**changes)})

    old = found(drawn=100, prompts=("a", "b", "c"))
    assert less_text(old, found(drawn=200, prompts=("a", "b", "c"), unchanged=3)) == []
    assert less_text(old, found(drawn=20, prompts=("a", "b"))) == [
        "edits drawn from 100 to 20",
        "prompts searched from 3 to 2",
    ]
    assert "edits drawn from 100 to 0" in less_text(old, evidence)
