"""A judge's rubric: a question about one completion, and the tokens that may answer it.

    rubric     "Question: {prompt} ... Answer: {completion} ... Is it good?"   the user's words
      -> Rendered       people's texts in their places, at most once each
      -> TokenisedRow   the completion, then the rubric's end and what the chat template writes
                        before an answer; the verdict is read at the last token

The template is cut once at its two fields, so that no field, marker or special token in a prompt or
a completion means anything.  A verdict is the one token that joint tokenisation adds to the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pm_audit.data.dialogue import Dialogue, Speaker, Turn
from pm_audit.errors import ModelError
from pm_audit.text.ending import AS_WRITTEN
from pm_audit.text.rendered import Rendered, joined
from pm_audit.text.text_format import CHAT, TextFormat

PROMPT, COMPLETION = "{prompt}", "{completion}"
RAW = "raw"
FORMATS = (CHAT, RAW)
"""Text formats of a judge: the rubric as a user's message, or as it is."""
TEMPLATE = (
    "Is the answer to this question good?\n\nQuestion: {prompt}\n\nAnswer: {completion}\n\n"
    "Reply with Yes or No."
)
"""The rubric of a judge with a chat template, if none is set.

The question goes first: what follows a completion is read again for each of them.
"""
RAW_TEMPLATE = (
    "Is the answer to the question good, Yes or No?\n\nQuestion: {prompt}\n\n"
    "Answer: {completion}\n\nGood:"
)
"""The rubric of a judge without one."""
VERDICTS, RAW_VERDICTS = "Yes,No", " Yes, No"

_SPEAKERS = {Speaker.SYSTEM: "System: ", Speaker.HUMAN: "User: ", Speaker.ASSISTANT: "Assistant: "}
_ORDINARY = (Turn(speaker=Speaker.HUMAN, text="What is the capital of France?"),)

Piece = tuple[str, bool]
"""A text, and whether the rubric wrote it."""


def faults(template: str | None, verdicts: str | None) -> list[tuple[str, str]]:
    """Return every fault of a rubric, with its setting; None stands for a default."""
    found = [] if template is None else [*_of_template(template)]
    found += [] if verdicts is None else [*_of_verdicts(verdicts)]
    return found


def _of_template(template: str) -> Iterator[tuple[str, str]]:
    counts = {field: template.count(field) for field in (PROMPT, COMPLETION)}
    for field, count in counts.items():
        if count != 1:
            yield "judge_template", f"has {field} {count} times; write it once, in its place"
    once = set(counts.values()) == {1}
    if once and template.index(COMPLETION) < template.index(PROMPT):
        yield "judge_template", f"has {COMPLETION} before {PROMPT}; write the prompt first"


def _of_verdicts(verdicts: str) -> Iterator[tuple[str, str]]:
    said = verdicts.split(",")
    if len(said) < 2 or not all(said):
        message = f"{verdicts[:80]!r} is not two verdicts or more, as in Yes,No or 1,2,3,4,5"
        yield "judge_verdicts", message
    elif len(set(said)) != len(said):
        message = f"{verdicts[:80]!r} names one verdict twice; name each once"
        yield "judge_verdicts", message
    elif len(said) > 2 and not all(map(_is_score, said)):
        message = (
            f"{verdicts[:80]!r} is neither two verdicts, whose logits are subtracted, nor numbers, "
            "whose expected value is read; give two, or numbers alone"
        )
        yield "judge_verdicts", message


