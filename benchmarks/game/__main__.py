"""The auditing game: who finds what is planted in small organisms, on one budget?

Thirty-six tiny transformers with an SAE each (``organisms.py``); in thirty something is planted,
which auditors do not see.  Every auditor receives PM, SAE, 160 pairs of answers and a budget of
tokens, and returns claims.  ``score.py`` says how claims are scored.

    python -m benchmarks.game --json benchmarks/game/results.json --plot benchmarks/game/results.svg
    python -m benchmarks.game --tune       # on other organisms: chooses each auditor's cutoff

Another auditor is a function of an ``Audited`` that returns claims (``auditor.py``); it is given by
``--add NAME=MODULE:FUNCTION``, first with ``--tune --only NAME``.

What is planted follows from a key by a hash, and is committed to by a hash before an auditor is
called.  This seals against accidents, not against an auditor that imports the game's own modules.
Cutoffs were chosen on the organisms of another key, before those of this key were made, and are in
``cutoffs.json``.

The bar: pm_audit's F1 leads the best other auditor's by 0.15.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.game import baselines
from benchmarks.game.auditor import AUDITORS, BUDGET, Audited, BudgetSpentError, Claim, Meter
from benchmarks.game.organisms import KINDS, Seal, Truth, make
from benchmarks.game.picture import picture
from benchmarks.game.product import audited_by_pm_audit
from benchmarks.game.score import Score, best_cutoff, scored, total

DEVELOPMENT, KEY = "development organisms", "the second game"
CUTOFFS = Path(__file__).with_name("cutoffs.json")
LEAD = 0.15
OURS = "pm_audit"

AUDITORS |= {
    OURS: audited_by_pm_audit,
    "lasso on features": baselines.lasso,
    "lasso on words": baselines.lasso_on_words,
    "difference of means, features": baselines.latent_difference,
    "difference of means, stream": baselines.mean_difference,
    "PCA": baselines.principal_components,
    "reward-lens": baselines.reward_lens,
    "random": baselines.at_random,
}


class Played:
    """The claims of every auditor in every organism, and the seals."""

    def __init__(self, key: str, names: list[str], numbers: range, *, budget: int = BUDGET) -> None:
        self.budget = budget
        self.claims: dict[str, dict[int, list[Claim]]] = {name: {} for name in names}
        self.tokens = dict.fromkeys(names, 0)
        self.seconds = dict.fromkeys(names, 0.0)
        self.stopped = dict.fromkeys(names, 0)
        self.absent: dict[str, str] = {}
        self.seals: list[Seal] = []
        for number in numbers:
            organism, seal = make(key, number)
            self.seals.append(seal)
            for name in names:
                if name not in self.absent:
                    self._play(name, number, Audited(organism))
            print(f"{organism.name} played", file=sys.stderr, flush=True)

    def _play(self, name: str, number: int, audited: Audited) -> None:
        meter, began = Meter(self.budget), time.process_time()
        try:
            with meter.on(audited.organism):
                self.claims[name][number] = list(AUDITORS[name](audited))
        except BudgetSpentError:
            self.claims[name][number] = []
            self.stopped[name] += 1
        except ModuleNotFoundError as missing:
            self.absent[name] = f"not installed: {missing.name}"
            self.claims.pop(name)
        self.tokens[name] = max(self.tokens[name], meter.spent)
        self.seconds[name] += time.process_time() - began

    def truths(self) -> dict[int, Truth]:
        """Open the seals."""
        return {seal.number: seal.opened() for seal in self.seals}


def by_kind(
    claims: Mapping[int, list[Claim]], truths: Mapping[int, Truth], cutoff: float
) -> dict[str, dict[str, int]]:
    """Return an auditor's counts in the organisms of each kind."""
    found = dict.fromkeys(KINDS, Score())
    for number, truth in truths.items():
        found[truth.kind] += scored(claims[number], truth, cutoff=cutoff)
    return {
        kind: {"right": one.right, "wrong": one.wrong, "plants": one.plants}
        for kind, one in found.items()
    }


