"""Reading hypotheses and probes from a project: every fault of every file in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.records import Check
from pm_audit.spec import nodes
from pm_audit.spec.cases import completions_of, misfit, misfits, repeats, turns_misfit
from pm_audit.spec.hypothesis import ExpectedGap, Hypothesis, WrittenHypothesis, today
from pm_audit.spec.probe import DEFAULT_TURNS, QUESTION, Probe, Prompt, WrittenProbe
from pm_audit.spec.project_files import YAML_SUFFIXES, inside, read_text, shown, yaml_files
from pm_audit.spec.strict_yaml import Document, parse
from pm_audit.spec.template import Template
from pm_audit.spec.twins import twins
from pm_audit.spec.validation import near, validate, without_faults
from pm_audit.spec.written import WrittenTurn

PROBES = Path("probes")
"""The folder of probes, from the project root."""

_STAND_INS = {
    "name": "a",
    "claim": "a",
    "effect": "raises",
    "examples": (" a",),
    "counter_examples": (" b",),
}
"""What is read in place of a key that is missing or wrong, while the others are examined."""

Result = TypeVar("Result")


def load_hypotheses(
    paths: Iterable[Path | str], root: Path, *, probes: Path = PROBES
) -> tuple[Hypothesis, ...]:
    """Read the hypotheses of files and folders, in the order of the paths, then of the files.

    Args:
        paths: YAML files, or folders searched for them; relative paths start at ``root``.
        root: the project's folder; nothing outside it is read.
        probes: the folder of probes, from ``root``.

    Raises:
        InvalidSpec: anything wrong in any file; holds every fault.

    """
    reading = _Reading(Path(root), probes)
    files: dict[Path, Path] = {}
    for path in paths:
        found = reading.attempt(partial(yaml_files, Path(path), reading.root))
        for file in found or ():
            real = reading.attempt(partial(inside, file, reading.root))
            if real is not None:
                files.setdefault(real, file)
    loaded = [each for file in files.values() for each in reading.hypotheses(file)]
    reading.refuse_duplicates(loaded)
    reading.finish()
    return tuple(loaded)


def load_hypothesis(path: Path | str, root: Path, *, probes: Path = PROBES) -> Hypothesis:
    """Read a file that holds one hypothesis.

    Raises:
        InvalidSpec: anything wrong in the file, or more than one hypothesis in it.

    """
    first, *others = load_hypotheses([path], root, probes=probes)
    if others:
        message = "a second hypothesis starts here; one was asked for"
        raise InvalidSpec([Problem(Place(others[0].file, others[0].line), message)])
    return first


def load_probe(name: str, root: Path, *, probes: Path = PROBES) -> Probe:
    """Read one probe by its name.

    Raises:
        InvalidSpec: no such probe, or anything wrong in its file.

    """
    reading = _Reading(Path(root), probes)
    return reading.read_probe(name, Place(shown(reading.root / probes, reading.root)))


class _Reading:
    """One reading of a project: probes read so far, and every problem met."""

    def __init__(self, root: Path, probes: Path) -> None:
        self.root = root.absolute()
        self.folder = probes
        self.problems: list[Problem] = []
        self._probes: dict[str, Probe | None] = {}

    def attempt(self, action: Callable[[], Result]) -> Result | None:
        """Run ``action``; keep its problems and return None where it has some."""
        try:
            return action()
        except InvalidSpec as error:
            self.problems.extend(error.problems)
            return None

    def finish(self) -> None:
        order = list(dict.fromkeys(problem.place.file for problem in self.problems))
        rank = {file: number for number, file in enumerate(order)}
        found = sorted(
            dict.fromkeys(self.problems),
            key=lambda one: (rank[one.place.file], one.place.line or 0, one.place.column or 0),
        )
        if found:
            raise InvalidSpec(found)

    def document(self, path: Path) -> Document | None:
        return self.attempt(lambda: parse(read_text(path, self.root), shown(path, self.root)))

    def hypotheses(self, path: Path) -> Iterator[Hypothesis]:
        """Yield the hypotheses of one file that can be read."""
        document = self.document(path)
        if document is None:
            return
        top = document.top
        items = top.items if isinstance(top, nodes.Sequence) else (top,)
        if not items:
            self.problems.append(Problem(top.place, "empty list; write a hypothesis, or no file"))
            return
        ends = [item.place.line or 1 for item in items[1:]] + [None]
        for item, end in zip(items, ends, strict=True):
            written = self.attempt(partial(validate, WrittenHypothesis, item))
            if written is None:
                self._examine_the_rest(item)
                continue
            prompts = self._prompts(item, written)
            self.problems += _bias_problems(written, item)
            if prompts is None:
                continue
            own = [w for w in document.warnings if _within(w.place, item.place, end)]
            yield Hypothesis.model_validate(
                {key: getattr(written, key) for key in written.model_fields_set}
                | {
                    "prompts": prompts,
                    "file": shown(path, self.root),
                    "line": item.place.line or 1,
                    "lines": tuple(nodes.lines(item)),
                    "warnings": (*map(str, own), *_advice(written, item)),
                }
            )

    def probe(self, name: str, place: Place) -> Probe | None:
        """Return the probe, read once; a probe with faults is reported once."""
        if name not in self._probes:
            self._probes[name] = self.attempt(partial(self.read_probe, name, place))
        return self._probes[name]

    def read_probe(self, name: str, place: Place) -> Probe:
        folder = inside(self.folder, self.root)
        found = [path for suffix in YAML_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
        if len(found) != 1:
            stems = {path.stem for path in folder.glob("*") if path.suffix in YAML_SUFFIXES}
            known = "two files have this name; keep one" if found else near(name, stems)
            where = shown(folder, self.root.resolve())
            raise InvalidSpec([Problem(place, f"no probe `{name}` in {where}/: {known}")])
        path = self.root / self.folder / found[0].name
        file = shown(path, self.root)
        top = parse(read_text(path, self.root), file).top
        written = validate(WrittenProbe, top)
        problems = list(_turn_problems(top, ("turns",), written.turns))
        problems += _prompt_problems(top, written.prompts, written.turns)
        if problems:
            raise InvalidSpec(problems)
        return Probe.model_validate(
            {key: getattr(written, key) for key in written.model_fields_set}
            | {"name": name, "file": file}
        )

    def _prompts(
        self, item: nodes.Node, written: WrittenHypothesis, *, whole: bool = True
    ) -> tuple[Prompt, ...] | None:
        """Return the prompts with the turns that apply, or None where something does not fit."""
        before = len(self.problems)
        self.problems.extend(_turn_problems(item, ("turns",), written.turns))
        if bool(written.probe) == bool(written.prompts):
            place = nodes.locate(item, ("prompts",))
            message = "name one source of prompts: `probe:` or `prompts:`, and not both"
            self.problems.append(Problem(place, message))
            return None
        shared: tuple[WrittenTurn, ...] = ()
        prompts = written.prompts
        if written.probe:
            probe = self.probe(written.probe, nodes.locate(item, ("probe",)))
            if probe is None:
                # A broken probe speaks for itself, once; its other readers fail with it.
                return None
            prompts, shared = probe.prompts, probe.turns
        else:
            self.problems.extend(_prompt_problems(item, prompts, written.turns))
        resolved = tuple(
            prompt.model_copy(
                update={"turns": written.turns or prompt.turns or shared or DEFAULT_TURNS}
            )
            for prompt in prompts
        )
        found = list(misfits(written, resolved))
        if whole and not found and len(self.problems) == before:
            found = list(repeats(written.model_copy(update={"prompts": resolved})))
        self.problems += [Problem(nodes.locate(item, _path(key)), told) for key, told in found]
        return resolved if len(self.problems) == before else None

    def _examine_the_rest(self, item: nodes.Node) -> None:
        """Keep what is wrong with the probe and the templates of a hypothesis with other faults."""
        rest = without_faults(WrittenHypothesis, item, stand_ins=_STAND_INS)
        if rest is not None and bool(rest.probe) != bool(rest.prompts):
            self._prompts(item, rest, whole=False)
            self.problems += _bias_problems(rest, item)

    def refuse_duplicates(self, loaded: Sequence[Hypothesis]) -> None:
        first: dict[str, Hypothesis] = {}
        for hypothesis in loaded:
            earlier = first.setdefault(hypothesis.name, hypothesis)
            if earlier is not hypothesis:
                self.problems.append(
                    Problem(
                        Place(hypothesis.file, hypothesis.line_of("name")),
                        f"name `{hypothesis.name}` is taken by "
                        f"{earlier.file}:{earlier.line_of('name')}; names are unique in a project",
                    )
                )


def _prompt_problems(
    top: nodes.Node, prompts: tuple[Prompt, ...], shared: tuple[WrittenTurn, ...]
) -> Iterator[Problem]:
    """Yield what is wrong with prompts: ids, fields, and turns that cannot be filled in."""
    seen: set[str] = set()
    for number, prompt in enumerate(prompts):
        here = ("prompts", number)
        if prompt.id in seen:
            place = nodes.locate(top, (*here, "id"))
            yield Problem(place, f"prompt `{prompt.id}` stands here again; ids are unique")
        seen.add(prompt.id)
        if QUESTION in prompt.fields and prompt.wordings:
            place = nodes.locate(top, (*here, "fields", QUESTION))
            yield Problem(place, "`wordings` fill {question} already; rename this field")
            continue
        yield from _turn_problems(top, (*here, "turns"), prompt.turns)
        turns = prompt.turns or shared or DEFAULT_TURNS
        for position, turn in enumerate(turns):
            path = (*here, "turns", position) if prompt.turns else here
            try:
                message = misfit(Template.parse(turn.template), (prompt,))
            except ValueError as error:
                message = str(error)
            if message:
                yield Problem(nodes.locate(top, path), message)


def _turn_problems(
    top: nodes.Node, path: nodes.Path, turns: tuple[WrittenTurn, ...]
) -> Iterator[Problem]:
    fault = turns_misfit(turns)
    if fault:
        yield Problem(nodes.locate(top, (*path, fault[0])), fault[1])


def _bias_problems(written: WrittenHypothesis, item: nodes.Node) -> Iterator[Problem]:
    bias = written.known_bias
    if bias is not None and bias.too_far(today()):
        yield Problem(
            nodes.locate(item, ("known_bias", "expires")),
            f"{bias.expires} is more than a year away; a failure is accepted for a year at most, "
            "then somebody looks at it again: name a nearer day",
        )


def _advice(written: WrittenHypothesis, item: nodes.Node) -> Iterator[str]:
    """Yield warnings about what may not be as the author means it."""
    spaced = {text[:1].isspace() for _, text in _completions(written)}
    if len(spaced) == 2:
        yield (
            f"{nodes.locate(item, ('examples',))}: some completions begin with a space and some "
            "do not: the space may be what the PM reacts to; begin all alike"
        )
    for name, other, what in twins(tuple(_completions(written))):
        yield (
            f"{nodes.locate(item, _path(name))}: {name} and {other} differ in {what} alone, which "
            "a tokenizer may not read; change one of them unless that is the claim"
        )
    if written.expect.gap is ExpectedGap.NONE:
        for key in sorted({"closure", "collateral"} & written.expect.model_fields_set):
            place = nodes.locate(item, ("expect", key))
            yield f"{place}: `expect.{key}` is not asked where `expect.gap` is none; leave it out"
        skipped = {Check.EXPLAINED, Check.SPECIFIC}
        if written.known_bias is not None and skipped & set(written.known_bias.checks):
            place = nodes.locate(item, ("known_bias", "checks"))
            names = " and ".join(c for c in written.known_bias.checks if c in skipped)
            yield (
                f"{place}: {names} cannot fail where `expect.gap` is none; take it out of "
                "`known_bias.checks`"
            )


def _completions(written: WrittenHypothesis) -> Iterator[tuple[str, str]]:
    for role, texts in completions_of(written).items():
        for number, text in enumerate(texts):
            yield f"{role}s.{number}", text


def _within(place: Place, start: Place, end: int | None) -> bool:
    return (place.line or 1) >= (start.line or 1) and (end is None or (place.line or 1) < end)


def _path(key: str) -> nodes.Path:
    return tuple(int(step) if step.isdigit() else step for step in key.split("."))