def _is_score(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@dataclass(frozen=True)
class Rubric:
    """A template with a place for a prompt and one for a completion, and the verdicts.

    Raises:
        ModelError: at construction, with every fault.

    """

    template: str
    written_verdicts: str
    """Separated by commas."""

    def __post_init__(self) -> None:
        found = faults(self.template, self.written_verdicts)
        if found:
            raise ModelError("; ".join(f"{setting} {message}" for setting, message in found))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The verdicts: two whose logits are subtracted, or three and more numbers."""
        return tuple(self.written_verdicts.split(","))

    @property
    def scores(self) -> tuple[float, ...] | None:
        """What each verdict counts, if the reward is the expected score; None for a difference."""
        return tuple(map(float, self.verdicts)) if len(self.verdicts) > 2 else None

    def pieces(self, turns: Dialogue, completion: str) -> list[Piece]:
        """Return the rubric with both texts in their places; the completion is the last but one."""
        before, rest = self.template.split(PROMPT)
        between, after = rest.split(COMPLETION)
        return [
            (before, True),
            *_dialogue(turns),
            (between, True),
            (completion, False),
            (after, True),
        ]


def _dialogue(turns: Dialogue) -> list[Piece]:
    """Return one question as it is, and several turns under their speakers' names."""
    if len(turns) == 1:
        return [(turns[0].text, False)]
    pieces: list[Piece] = []
    for number, turn in enumerate(turns):
        pieces += [("\n\n" * bool(number) + _SPEAKERS[turn.speaker], True), (turn.text, False)]
    return pieces


@dataclass(frozen=True, eq=False, kw_only=True)
class RubricFormat(TextFormat):
    """A judge's text: its rubric, as a user's message or as it is, up to the verdict.

    Raises:
        ModelError: at construction, if the chat template writes no such message, the rubric leaves
            nothing to read after a completion, or the tokenizer ends every text itself.

    """

    rubric: Rubric

    def __post_init__(self) -> None:
        if self.name not in FORMATS or self.end != AS_WRITTEN:
            raise ModelError(
                "a judge's text is its rubric up to the verdict: set text_format to chat (the "
                "rubric is a user's message) or raw, and leave text_end out"
            )
        super().__post_init__()
        if self.name == RAW and self.rubric.template.endswith(COMPLETION):
            raise ModelError(
                f"judge_template ends with {COMPLETION}, so nothing asks for a verdict; write a "
                "question after it"
            )

    @property
    def settings(self) -> str:
        """JSON of what else decides tokens, and the reward, than tokenizer and format."""
        held = json.loads(super().settings or "{}")
        asked = {"rubric": self.rubric.template, "verdicts": self.rubric.written_verdicts}
        return json.dumps({**held, **asked}, sort_keys=True)

    @property
    def after_the_rubric(self) -> str:
        """What the chat template writes between the rubric and the verdict."""
        return self._around[1] if self.name == CHAT else ""

    def message(self, prompt: str, completion: str) -> str:
        """Return the rubric with two plain texts in it."""
        turns = (Turn(speaker=Speaker.HUMAN, text=prompt),)
        return "".join(text for text, _ in self.rubric.pieces(turns, completion))

    def verdict_ids(self) -> tuple[int, ...]:
        """Return the token of each verdict, as joint tokenisation continues the text.

        Raises:
            ModelError: with every verdict that is not one token after the text.

        """
        rendered = self._written(_ORDINARY, "Paris.")
        read = self._encoder.encode(rendered, framed=self.framed)
        if read.parts[-1] is None:
            raise ModelError(
                f"the tokenizer ends every text with {self.token_name(read.ids[-1])!r}, so that "
                "nothing can be read after it; set its add_eos_token to false"
            )
        found, refused = [], []
        for verdict in self.rubric.verdicts:
            ids = self._continued(rendered, verdict)
            if ids[:-1] == read.ids and not self._lacks_space(rendered, verdict):
                found.append(ids[-1])
            else:
                refused.append(self._why(verdict, rendered, read.ids))
        if refused:
            raise ModelError("judge_verdicts: " + "; ".join(refused))
        if len(set(found)) != len(found):
            raise ModelError("judge_verdicts: two verdicts are one token here; name others")
        return tuple(found)

    def _continued(self, rendered: Rendered, verdict: str) -> tuple[int, ...]:
        return self._encoder.encode(rendered.followed_by(verdict), framed=self.framed).ids

    def _lacks_space(self, rendered: Rendered, verdict: str) -> bool:
        """Whether a word follows a word: the model would write a space between them."""
        follows = rendered.text[-1:].isalnum() or rendered.text[-1:] in ":?.!,;"
        spaced = self._continued(rendered, f" {verdict}")
        one = len(spaced) == len(self._continued(rendered, verdict))
        return follows and verdict[0].isalnum() and one

    def _why(self, verdict: str, rendered: Rendered, read: tuple[int, ...]) -> str:
        """Return why a verdict cannot be read, and what to write in its place."""
        ids = self._continued(rendered, verdict)
        other = verdict[1:] if verdict.startswith(" ") else f" {verdict}"
        spaced = self._continued(rendered, other) if other else ()
        if ids[:-1] == read:
            return (
                f"{verdict!r} would follow {rendered.text[-12:]!r} without a space; write {other!r}"
            )
        better = (
            f"write {other!r}, which is one, or another"
            if spaced[:-1] == read
            else "choose another"
        )
        if ids[: len(read)] == read:
            parts = [self.tokenizer.decode([token]) for token in ids[len(read) :]][:6]
            return f"{verdict!r} is {len(parts)} tokens here ({' | '.join(parts)}); {better}"
        return (
            f"{verdict!r} grows together with the text's end, {rendered.text[-12:]!r}; {better}, "
            "or take white space from the end of judge_template"
        )

    def _written(self, turns: Dialogue, completion: str) -> Rendered:
        pieces = self.rubric.pieces(turns, completion.removeprefix(" "))
        if self.name != CHAT:
            return joined(pieces, completion=len(pieces) - 2)
        before, after = self._around
        written = joined([(before, True), *pieces, (after, True)], completion=len(pieces) - 1)
        message = "".join(text for text, _ in pieces)
        if written.text != self._template.asked(message):
            raise ModelError(
                f"the chat template edits the message {message[:40]!r}...; begin and end "
                "judge_template with words, or set text_format to raw"
            )
        return written

    @cached_property
    def _around(self) -> tuple[str, str]:
        return self._template.around()


def rubric_format(
    tokenizer: Any,
    *,
    template: str | None,
    verdicts: str | None,
    text_format: str | None = None,
    **fields: Any,
) -> RubricFormat:
    """Return a judge's text format: a user's message, or raw text without a chat template.

    Args:
        tokenizer: of the judge.
        template: the rubric's; None for the usual one.
        verdicts: separated by commas; None for yes and no.
        text_format: chat or raw; None for chat if the tokenizer has a template.
        fields: further ones of ``TextFormat``.

    Raises:
        ModelError: a setting is wrong, or fits no such tokenizer.

    """
    name = text_format or (CHAT if tokenizer.chat_template else RAW)
    if name == CHAT and not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template; set text_format to raw, or leave it out"
        )
    if name == CHAT:
        rubric = Rubric((template or TEMPLATE).strip(), verdicts or VERDICTS)
    else:
        rubric = Rubric(template or RAW_TEMPLATE, verdicts or RAW_VERDICTS)
    return RubricFormat(name, tokenizer, rubric=rubric, **fields)
