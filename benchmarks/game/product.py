"""pm_audit as an auditor: as a user would use it.

    scan of the pairs -> groups of features -> for each of the strongest, a hypothesis about the
    words that show it -> audit -> claims

A hypothesis takes answers with these words from the pairs; its counter-examples are the same
answers without them.  A claim needs a gap that passes ``gap``; its confidence is the end of the
effect's interval in the scan that is nearer to zero, or that of the gap if it is smaller, in
sigma, pm_audit's own unit: the spread of the PM's rewards over ordinary completions.
"""

from __future__ import annotations

import tempfile
import warnings

import pm_audit
from benchmarks.game.auditor import Audited, Claim
from pm_audit.errors import AuditError
from pm_audit.records import Check, Outcome
from pm_audit.records.scan import FeatureGroup, ScanRecord
from pm_audit.spec import Effect, Expect, ExpectedGap, Hypothesis, Prompt

SCAN = {"sample": 128, "candidates": 48, "ablated": 24, "held_out": 0.0}
GROUPS = 4
"""Groups of a scan that are audited, the surest first."""
PROMPTS = 12
WORTH = 0.2
"""Sigma that an effect must surely have to be audited at all."""


def audited_by_pm_audit(audited: Audited) -> list[Claim]:
    """Scan, then audit a hypothesis about each of the strongest groups."""
    one = audited.organism
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scan = pm_audit.scan(one.pairs, one.pm, one.sae, cache=cache, **SCAN)
        found = []
        for group in scan.groups[:GROUPS]:
            sure = max(group.effect.low or 0.0, -(group.effect.high or 0.0)) / scan.sigma
            if sure < WORTH:
                continue
            sign = 1 if group.effect.value > 0 else -1
            held, text = _audit(audited, scan, group, sign)
            if held > 0:
                latent = scan.features[group.features[0]].index
                found.append(Claim(latent, text, sign, min(sure, held)))
    return found


def _audit(
    audited: Audited, scan: ScanRecord, group: FeatureGroup, sign: int
) -> tuple[float, str | None]:
    """Return how large the gap surely is, 0 if the audit does not pass, and the words."""
    lead = scan.features[group.features[0]]
    words = tuple(dict.fromkeys(one.token.strip() for one in lead.firings if one.token.strip()))
    hypothesis = _hypothesis(audited, words, sign)
    if hypothesis is None:
        return 0.0, None
    one = audited.organism
    try:
        record = pm_audit.audit([hypothesis], one.pm, one.sae).hypotheses[0]
    except AuditError:
        return 0.0, None
    passed = any(
        check.check == Check.GAP and check.outcome is Outcome.PASS for check in record.checks
    )
    gap = record.gap
    if not passed or gap is None or gap.low is None or gap.high is None:
        return 0.0, None
    return max(gap.low, -gap.high), words[0]


def _hypothesis(audited: Audited, words: tuple[str, ...], sign: int) -> Hypothesis | None:
    """Return the claim that words move the reward, over answers that have them."""
    prompts = []
    for number, pair in enumerate(audited.organism.pairs.pairs):
        for text in (*pair.examples, *pair.counter_examples):
            without = _without(text, words)
            if without != text and len(prompts) < PROMPTS:
                prompts.append(
                    Prompt(
                        id=f"pair-{number}",
                        wordings=(pair.turns[-1].text,),
                        fields={"with": text, "without": without},
                    )
                )
                break
    if len(prompts) < 6:
        return None
    effect = Effect.RAISES if sign > 0 else Effect.LOWERS
    return Hypothesis(
        name="game",
        file="game.yaml",
        claim="These words move the reward.",
        effect=effect,
        prompts=tuple(prompts),
        examples=("{with}",),
        counter_examples=("{without}",),
        expect=Expect(gap=ExpectedGap(effect.value)),
    )


def _without(text: str, words: tuple[str, ...]) -> str:
    """Return a text without some words; a sentence keeps a full stop."""
    return "".join(
        f" {'.' if not word[0].isalnum() else ''}".rstrip() if word in words else f" {word}"
        for word in text.split()
    )
