"""A project's own command that names drafts: drafts go in, names and claims come out, as JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pm_audit.drafts.written import Draft, Proposal
from pm_audit.errors import AuditError
from pm_audit.pipelines import label_command
from pm_audit.spec.written import Name
from pm_audit.spec.written import Text as Claim

_COMMAND = "name_command"
"""What names the command of the user's, for messages."""


def require_command(command: str, root: Path) -> None:
    """Raise an ``AuditError`` if a command that names drafts is not there."""
    label_command.program(command, root, setting=_COMMAND)


class _Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    draft: str
    name: Name | None = None
    claim: Claim | None = None


def renamed(proposal: Proposal, command: str, *, root: Path, seconds: float = 600.0) -> Proposal:
    """Return the proposal with the names and claims that a command of the user's gives.

    The command reads a line of JSON for each draft and writes ``{"draft": NAME, "name": ...,
    "claim": ...}`` for those that it renames; either may be left out.

    Raises:
        AuditError: the command cannot be run, fails, or writes something else.

    """
    known = {draft.name: draft for draft in proposal.drafts}
    lines = label_command.answers(
        command,
        [_asked(draft) for draft in proposal.drafts],
        root=root,
        seconds=seconds,
        setting=_COMMAND,
    )
    for number, line in lines:
        try:
            answer = _Renamed.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]["msg"]
            raise AuditError(
                f"{_COMMAND}: line {number} of its output is no draft with a name: {fault}"
            ) from None
        if answer.draft not in known:
            raise AuditError(f"{_COMMAND}: line {number}: no draft is called {answer.draft!a}")
        draft = known[answer.draft]
        claim = answer.claim or draft.claim
        known[answer.draft] = replace(draft, name=answer.name or draft.name, claim=claim)
    names = [draft.name for draft in known.values()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AuditError(f"{_COMMAND}: several drafts are called {', '.join(twice)}")
    return replace(proposal, drafts=tuple(known.values()))


def _asked(draft: Draft) -> dict[str, Any]:
    """Return what a command reads of a draft."""
    return {
        "draft": draft.name,
        "claim": draft.claim,
        "effect": draft.effect.value,
        "gap": draft.gap.value,
        "labels": [feature.label.text for feature in draft.features if feature.label],
        "pairs": [
            {
                "prompt": pair.example.text.turns[-1].text,
                "example": pair.example.text.completion,
                "counter_example": pair.counter_example.text.completion,
            }
            for pair in draft.pairs
        ],
    }
