"""Generated edits, top to bottom.

    hypothesis -> its prompts, split in two
      -> edits drawn by `hypothesis`, and failures kept by earlier runs
      -> gaps on the first prompts, one forward -> what breaks the claim, shrunk
      -> an ordinary hypothesis about that one edit, on the other prompts

Among many edits the largest gap is large by chance too.  What is judged is therefore one edit, on
prompts that took no part in its choice, so that its interval and p-value hold as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import hypothesis as engine

from pm_audit.data.sampling import rank
from pm_audit.errors import AuditError
from pm_audit.forward.scale import Scale
from pm_audit.pipelines.generating.gaps import Gaps
from pm_audit.pipelines.generating.kept import keep, kept
from pm_audit.pipelines.generating.search import Shrunk, by_weight, draw, parts, shrink
from pm_audit.pipelines.generating.strategy import each_phrase, strategy_of
from pm_audit.pipelines.generating.turned import bases, changed, turned
from pm_audit.records import BreakingEdit, GeneratedEvidence, MethodRecord
from pm_audit.spec import Hypothesis
from pm_audit.spec.generate import FEWEST_JUDGED, FEWEST_SEARCHED, WrittenGenerate
from pm_audit.strategies import Program
from pm_audit.subject.preference_model import PreferenceModel

MOST_OTHERS = 5
"""Failures that are listed next to the one that is judged."""


def generate(
    hypothesis: Hypothesis,
    pm: PreferenceModel,
    scale: Scale,
    *,
    method: MethodRecord,
    report: Callable[[str], None],
) -> tuple[Hypothesis, GeneratedEvidence]:
    """Search for an edit that breaks the claim; return the claim about it, on other prompts.

    If no edit breaks the claim, it is the edit that comes nearest to it.

    Raises:
        AuditError: no edit changes the base completions, or one of them does not fit the PM.

    """
    written = hypothesis.generate
    if written is None:
        raise ValueError(f"{hypothesis.name} generates nothing")
    seed = method.seed if written.seed is None else written.seed
    searched, judged = split(hypothesis, written, seed=seed)

    def reader() -> Gaps:
        cases, confidence = bases(searched), method.confidence
        return Gaps(pm, cases, hypothesis.expect, sigma=scale.sigma, confidence=confidence)

    again = _replayed(hypothesis, written, reader, report)
    gaps = reader()
    programs, phrases = strategy_of(written), each_phrase(written, seed=seed)
    count = written.examples - len(phrases)
    drawn = draw(programs, count, seed=seed)
    distinct = tuple(dict.fromkeys((*phrases, *drawn)))
    report(
        f"{hypothesis.full_name}: trying {len(distinct)} edits on {len(searched.prompts)} prompts"
    )
    gaps.measure(distinct)

    breaking = [program for program in distinct if gaps.excess(program) > 0]
    found = None
    if breaking:
        report(f"{hypothesis.full_name}: {len(breaking)} break the claim; shrinking")
        found = shrink(programs, gaps, distinct, count, seed=seed)
    elif again:
        found = Shrunk(again[0], steps=0)
    if found is not None:
        keep(hypothesis, written, found.program)
    program = _nearest(hypothesis, gaps, distinct) if found is None else found.program

    whole, judged = len(judged.prompts), changed(judged, program)
    if not judged.prompts:
        raise AuditError(f"{_place(hypothesis)}: {program} changes no completion of the others")
    one = bases(judged)[0].text
    measured = gaps[program]
    evidence = GeneratedEvidence(
        seed=seed,
        drawn=len(phrases) + len(drawn),
        distinct=len(distinct),
        too_small=len(gaps.too_small.intersection(distinct)),
        refused=len(gaps.refused.intersection(distinct)),
        breaking=len(breaking),
        others=_others(breaking, gaps, program),
        steps=0 if found is None else found.steps,
        prompts=tuple(prompt.id for prompt in searched.prompts),
        unchanged=whole - len(judged.prompts),
        broke=found is not None,
        replayed=found is not None and not breaking,
        gap_sigma=0.0 if measured is None else measured.gap,
        edit=str(program),
        program=program.model_dump(mode="json"),
        base=one,
        edited=program.apply(one),
        engine=engine.__version__,
    )
    return turned(judged, program), evidence


def split(
    hypothesis: Hypothesis, written: WrittenGenerate, *, seed: int
) -> tuple[Hypothesis, Hypothesis]:
    """Return the hypothesis with the prompts of the search, and with the others.

    A hash of the seed and its id decides where a prompt goes.  As many are left as judging needs.
    """
    ranked = sorted(hypothesis.prompts, key=lambda prompt: rank(seed, f"search {prompt.id}"))
    count = min(
        written.prompts, len(ranked) // 2, max(FEWEST_SEARCHED, len(ranked) - FEWEST_JUDGED)
    )
    first = {prompt.id for prompt in ranked[:count]}
    sides = (
        tuple(prompt for prompt in hypothesis.prompts if (prompt.id in first) is wanted)
        for wanted in (True, False)
    )
    searched, judged = (hypothesis.model_copy(update={"prompts": side}) for side in sides)
    return searched, judged


def _replayed(
    hypothesis: Hypothesis,
    written: WrittenGenerate,
    reader: Callable[[], Gaps],
    report: Callable[[str], None],
) -> list[Program]:
    """Return which failures of earlier runs still break the claim.

    A reader of their own keeps them out of the search's batches, so that no reward of it depends on
    what a machine has kept.
    """
    known = kept(hypothesis, written)
    if not known:
        return []
    report(f"{hypothesis.full_name}: trying {len(known)} edits that broke the claim before")
    gaps = reader()
    gaps.measure(known)
    return [program for program in known if gaps.excess(program) > 0]


def _others(breaking: Iterable[Program], gaps: Gaps, judged: Program) -> tuple[BreakingEdit, ...]:
    """Return the first failures of other kinds of edits, none of which holds another failure."""
    kinds, found = [parts(judged)], list[BreakingEdit]()
    for program in by_weight(breaking, gaps):
        measured = gaps[program]
        if measured is None or any(kind <= parts(program) for kind in kinds):
            continue
        kinds.append(parts(program))
        found.append(BreakingEdit(edit=str(program), gap_sigma=measured.gap))
    return tuple(found[:MOST_OTHERS])


def _nearest(hypothesis: Hypothesis, gaps: Gaps, programs: tuple[Program, ...]) -> Program:
    """Return the program that comes nearest to breaking the claim.

    Raises:
        AuditError: none can be judged.

    """
    measured = [(found.excess, program) for program in programs if (found := gaps[program])]
    if not measured:
        raise AuditError(
            f"{_place(hypothesis)}: none of {len(programs)} edits changes half of the completions "
            "that were searched and is read by the PM; choose other edits or another base"
        )
    return max(measured, key=lambda one: one[0])[1]


def _place(hypothesis: Hypothesis) -> str:
    return f"{hypothesis.file}:{hypothesis.line_of('generate')}"
