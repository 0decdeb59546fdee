"""A draft as a person reads it: its name, its claim, and its YAML with the evidence as comments.

Each prompt stands in the file with its own texts as fields, so that a draft is whole by itself and
its texts need no escaping but that of YAML.  Evidence repeats texts of the data set, which may be
hostile: in comments they go through ``sanitise``, in values they are quoted.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pm_audit.data import Dialogue
from pm_audit.drafts.edits import Action, Rule, spelled
from pm_audit.drafts.hypothesis_file import comment, write_hypothesis
from pm_audit.drafts.pairs import Drafted, DraftPair
from pm_audit.records.scan import FeatureGroup, ScannedFeature
from pm_audit.report.feature_words import with_label
from pm_audit.report.sanitise import visible, yaml
from pm_audit.spec import Effect
from pm_audit.stats import Interval

_LONGEST = 48
"""Characters of a name without its prefix."""

_MOST = 0.5
"""Share of a draft's pairs in which an edit must be the same to be part of its name and claim."""

_SHOWN = 3
"""Edits and features that a comment lists."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A draft hypothesis and what speaks for it."""

    name: str
    claim: str
    effect: Effect
    place: int
    """Rank of its group in the scan, from 1."""
    group: FeatureGroup
    features: tuple[ScannedFeature, ...]
    drafted: Drafted
    gap: Interval
    """Over the draft's own pairs, whose prompts took no part in the ranking; sigma."""
    control: float | None
    """Mean change of the counter-examples' reward by the controls' edits, sigma."""

    @property
    def holds(self) -> bool:
        """Whether the gap of the draft's own pairs lies on the effect's side of zero."""
        return self.gap.low > 0 if self.effect is Effect.RAISES else self.gap.high < 0

    @property
    def pairs(self) -> tuple[DraftPair, ...]:
        """The draft's pairs, one a prompt."""
        return self.drafted.pairs


@dataclass(frozen=True)
class Refused:
    """A group without a draft."""

    place: int
    """Rank of the group in the scan, from 1."""
    reason: str


@dataclass(frozen=True)
class Proposal:
    """Drafts of the strongest groups, and why the others have none."""

    drafts: tuple[Draft, ...]
    refused: tuple[Refused, ...]


def name_and_claim(
    drafted: Drafted, effect: Effect, features: Sequence[ScannedFeature], place: int
) -> tuple[str, str]:
    """Return a name and a claim, from the edit if it is nearly always the same, or the labels."""
    edits = Counter(pair.shown for pair in drafted.pairs)
    (removed, written), count = edits.most_common(1)[0]
    labels = [feature.label.text for feature in features if feature.label]
    if count >= _MOST * edits.total():
        without = f", not {_quoted(written)}," if written else ""
        claim = f"Writing {_quoted(removed)}{without} {effect.value} the reward."
        if isinstance(drafted.rule, Rule) and drafted.rule.action is Action.LOWER:
            words = f"capitals {written}"
        else:
            words = f"{removed} not {written}" if written else removed
    else:
        words = labels[0] if labels else f"group {place}"
        called = f"What fires {', '.join(labels[:_SHOWN])}" if labels else f"Group {place}"
        claim = (
            f"{called}, such as {_quoted(removed)} in place of {_quoted(written)}, "
            f"{effect.value} the reward."
            if written
            else f"{called}, such as {_quoted(removed)}, {effect.value} the reward."
        )
    return f"draft-{_slug(words) or f'group-{place}'}", visible(claim)


def document(draft: Draft, *, scan: str) -> str:
    """Return the YAML of a draft.

    Args:
        draft: what is written.
        scan: the record that it was drafted from, as it was named.

    """
    lines = [comment(line) for line in _evidence(draft, scan)]
    lines += [
        f"name: {draft.name}",
        f"claim: {yaml(draft.claim)}",
        f"effect: {draft.effect.value}",
        "tags: [draft]",
        "severity: warn # remove it once the hypothesis is yours",
        "prompts:",
    ]
    controls = all(pair.control is not None for pair in draft.pairs)
    for number, pair in enumerate(draft.pairs, start=1):
        lines += _prompt(number, pair, with_control=controls)
    lines += ['examples: ["{example}"]', 'counter_examples: ["{counter_example}"]']
    if controls:
        lines.append('controls: ["{control}"]')
    return "\n".join([*lines, f"expect: {{gap: {draft.effect.value}}}", ""])


