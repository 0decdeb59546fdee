"""How far a run is, as its processes note it, and how long the rest may take.

Each process that audits keeps one small file in the folder that the run shares; the process with
the terminal reads them.  The estimate starts from a prior and is corrected by each step of the
first hypothesis; once a hypothesis is finished, it rests on whole hypotheses.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

PRIOR_SECONDS = 12.0
"""A hypothesis of the default PM on two cores, before anything was measured."""
SHARES = (0.18, 0.19, 0.43, 0.20)
"""Shares of a hypothesis' time by step, measured on the default PM."""
_LATE = 0.05
"""Least share of a hypothesis that is left while it is audited."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one process does; times are seconds since the epoch."""

    text: str = ""
    """The step, in words."""
    since: float = 0.0
    """When the step began."""
    began: float | None = None
    """When the hypothesis began; None outside of one."""
    number: int = 0
    """Steps of the hypothesis that have begun."""
    finished: tuple[float, ...] = ()
    """Seconds that each finished hypothesis took."""


class Steps:
    """Notes down the steps of this process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"steps-{os.getpid()}.json"
        self._standing = Standing()

    def note(self, text: str) -> None:
        """Note that a step begins."""
        now = time.time()
        number = self._standing.number + (self._standing.began is not None)
        self._write(replace(self._standing, text=text, since=now, number=number))

    def begin(self, name: str) -> None:
        """Note that the audit of a hypothesis begins."""
        now = time.time()
        self._write(replace(self._standing, text=name, since=now, began=now, number=0))

    def end(self) -> None:
        """Note that it has ended."""
        began, finished = self._standing.began, self._standing.finished
        taken = () if began is None else (time.time() - began,)
        self._write(Standing(finished=(*finished, *taken)))

    def _write(self, standing: Standing) -> None:
        self._standing = standing
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(asdict(standing)), encoding="utf-8")
            new.replace(self._path)
        except OSError:
            return  # on a full disk the audit goes on without its progress line


def read(folder: Path) -> tuple[Standing, ...]:
    """Return what each process of the run does."""
    found = []
    for path in sorted(folder.glob("steps-*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found.append(Standing(**values | {"finished": tuple(values["finished"])}))
    return tuple(found)


def seconds_left(standings: Sequence[Standing], total: int, *, now: float) -> float:
    """Return an estimate of the time until ``total`` hypotheses are audited."""
    finished = [seconds for one in standings for seconds in one.finished]
    elapsed = [now - one.began for one in standings if one.began is not None]
    each = mean(finished) if finished else _each(standings, now)
    waiting = max(total - len(finished) - len(elapsed), 0)
    work = sum(max(each - spent, _LATE * each) for spent in elapsed) + each * waiting
    return work / max(min(len(standings), len(elapsed) + waiting), 1)


def _each(standings: Sequence[Standing], now: float) -> float:
    """Return the seconds of a hypothesis, from the steps of those that are being audited."""
    estimates = []
    for one in standings:
        if one.began is None:
            continue
        done = sum(SHARES[: max(one.number - 1, 0)])
        if done:
            estimates.append((one.since - one.began) / done)
        else:
            estimates.append(max(PRIOR_SECONDS, (now - one.began) / SHARES[0]))
    return mean(estimates) if estimates else PRIOR_SECONDS


def sentence(standings: Sequence[Standing], total: int, *, now: float) -> str | None:
    """Return one line for the terminal; None before any process has noted anything."""
    busy = [one for one in standings if one.text]
    if not standings or not (busy or any(one.finished for one in standings)):
        return None
    done = sum(len(one.finished) for one in standings)
    # processes that do the same, such as loading, are one to a reader
    since = {one.text: one.since for one in sorted(busy, key=lambda one: -one.since)}
    texts = dict.fromkeys(one.text for one in busy)
    doing = "; ".join(f"{text}, {now - since[text]:.0f} s" for text in texts)
    left = _rounded(seconds_left(standings, total, now=now))
    begun = done or any(one.began is not None for one in standings)
    return f"[{done}/{total} audited, about {left} {'left' if begun else 'once loaded'}] {doing}"


def _rounded(seconds: float) -> str:
    if seconds > 100:
        return f"{math.ceil(seconds / 60)} min"
    return f"{max(5 * math.ceil(seconds / 5), 5)} s"
