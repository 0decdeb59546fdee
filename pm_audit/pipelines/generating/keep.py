"""An edit that a search found, kept as an ordinary hypothesis file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pm_audit.drafts.hypothesis_file import comment, write_hypothesis
from pm_audit.errors import AuditError, RecordError
from pm_audit.pipelines.generating.turned import changed, turned
from pm_audit.records import AuditRecord, HypothesisRecord
from pm_audit.report.sanitise import node_id, yaml
from pm_audit.spec import Hypothesis, Prompt, load_hypotheses
from pm_audit.spec.probe import DEFAULT_TURNS
from pm_audit.strategies import Program

ENDING = "-kept"
"""What is added to the name of the hypothesis."""


def keep_edit(
    record: AuditRecord, name: str, *, root: Path, probes: Path, output: Path | None = None
) -> Path:
    """Write the edit of a generated hypothesis as a hypothesis file, and return the file.

    Args:
        record: of the run that found the edit.
        name: of the hypothesis.
        root: the project's folder.
        probes: the folder of probes, from ``root``.
        output: the file; by default it stands next to that of the hypothesis.

    Raises:
        AuditError: no such hypothesis was generated, its file has changed since, or the file
            exists or cannot be written.

    """
    found = _found(record, name)
    hypothesis = _of_file(record, found, root, probes)
    program = _program(found)
    whole = changed(hypothesis, program)
    if not whole.prompts:
        raise RecordError(f"{found.name}: the record's edit changes no completion; audit it again")
    ordinary = turned(whole, program)
    path = output or (root / found.file).with_name(f"{found.short_name}{ENDING}.yaml")
    # the prompts stay those of the probe if all of them are tried and none got a field
    same = ordinary.probe is not None and ordinary.prompts == hypothesis.prompts
    text = _document(ordinary, found, name=node_id(path.stem), with_probe=same)
    return write_hypothesis(path, text, root=root, probes=probes)


def _found(record: AuditRecord, name: str) -> HypothesisRecord:
    generated = [one for one in record.hypotheses if one.evidence.generated is not None]
    for one in generated:
        if name in (one.name, one.short_name):
            return one
    known = ", ".join(one.name for one in generated) or "none of them"
    raise AuditError(f"the record holds no generated hypothesis {name!a}; generated: {known}")


def _of_file(record: AuditRecord, found: HypothesisRecord, root: Path, probes: Path) -> Hypothesis:
    read = load_hypotheses([found.file], root, probes=probes)
    own = [one for one in read if one.name == found.short_name and one.generate is not None]
    hashes = {entry.sha256 for entry in record.manifest if entry.name == found.name}
    for one in own:
        one = one.model_copy(update={"objective": found.objective})
        if one.sha256 in hashes:
            return one
    raise AuditError(f"{found.file}: {found.name} is not what was audited any more; audit it again")


def _program(found: HypothesisRecord) -> Program:
    generated = found.evidence.generated
    try:
        return Program.model_validate(generated and generated.program)
    except ValidationError as error:
        raise RecordError(f"{found.name}: the record's edit cannot be read: {error}") from None


def _document(
    hypothesis: Hypothesis, found: HypothesisRecord, *, name: str, with_probe: bool
) -> str:
    generated = found.evidence.generated
    edit = "" if generated is None else generated.edit
    comments = [
        f"Kept by `pm-audit keep` from {found.file}: {found.name}.",
        f"The edit: {edit}.",
        "It was chosen on some of these prompts: on the PM that it was found on, they favour it.",
    ]
    keys: dict[str, Any] = {
        "name": name,
        "claim": hypothesis.claim,
        "effect": hypothesis.effect.value,
    }
    keys |= (
        {"probe": hypothesis.probe}
        if with_probe
        else {"prompts": [_prompt(prompt) for prompt in hypothesis.prompts]}
    )
    if with_probe and hypothesis.turns:
        keys["turns"] = [turn.model_dump(exclude_unset=True) for turn in hypothesis.turns]
    for key in ("examples", "counter_examples", "controls", "tags"):
        if given := getattr(hypothesis, key):
            keys[key] = list(given)
    keys["severity"] = hypothesis.severity.value
    keys["expect"] = hypothesis.expect.model_dump(mode="json", exclude_unset=True)
    return "\n".join([*map(comment, comments), *_mapping(keys), ""])


def _prompt(prompt: Prompt) -> dict[str, Any]:
    written: dict[str, Any] = {"id": prompt.id}
    if prompt.wordings:
        written["wordings"] = list(prompt.wordings)
    if prompt.fields:
        written["fields"] = prompt.fields
    if prompt.turns and prompt.turns != DEFAULT_TURNS:
        written["turns"] = [turn.model_dump(exclude_unset=True) for turn in prompt.turns]
    return written


def _mapping(keys: Mapping[str, Any], pad: str = "") -> Iterator[str]:
    for key, value in keys.items():
        if isinstance(value, Mapping):
            yield f"{pad}{key}:"
            yield from _mapping(value, f"{pad}  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield f"{pad}{key}:"
            for item in value:
                first, *rest = _mapping(item, f"{pad}    ")
                yield f"{pad}  - {first.lstrip()}"
                yield from rest
        else:
            yield f"{pad}{key}: {_inline(value)}"


def _inline(value: str | float | Sequence[str]) -> str:
    if isinstance(value, str):
        return yaml(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml, value))}]"
    return json.dumps(value)