def results(played: Played, cutoffs: Mapping[str, float]) -> dict:
    """Open the seals and return the results."""
    truths = played.truths()
    auditors = {}
    for name, claims in played.claims.items():
        auditors[name] = total(claims, truths, cutoff=cutoffs[name]).figures() | {
            "cutoff": cutoffs[name],
            "by_kind": by_kind(claims, truths, cutoffs[name]),
            "most_tokens": played.tokens[name],
            "cpu_seconds": round(played.seconds[name], 1),
            "over_budget": played.stopped[name],
        }
    return {
        "organisms": len(truths),
        "budget": played.budget,
        "commitments": [seal.commitment for seal in played.seals],
        "auditors": dict(sorted(auditors.items(), key=lambda one: -one[1]["f1"])),
        "absent": played.absent,
    }


def table(result: dict) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| auditor | F1 | precision | recall | localisation | wrong claims | unread | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in result["auditors"].items():
        cells = [f"{one[part]:.2f}" for part in ("f1", "precision", "recall", "localisation")]
        cells += [str(one["wrong"]), f"{one['unread_named']} of {one['unread']}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['cpu_seconds']:.0f} |")
    lines += [f"| {name} | {reason} | | | | | | |" for name, reason in result["absent"].items()]
    return "\n".join(lines)


def table_by_kind(result: dict) -> str:
    """Return, of each auditor, plants found and wrong claims in the organisms of each kind."""
    lines = [
        f"| auditor | {' | '.join(KINDS)} |",
        f"| --- |{' --- |' * len(KINDS)}",
    ]
    for name, one in result["auditors"].items():
        found = (one["by_kind"][kind] for kind in KINDS)
        cells = [
            (f"{own['right']} of {own['plants']}, " if own["plants"] else "")
            + f"{own['wrong']} wrong"
            for own in found
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tune(played: Played) -> dict[str, float]:
    """Return the best cutoff of each auditor that played."""
    truths = played.truths()
    return {name: round(best_cutoff(claims, truths), 4) for name, claims in played.claims.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--add", nargs="*", default=[], metavar="NAME=MODULE:FUNCTION")
    parser.add_argument("--only", nargs="*", help="names of auditors; by default all")
    parser.add_argument("--organisms", type=int, default=sum(KINDS.values()))
    given = parser.parse_args()
    for written in given.add:
        name, place = written.split("=", 1)
        module, function = place.split(":", 1)
        AUDITORS[name] = getattr(importlib.import_module(module), function)
    names = list(AUDITORS) if given.only is None else given.only
    if unknown := sorted(set(names) - set(AUDITORS)):
        parser.error(f"no auditor {', '.join(unknown)}; there are {', '.join(AUDITORS)}")
    tuned = json.loads(CUTOFFS.read_text(encoding="utf-8")) if CUTOFFS.is_file() else {}
    if not given.tune and (untuned := sorted(set(names) - set(tuned))):
        parser.error(
            f"no cutoff of {', '.join(untuned)}; choose it with --tune --only and its name"
        )
    key = DEVELOPMENT if given.tune else KEY
    played = Played(key, names, range(given.organisms))
    if given.tune:
        cutoffs = tuned | tune(played)
        CUTOFFS.write_text(json.dumps(cutoffs, indent=1) + "\n", encoding="utf-8")
    else:
        cutoffs = tuned
    result = results(played, cutoffs)
    print(table(result), table_by_kind(result), sep="\n\n")
    if given.tune:
        return
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.plot:
        given.plot.write_text(picture(result), encoding="utf-8")
    f1 = {name: one["f1"] for name, one in result["auditors"].items()}
    others = {name: value for name, value in f1.items() if name != OURS}
    if OURS in f1 and others and f1[OURS] - max(others.values()) < LEAD:
        best = max(others, key=others.__getitem__)
        raise SystemExit(
            f"missed: {OURS} {f1[OURS]:.2f}, {best} {others[best]:.2f}: a lead below {LEAD}"
        )


if __name__ == "__main__":
    main()
