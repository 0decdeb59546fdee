"""A baseline is held against everything that decides about tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from pm_audit.loading.pms.registry import load
from pm_audit.pipelines.described import describe_subject
from pm_audit.records import SubjectRecord

DATED = "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}|{% endfor %}"


def subject(folder: Path, **options: object) -> SubjectRecord:
    options = {"text_format": "chat"} | options
    return describe_subject([load(folder, **options)], (), device="cpu")


def test_template_ending_start_and_day_are_in_the_tokenizers_hash(
    save_classifier: Callable[..., Path],
) -> None:
    folder = save_classifier("llama")
    subjects = [subject(folder, text_format="hh"), subject(folder)]
    subjects += [subject(folder, text_end="eos"), subject(folder, text_start="as-written")]
    (folder / "chat_template.jinja").write_text(DATED)
    subjects += [subject(folder), subject(folder, text_date=date(2025, 1, 2))]
    assert len({one.tokenizer_sha256 for one in subjects}) == len(subjects)
    assert subject(folder, text_format="hh") == subjects[0]
    assert [one.text for one in subjects] == [
        "hh",
        "chat",
        "chat, text_end eos",
        "chat, text_start as-written",
        "chat, text_date 2024-07-26",
        "chat, text_date 2025-01-02",
    ]


def test_the_names_in_a_record_stay_those_of_old_records() -> None:
    old = {
        "pm": "x",
        "pm_sha256": "1",
        "tokenizer_sha256": "0",
        "text_format": "hh",
        "objective": None,
        "dtype": "float32",
        "device": "cpu",
        "layers": 2,
        "hidden_size": 8,
        "saes": (),
    }
    read = SubjectRecord.model_validate(old)
    assert read.text == "hh"