def write_drafts(drafts: Sequence[Draft], folder: Path, *, root: Path, scan: str) -> list[Path]:
    """Write a file for each draft and return the files, each of which was loaded once.

    A file that exists stays as it is: a draft whose name is taken gets a number.

    Raises:
        AuditError: a place cannot be written to, or a file does not load.

    """
    written = []
    for draft in drafts:
        path, number = folder / f"{draft.name}.yaml", 1
        while path.exists():
            number += 1
            path = folder / f"{draft.name}-{number}.yaml"
        text = document(replace(draft, name=path.stem), scan=scan)
        written.append(write_hypothesis(path, text, root=root))
    return written


def table(proposal: Proposal) -> list[list[str]]:
    """Return a row for each draft: name, group, prompts, gap in sigma, and whether it holds."""
    return [
        [
            draft.name,
            str(draft.place),
            str(len(draft.pairs)),
            f"{draft.gap.value:+.2f} [{draft.gap.low:+.2f}, {draft.gap.high:+.2f}]",
            "yes" if draft.holds else "no",
        ]
        for draft in proposal.drafts
    ]


def _evidence(draft: Draft, scan: str) -> Iterator[str]:
    rule, effect = draft.drafted.rule, draft.group.effect
    yield f"Drafted by `pm-audit propose {scan}`. Read it before you rely on it."
    yield f"Group {draft.place} of the scan, {len(draft.features)} features:"
    for feature in draft.features[:_SHOWN]:
        label = feature.label.text if feature.label else ""
        yield f"  {with_label(feature, label)}: effect {feature.effect.value:+.3g}"
    yield (
        f"  together {effect.value:+.3g}"
        + (f" [{effect.low:+.3g}, {effect.high:+.3g}]" if effect.low is not None else "")
        + f" raw reward on {draft.group.compared} comparisons"
    )
    yield f"Edit: {rule.described}."
    edits = Counter(pair.shown for pair in draft.pairs)
    for (removed, written), count in edits.most_common(_SHOWN):
        yield f"  {count} times {_quoted(removed)} against {_quoted(written)}"
    inserted = sum(pair.inserted for pair in draft.pairs)
    yield (
        f"Pairs: {len(draft.pairs)} prompts that took no part in the scan's ranking; in {inserted} "
        "of them the counter-example is the data's own text, in the others the example."
    )
    gap = draft.gap
    yield f"Gap: {gap.value:+.2f} sigma [{gap.low:+.2f}, {gap.high:+.2f}] on these prompts."
    if draft.control is not None:
        yield f"Edits of the same size elsewhere: {draft.control:+.2f} sigma."


def _prompt(number: int, pair: DraftPair, *, with_control: bool) -> Iterator[str]:
    turns = pair.example.text.turns
    yield f"  - id: pair-{number}"
    yield f"    wordings: [{yaml(turns[-1].text)}]"
    if len(turns) > 1:
        yield "    turns:"
        yield from (f"      - {line}" for line in _dialogue(turns))
    yield "    fields:"
    yield f"      example: {yaml(pair.example.text.completion)}"
    yield f"      counter_example: {yaml(pair.counter_example.text.completion)}"
    if with_control and pair.control is not None:
        yield f"      control: {yaml(pair.control.text.completion)}"


def _dialogue(turns: Dialogue) -> Iterator[str]:
    for turn in turns[:-1]:
        template = turn.text.replace("{", "{{").replace("}", "}}")
        yield f"{turn.speaker.value}: {yaml(template)}"
    yield f'{turns[-1].speaker.value}: "{{question}}"'


def _quoted(text: str) -> str:
    return f"\u201c{spelled(text)}\u201d" if text.strip() else "nothing"


def _slug(text: str) -> str:
    """Return words for a name: letters and digits in lower case, marks by their names."""
    found: list[str] = []
    for piece in re.findall(r"[A-Za-z0-9]+|[^\w\s]+", spelled(text)):
        if piece[0].isalnum():
            found.append(piece.lower())
        elif piece[0] not in "\u201c\u201d\u2026":
            name = unicodedata.name(piece[0], "mark").lower().replace(" ", "-")
            found.append(name if len(piece) == 1 else f"{len(piece)}-{name}")
    return re.sub("[^a-z0-9-]", "", "-".join(found))[:_LONGEST].strip("-")
