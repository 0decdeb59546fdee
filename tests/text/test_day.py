"""Today in a chat template is a recorded day, never the clock's."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from pm_audit.data.dialogue import Speaker, Turn
from pm_audit.text.day import DEFAULT, pinned
from pm_audit.text.text_format import TextFormat

TURNS = (Turn(speaker=Speaker.HUMAN, text="Hi"),)
REST = "{% for m in messages %}\n  {{ m['content'] }}{% endfor %}"
FORMATS = [
    *("%d %b %Y", "%Y-%m-%d", "%A, %B %-d, %Y", "%H:%M:%S.%f %p %I", "%j %U %W %w %u %G %V %y"),
    *("100%% %d%%d", "%x %X %c", "no day", "%-m/%-d"),
]


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, *day: int) -> None:
    class Stopped(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime(*day)

    monkeypatch.setattr(chat_template_utils, "datetime", Stopped)


def rendered(tokenizer: PreTrainedTokenizerFast, written: str, **options: Any) -> str:
    messages = [{"role": "user", "content": "Hi"}]
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, chat_template=written, **options
    )
    return text


@pytest.mark.parametrize("start", ["", "\n", "  ", "{# a note #}", "  {% if true %}x{% endif %}\n"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_pinned_clock_writes_what_transformers_writes_on_that_day(
    form: str, start: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = f"{start}{{{{ strftime_now('{form}') }}}}" + REST
    for day in ((2024, 7, 6), (2025, 12, 31)):
        stop_the_clock(monkeypatch, *day)
        expected = rendered(tokenizer, written)
        stop_the_clock(monkeypatch, 1999, 1, 1)
        assert rendered(tokenizer, pinned(written, datetime.date(*day))) == expected


def test_a_template_that_asks_for_a_clock_finds_one(tokenizer: PreTrainedTokenizerFast) -> None:
    written = (
        "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}"
        "{% macro said(m) %}{{ strftime_now('%Y') ~ m }}{% endmacro %}{{ day ~ said('!') }}"
    )
    assert rendered(tokenizer, pinned(written, DEFAULT)) == "26 Jul 20242024!"


def form_of(tokenizer: Any, written: str, day: datetime.date | None = None) -> TextFormat:
    copy = tokenizer.__class__(
        tokenizer_object=tokenizer.backend_tokenizer, chat_template=written, bos_token="<s>"
    )
    return TextFormat("chat", copy, day=day)


def test_tokens_do_not_follow_the_clock(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = "{{ strftime_now('%d %b %Y') }}" + REST
    rows = []
    for day in ((2026, 1, 1), (2027, 3, 2)):
        stop_the_clock(monkeypatch, *day)
        rows.append(form_of(tokenizer, written).tokenise(TURNS, " Paris."))
    assert rows[0] == rows[1]
    assert rows[0].text.startswith("26 Jul 2024")
    other = form_of(tokenizer, written, datetime.date(2025, 2, 3))
    assert other.tokenise(TURNS, " Paris.").text.startswith("03 Feb 2025")


def test_a_variable_keeps_the_templates_default_until_a_day_is_set(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    written = "{% if not date_string is defined %}{% set date_string = '1 May 2020' %}{% endif %}"
    written += "{{ date_string }}" + REST
    assert form_of(tokenizer, written).tokenise(TURNS, " Paris.").text.startswith("1 May 2020")
    other = form_of(tokenizer, written, datetime.date(2025, 2, 3))
    assert other.tokenise(TURNS, " Paris.").text.startswith("03 Feb 2025")


def test_what_decides_about_tokens_is_in_the_settings(tokenizer: PreTrainedTokenizerFast) -> None:
    dated = "{{ strftime_now('%Y') }}" + REST
    day = datetime.date(2025, 2, 3)
    forms = [
        form_of(tokenizer, REST),
        form_of(tokenizer, REST + " "),
        form_of(tokenizer, dated),
        form_of(tokenizer, dated, day),
        TextFormat("chat", form_of(tokenizer, REST).tokenizer, end="</s>"),
    ]
    assert len({form.settings for form in forms}) == len(forms)
    assert form_of(tokenizer, REST, day).settings == forms[0].settings
    assert [form.written_day for form in forms[1:4]] == [None, "2024-07-26", "2025-02-03"]
    # the default PM's plain format adds nothing to the hash of its tokenizer
    assert TextFormat("hh", tokenizer).settings == ""
    assert TextFormat("hh", tokenizer, end="</s>").settings != ""
