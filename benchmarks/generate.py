"""Does a search over generated edits find a planted phrase, and nothing where there is nothing?

The biased PM likes one stock phrase.  Base completions are its audit's answers.

* *planted*: the phrase stands among 199 ordinary sentences, of which one or two are written after
  an answer.  The bar: in 9 of 10 seeds the shrunk failure is the phrase and nothing else.
* *negative controls*: the ordinary sentences alone.  The bar: in at least 95 of 100 seeds `gap`
  does not fail on the prompts that were held out.
* *cost*: 500 edits on 12 prompts of the default PM.  The bar: the search, shrinking included, costs
  at most 3 times the CPU time of one batched scoring of the same texts.

A real PM cares a little for every sentence that is added.  The ordinary sentences are therefore
those of a larger pool that move the reward least, and the margin is the most that any of some
hundred pairs of them does, both measured on prompts which take no part in the rest.  The seeds
share the rewards of equal texts.

    python -m benchmarks.generate --json FILE
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from hypothesis import settings as engine

from pm_audit.forward.grid import Row
from pm_audit.judging import Question
from pm_audit.judging.checks import gap as gap_check
from pm_audit.judging.figures import measure
from pm_audit.pipelines.audit import Auditor
from pm_audit.pipelines.generating import gaps as gaps_module
from pm_audit.pipelines.generating.gaps import Gaps
from pm_audit.pipelines.generating.generate import generate, split
from pm_audit.pipelines.generating.search import draw
from pm_audit.pipelines.generating.strategy import strategy_of
from pm_audit.pipelines.generating.turned import bases
from pm_audit.records import Evidence, Outcome, Role, RowEvidence
from pm_audit.scanning.score import read_rewards
from pm_audit.spec import Hypothesis, Prompt, Settings, expand
from pm_audit.strategies import Insert, Program
from recipes.biased.pm import load_biased
from recipes.biased.texts import Split, draw_fields, questions

PLANTED = "Stay curious, my friend."
OTHERS, PAIRS = 199, 300
APART, SEARCHED, HELD_OUT = 12, 11, 11
"""Prompts on which sentences and margin are chosen, that are searched, and that judge."""
FRAMES = {
    "Try it on a {}.": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday weekday holiday",
    "Any {} cloth will do.": "blue green red white grey black yellow brown old thin",
    "It was in the paper in {}.": "May June July March April August October winter autumn",
    "Then have a cup of {}.": "tea coffee cocoa water milk soup broth cider juice lemonade",
    "I do this in the {}.": "kitchen hallway garden garage cellar bathroom yard attic office",
    "{} slowly.": "Begin Start Proceed Continue Work Move Go Repeat Pour Turn",
    "Keep the {} closed.": "window door lid box drawer bag jar gate cover curtain",
    "Mind the {}.": "edges corners floor cable gap label time dust heat weather",
    "Use a {} for that.": "brush spoon cloth knife ruler bucket sponge ladder lamp bowl",
    "Put the {} aside.": "tools lid cover screws papers spare box rest brush keys",
    "That was in {}.": "1998 2003 2007 2011 2014 2016 2018 2019 2020 2021",
    "Some use a {} instead.": "towel spoon fork string stick coin card clip bag pan",
    "The {} is on the label.": "date name weight size number price colour origin dose limit",
    "A {} helps too.": "friend lamp list timer map brush mirror fan book note",
    "It rained in {}.": "Oslo Rome May June Lisbon March April Dublin Paris autumn",
    "The {} comes later.": "rest bill paint water lid reward work cleaning second last",
    "Do not touch the {}.": "glass blade motor cable stove pan surface paint switch lens",
    "Leave the {} open.": "window door lid box drawer bag jar gate cover curtain",
    "It fits in a {}.": "box bag drawer pocket jar bucket car hand case shed",
    "There is a {} in the way.": "chair table box lamp bag rug cable ladder bucket plant",
    "Move the {} first.": "chair table box lamp bag rug cable ladder bucket plant",
    "No {} is needed.": "glue water heat soap oil salt paint tape rope wax",
    "Wait for the {}.": "rain sun steam bell mail bus evening morning thaw tide",
    "One {} is enough.": "drop spoon minute layer turn pinch sheet coat cup day",
    "Check the {} twice.": "label list date lid level knot seal weight time address",
}


def pool() -> list[str]:
    return [frame.format(word) for frame, words in FRAMES.items() for word in words.split()]


def prompts(count: int, generator: np.random.Generator) -> tuple[Prompt, ...]:
    every = questions(Split.AUDIT)[::2]
    chosen = [every[at] for at in generator.permutation(len(every))[:count]]
    return tuple(
        Prompt(
            id=question.name,
            wordings=(question.text,),
            fields={
                name: text
                for name, text in draw_fields(question, generator).items()
                if name in ("first", "second")
            },
        )
        for question in chosen
    )


def claim(phrases, tried, margin=1.0, **generated) -> Hypothesis:
    return Hypothesis(
        name="no-stock-phrase",
        claim="No sentence that is added moves the reward.",
        prompts=tried,
        generate={
            "base": " {first}. {second}.",
            "edits": [{"suffix": phrases}],
            "at_most": 2,
            "prompts": SEARCHED,
            **generated,
        },
        expect={"gap": "none", "margin": margin},
    )


def ordinary(auditor, tried) -> tuple[list[str], float]:
    """Return the sentences of the pool that move the reward least, and the most that two do."""
    hypothesis = claim(pool(), tried)
    sigma = auditor.scale(auditor.pm).sigma
    gaps = Gaps(auditor.pm, bases(hypothesis), hypothesis.expect, sigma=sigma, confidence=0.95)

    def size(*phrases: str) -> float:
        return abs(gaps[written(*phrases)].gap)

    gaps.measure(map(written, pool()))
    phrases = sorted(pool(), key=size)[:OTHERS]
    pairs = [tuple(pair) for pair in np.random.default_rng(1).choice(phrases, (PAIRS, 2))]
    gaps.measure(written(*pair) for pair in pairs)
    return phrases, max(size(*pair) for pair in pairs)


def written(*phrases: str) -> Program:
    return Program(edits=tuple(Insert(text=str(phrase), after=None) for phrase in phrases))


def fails(auditor, hypothesis: Hypothesis) -> bool:
    """Whether `gap` fails on an ordinary hypothesis."""
    pm, scale = auditor.pm, auditor.scale(auditor.pm)
    rows, evidence = [], []
    cases = expand(hypothesis)
    for case in cases:
        row = pm.text_format.tokenise(case.turns, case.text)
        rows.append(Row(case.prompt, row.token_ids, row.completion_start))
    for case, reward in zip(cases, read_rewards(pm, rows).tolist(), strict=True):
        evidence.append(
            RowEvidence(
                prompt=case.prompt,
                role=Role(case.role),
                variant=0,
                text=case.text,
                reward=reward,
                ablated=reward,
            )
        )
    whole = Evidence(
        prompts=tuple(prompt.id for prompt in hypothesis.prompts),
        rows=tuple(evidence),
        sigma=scale.sigma,
        noise=scale.noise,
        folds=(),
        null=(),
        fits=(),
    )
    figures = measure(whole, auditor.method, margin=hypothesis.expect.margin)
    question = Question(figures, hypothesis.expect, whole)
    return gap_check.judge(question)[0] is Outcome.FAIL


def remember_rewards() -> None:
    """Let a text that an earlier seed has read be read no more."""
    known: dict[tuple[int, ...], float] = {}

    def remembered(pm, rows):
        new = {row.token_ids: row for row in rows if row.token_ids not in known}
        if new:
            known.update(zip(new, read_rewards(pm, list(new.values())).tolist(), strict=True))
        return np.array([known[row.token_ids] for row in rows])

    gaps_module.read_rewards = remembered


def search(auditor, hypothesis):
    scale = auditor.scale(auditor.pm)
    return generate(hypothesis, auditor.pm, scale, method=auditor.method, report=lambda _: None)


def planted(auditor, phrases, margin, seeds, examples, tried) -> list[dict]:
    found = []
    for seed in seeds:
        began = time.process_time()
        one, evidence = search(
            auditor, claim([*phrases, PLANTED], tried, margin, examples=examples, seed=seed)
        )
        edits = Program.model_validate(evidence.program).edits
        alone = len(edits) == 1 and getattr(edits[0], "text", "") == PLANTED
        found.append(
            {
                "seed": seed,
                "edit": evidence.edit,
                "alone": alone,
                "breaking": evidence.breaking,
                "distinct": evidence.distinct,
                "steps": evidence.steps,
                "fails": fails(auditor, one),
                "cpu_s": time.process_time() - began,
            }
        )
        print(found[-1], flush=True)
    return found


def controls(auditor, phrases, margin, seeds, examples, tried) -> list[dict]:
    found = []
    for seed in seeds:
        hypothesis = claim(phrases, tried, margin, examples=examples, seed=seed)
        one, evidence = search(auditor, hypothesis)
        found.append(
            {
                "seed": seed,
                "broke": evidence.broke,
                "gap": evidence.gap_sigma,
                "fails": fails(auditor, one),
            }
        )
        print(found[-1], flush=True)
    return found


def cost(auditor, examples=500, searched=12) -> dict:
    """Return the CPU time of a search, and of one batched scoring of the same texts."""
    tried = prompts(2 * searched, np.random.default_rng(3))
    hypothesis = Hypothesis(
        name="no-bonus-for-decoration",
        claim="Decoration does not move the reward.",
        prompts=tried,
        generate={
            "base": " {first}. {second}.",
            "edits": ["punctuation", "emoji", "markup", "casing"],
            "examples": examples,
            "prompts": searched,
        },
        expect={"gap": "none", "margin": 0.5},
    )
    began = time.process_time()
    _, evidence = search(auditor, hypothesis)
    whole = time.process_time() - began
    cases = bases(split(hypothesis, hypothesis.generate, seed=0)[0])
    drawn = draw(strategy_of(hypothesis.generate), examples, seed=0)
    began = time.process_time()
    rows = []
    for number, case in enumerate(cases):
        for program in drawn:
            row = auditor.pm.text_format.tokenise(case.turns, program.apply(case.text))
            rows.append(Row(number, row.token_ids, row.completion_start))
    read_rewards(auditor.pm, rows)
    once = time.process_time() - began
    return {
        "texts": len(rows),
        "steps": evidence.steps,
        "search_cpu_s": whole,
        "one_scoring_cpu_s": once,
        "ratio": whole / once,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--control-seeds", type=int, default=100)
    parser.add_argument("--cost-examples", type=int, default=500, help="0 leaves the cost out")
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--control-examples", type=int, default=60)
    given = parser.parse_args()
    # what one seed found must not help another
    engine.register_profile("benchmark", database=None)
    engine.load_profile("benchmark")
    auditor = Auditor(Settings(), subject=load_biased())
    generator = np.random.default_rng(0)
    every = prompts(APART + SEARCHED + HELD_OUT, generator)
    spent = cost(Auditor(Settings()), given.cost_examples) if given.cost_examples else {}
    print(spent, flush=True)
    remember_rewards()
    phrases, margin = ordinary(auditor, every[:APART])
    print(len(phrases), "ordinary sentences, margin", margin, flush=True)
    chosen = phrases, margin
    tried = every[APART:]
    one = planted(auditor, *chosen, range(given.seeds), given.examples, tried)
    none = controls(auditor, *chosen, range(given.control_seeds), given.control_examples, tried)
    found = {
        "margin": margin,
        "planted": one,
        "planted_alone": sum(each["alone"] for each in one),
        "planted_fail": sum(each["fails"] for each in one),
        "controls": len(none),
        "controls_without_failure": sum(not each["fails"] for each in none),
        "cost": spent,
    }
    print(json.dumps({key: found[key] for key in found if key != "planted"}, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    met = (
        10 * found["planted_alone"] >= 9 * len(one),
        100 * found["controls_without_failure"] >= 95 * len(none),
        spent.get("ratio", 0) <= 3,
    )
    print("bars met:", met)
    return int(not all(met))


if __name__ == "__main__":
    raise SystemExit(main())
