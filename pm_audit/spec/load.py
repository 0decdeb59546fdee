"""Load hypotheses and probes of a project: every fault of every file in one error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from pm_audit.errors import InvalidSpec, Place, Problem
from pm_audit.spec.faults import (
    Fault,
    advice,
    bias_faults,
    misfits,
    prompt_faults,
    repeats,
    source_faults,
    too_few,
    too_many,
    turn_faults,
)
from pm_audit.spec.generate import WrittenGenerate, read_phrases
from pm_audit.spec.hypothesis import PYTHON, Hypothesis, WrittenHypothesis
from pm_audit.spec.nodes import Node, from_python
from pm_audit.spec.pairs import read_written
from pm_audit.spec.probe import DEFAULT_TURNS, Prompt, WrittenProbe
from pm_audit.spec.project_files import YAML_SUFFIXES, inside, read_text, shown, yaml_files
from pm_audit.spec.strict_yaml import Document, parse
from pm_audit.spec.validation import near, validate, without_faults
from pm_audit.spec.written import WrittenTurn

PROBES = Path("probes")
"""The folder of probes, from the project root."""

_STAND_INS = {
    "name": "a",
    "claim": "a",
    "effect": "raises",
}
"""What stands in for a key that is missing or wrong while the others are examined."""

_SIDES = {"examples": (" a",), "counter_examples": (" b",)}

Result = TypeVar("Result")


def load_hypotheses(
    hypotheses: Iterable[Path | str | Hypothesis], root: Path, *, probes: Path = PROBES
) -> tuple[Hypothesis, ...]:
    """Return hypotheses in the order given, those of a folder in the order of its files.

    Args:
        hypotheses: YAML files, or folders searched for them; relative paths start at ``root``.
            A hypothesis made in Python gets the prompts of its probe and is examined as a file is.
        root: the project's folder; nothing outside it is read.
        probes: the folder of probes, from ``root``.

    Raises:
        InvalidSpec: anything wrong in any hypothesis; holds every fault.

    """
    reading = _Reading(Path(root), probes)
    sources: dict[object, Path | Hypothesis] = {}
    for each in hypotheses:
        if isinstance(each, Hypothesis):
            sources[id(each)] = each
            continue
        for file in reading.attempt(partial(yaml_files, Path(each), reading.root)) or ():
            real = reading.attempt(partial(inside, file, reading.root))
            if real is not None:
                sources.setdefault(real, file)
    loaded = [each for source in sources.values() for each in reading.hypotheses(source)]
    reading.refuse_duplicates(loaded)
    reading.finish()
    return tuple(loaded)


class _Reading:
    """One reading of a project: probes read so far, and every problem met."""

    def __init__(self, root: Path, probes: Path) -> None:
        self.root = root.absolute()
        self.folder = probes
        self.problems: list[Problem] = []
        self._probes: dict[str, WrittenProbe | None] = {}

    def attempt(self, action: Callable[[], Result]) -> Result | None:
        """Run ``action``; keep its problems and return None if it has some."""
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

    def hypotheses(self, source: Path | Hypothesis) -> Iterator[Hypothesis]:
        """Yield what can be audited: the hypotheses of one file, or the one made in Python."""
        if isinstance(source, Path):
            yield from self.in_file(source)
        else:
            yield from self.made_in_python(source)

    def in_file(self, path: Path) -> Iterator[Hypothesis]:
        document = self.document(path)
        if document is None:
            return
        items = document.top.items()
        if not items:
            place = document.top.place
            self.problems.append(Problem(place, "empty list; write a hypothesis, or no file"))
            return
        ends = [item.place.line or 1 for item in items[1:]] + [None]
        for item, end in zip(items, ends, strict=True):
            written = self.attempt(partial(validate, WrittenHypothesis, item))
            if written is None:
                self._examine_the_rest(item)
                continue
            texts = self._texts(item, written)
            self._keep(item, bias_faults(written))
            if texts is None:
                continue
            own = [w for w in document.warnings if _within(w.place, item.place, end)]
            yield Hypothesis.model_validate(
                {key: getattr(written, key) for key in written.model_fields_set}
                | texts
                | {
                    "file": shown(path, self.root),
                    "line": item.place.line or 1,
                    "lines": tuple(item.lines()),
                    "warnings": (*map(str, own), *_advice(written, item)),
                }
            )

    def made_in_python(self, hypothesis: Hypothesis) -> Iterator[Hypothesis]:
        """Yield the hypothesis with its prompts at hand, if nothing is wrong with it."""
        written = hypothesis.model_dump(mode="json", exclude_unset=True, warnings=False)
        # again, as model_copy and model_construct validate nothing
        whole = self.attempt(partial(Hypothesis, **written))
        if whole is None:
            return
        given = hypothesis.pair_set
        hypothesis = whole if given is None else whole.model_copy(update={"pair_set": given})
        read = hypothesis.file != PYTHON and bool(hypothesis.prompts)
        item = from_python(written, f"{hypothesis.file}:{hypothesis.name}")
        self._keep(item, bias_faults(hypothesis))
        # one that was read from a file keeps the name of its probe
        own = hypothesis.model_copy(update={"probe": None}) if read else hypothesis
        texts = self._texts(item, own)
        if read and texts is not None:
            yield hypothesis
        elif texts is not None:
            warnings = _advice(hypothesis, item)
            # without its probe: the prompts stand in the hypothesis from here on
            yield hypothesis.model_copy(update=texts | {"probe": None, "warnings": warnings})

    def probe(self, name: str, place: Place) -> WrittenProbe | None:
        """Return the probe, read once; a probe with faults is reported once."""
        if name not in self._probes:
            self._probes[name] = self.attempt(partial(self.read_probe, name, place))
        return self._probes[name]

    def read_probe(self, name: str, place: Place) -> WrittenProbe:
        folder = inside(self.folder, self.root)
        found = [path for suffix in YAML_SUFFIXES if (path := folder / f"{name}{suffix}").exists()]
        if len(found) != 1:
            stems = {path.stem for path in folder.glob("*") if path.suffix in YAML_SUFFIXES}
            known = "two files have this name; keep one" if found else near(name, stems)
            where = shown(folder, self.root.resolve())
            raise InvalidSpec([Problem(place, f"no probe `{name}` in {where}/: {known}")])
        path = self.root / self.folder / found[0].name
        top = parse(read_text(path, self.root), shown(path, self.root)).top
        written = validate(WrittenProbe, top)
        faults = (*turn_faults(written.turns), *prompt_faults(written.prompts, written.turns))
        if faults:
            raise InvalidSpec(Problem(_place(top, key), message) for key, message in faults)
        return written

    def _texts(self, item: Node, written: WrittenHypothesis) -> dict[str, object] | None:
        """Return what a hypothesis tries, by its field; None if something does not fit."""
        if written.pairs is None:
            prompts = self._prompts(item, written)
            generate = self._generate(item, written)
            if prompts is None or (written.generate is not None and generate is None):
                return None
            return {"prompts": prompts} | ({} if generate is None else {"generate": generate})
        before = len(self.problems)
        self._keep(item, source_faults(written))
        found = written.pair_set if isinstance(written, Hypothesis) else None
        if found is None:
            found = self.attempt(partial(read_written, written.pairs, item, self.root))
        if found is not None:
            self._keep(item, too_many(found))
        return {"pair_set": found} if len(self.problems) == before else None

    def _generate(self, item: Node, written: WrittenHypothesis) -> WrittenGenerate | None:
        """Return what is generated, with the phrases of its files; None if they do not fit."""
        if written.generate is None:
            return None
        return self.attempt(partial(read_phrases, written.generate, item, self.root))

    def _prompts(
        self, item: Node, written: WrittenHypothesis, *, whole: bool = True
    ) -> tuple[Prompt, ...] | None:
        """Return the prompts with the turns that apply, or None if something does not fit."""
        before = len(self.problems)
        self._keep(item, turn_faults(written.turns))
        if unclear := list(source_faults(written)):
            self._keep(item, unclear)
            return None
        shared: tuple[WrittenTurn, ...] = ()
        prompts = written.prompts
        if written.probe:
            probe = self.probe(written.probe, item.locate(("probe",)))
            if probe is None:
                # the faults of a broken probe are reported once, for all that use it
                return None
            prompts, shared = probe.prompts, probe.turns
        else:
            self._keep(item, prompt_faults(prompts, written.turns))
        resolved = tuple(
            prompt.model_copy(
                update={"turns": written.turns or prompt.turns or shared or DEFAULT_TURNS}
            )
            for prompt in prompts
        )
        found = [*misfits(written, resolved), *too_few(written, resolved)]
        if whole and not found and len(self.problems) == before:
            found = list(repeats(written.model_copy(update={"prompts": resolved})))
        self._keep(item, found)
        return resolved if len(self.problems) == before else None

    def _keep(self, item: Node, faults: Iterable[Fault]) -> None:
        self.problems += (Problem(_place(item, key), message) for key, message in faults)

    def _examine_the_rest(self, item: Node) -> None:
        """Keep what is wrong with the probe and the templates of a hypothesis with other faults."""
        without_sides = isinstance(item.value, dict) and {"pairs", "generate"} & item.value.keys()
        stand_ins = _STAND_INS if without_sides else _STAND_INS | _SIDES
        rest = without_faults(WrittenHypothesis, item, stand_ins=stand_ins)
        if rest is not None and rest.pairs is not None:
            self._texts(item, rest)
            self._keep(item, bias_faults(rest))
        elif rest is not None and bool(rest.probe) != bool(rest.prompts):
            self._prompts(item, rest, whole=False)
            self._generate(item, rest)
            self._keep(item, bias_faults(rest))

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


def _within(place: Place, start: Place, end: int | None) -> bool:
    return (place.line or 1) >= (start.line or 1) and (end is None or (place.line or 1) < end)


def _place(item: Node, key: str) -> Place:
    """Return the place of ``key``, such as ``"examples.0"``, or of what it would stand in."""
    path = tuple(int(step) if step.isdigit() else step for step in key.split("."))
    return item.locate(path)


def _advice(hypothesis: WrittenHypothesis, item: Node) -> tuple[str, ...]:
    return tuple(f"{_place(item, key)}: {message}" for key, message in advice(hypothesis))
