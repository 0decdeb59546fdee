"""A judge audited as any PM is: features searched for, and a record that says what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_audit.errors import InvalidSpec
from pm_audit.loading.judges.load import load_judge
from pm_audit.loading.named import require_named_subject
from pm_audit.pipelines.audit import Auditor
from pm_audit.spec import Settings
from pm_audit.text.text_format import TextSettings
from tests.search.conftest import phrased
from tests.tiny_judges import random_sae

TEMPLATE = "Q: {prompt}\nA: {completion}\n("


@pytest.mark.parametrize("verdicts", ["1,2", "1,2,3,4,5"])
def test_a_judge_is_audited_and_its_record_says_what_it_was_asked(save_judge, verdicts: str):
    pm = load_judge(
        f"judge:{save_judge('gemma3_text')}",
        template=TEMPLATE,
        verdicts=verdicts,
        text=TextSettings(text_format="raw"),
    )
    settings = Settings(null_sets=3, bootstrap_resamples=100, candidates=8, max_features=2)
    auditor = Auditor(settings, subject=(pm, (random_sae(1),)))
    assert auditor.subject.judge_template == TEMPLATE
    assert auditor.subject.judge_verdicts == verdicts
    assert f"judge_verdicts {verdicts}" in auditor.subject.text
    record = auditor.audit(phrased("!;", ";!", counter_examples=[";;"], prompts=10))
    assert record.gap is not None
    assert record.gap.value != 0
    assert record.outcomes


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (
            {"judge_template": "{prompt}", "judge_verdicts": "Yes", "text_format": "hh"},
            ["judge_template", "judge_verdicts", "choose one of chat, raw"],
        ),
        ({"text_end": "eos"}, ["ends with its rubric"]),
        ({"objective": "helpful"}, ["has only one"]),
        ({"pm": "judge:no/such/model/here"}, ["judges with a name: smollm2-135m, gemma3-270m"]),
        ({"pm": "default", "judge_verdicts": "Yes,No"}, ["is of judges, and default is none"]),
    ],
)
def test_faults_of_a_judge_show_before_torch_is_needed(settings, messages, tmp_path: Path):
    (tmp_path / "sae").mkdir()
    given = {"pm": "judge:smollm2-135m", "saes": (str(tmp_path / "sae"),)} | settings
    with pytest.raises(InvalidSpec) as refused:
        require_named_subject(Settings(**given))
    for message in messages:
        assert message in str(refused.value)
