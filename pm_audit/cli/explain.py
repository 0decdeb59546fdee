"""`pm-audit explain`: which features make a PM prefer one completion to another."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pm_audit.cli import options
from pm_audit.report.sanitise import terminal

if TYPE_CHECKING:
    from pm_audit.spec import Settings
    from pm_audit.spec.labels import WrittenLabels

LONGEST = 512
"""Tokens of a text that the page reads; on one core the default PM takes a minute for that many."""


@click.command(
    cls=options.Command,
    example='pm-audit explain "What is one plus one?" " Two." " Two!" --top 5\n'
    "pm-audit explain --serve",
)
@click.argument("texts", nargs=-1, metavar="PROMPT COMPLETION_A COMPLETION_B")
@options.subject
@click.option("--sae-name", default=None, help="Which of several SAEs; by default the first.")
@options.number("--top", 10, "Features to list, those whose contribution changed most first.")
@options.output("--json", "json_path", text="Write every feature's contributions as JSON too.")
@click.option("--serve", is_flag=True, help="Type the texts in a page of this machine's browser.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=None,
    help="Port of the page; by default a free one.",
)
@click.option(
    "--longest",
    type=click.IntRange(min=1),
    default=None,
    help=f"Tokens of a text that the page reads at most.  [default: {LONGEST}]",
)
def explain(
    texts: tuple[str, ...],
    *,
    sae_name: str | None,
    top: int,
    json_path: Path | None,
    serve: bool,
    port: int | None,
    longest: int | None,
    **subject: Any,  # noqa: ANN401 - the options of a subject
) -> None:
    """Explain why the PM prefers one of two completions, feature by feature.

    Every feature that is active on either completion is ablated.  The reward of B minus that of A
    is the sum of what the edit from A to B gains by each feature, the overlap of features, the
    SAE's error term and the remainder.  A feature has the name that the project's labels give it.
    """
    if serve:
        if texts or json_path is not None:
            raise click.UsageError("--serve takes neither texts nor --json: type them in the page")
        _serve(subject, sae_name, port=port or 0, longest=longest or LONGEST, top=top)
        return
    if (port, longest) != (None, None):
        raise click.UsageError("--port and --longest are of the page; add --serve")
    if len(texts) != 3:
        known = "; for what a figure means: pm-audit glossary NAME" if len(texts) <= 1 else ""
        raise click.UsageError(
            f'give three texts in quotes: "PROMPT" "COMPLETION A" "COMPLETION B"{known}'
        )
    from pm_audit.pipelines.explain import explain as explain_edit
    from pm_audit.records import write_atomically

    settings, labels = _read(subject)
    explanation = explain_edit(*texts, settings, sae=sae_name, labels=labels)
    click.echo(explanation.render(most=top))
    if json_path is not None:
        write_atomically(json_path, explanation.model_dump_json(indent=1) + "\n")
        click.echo(f"wrote {json_path}")


def _read(subject: dict[str, Any]) -> tuple[Settings, WrittenLabels]:
    """Return the subject's settings and the project's labels."""
    from pm_audit.pipelines.project import find_root
    from pm_audit.spec.labels import read_labels

    settings = options.settings_of(subject)
    return settings, read_labels(settings.labels, find_root())


def _serve(
    subject: dict[str, Any], sae_name: str | None, *, port: int, longest: int, top: int
) -> None:
    """Load the subject and answer its page until Ctrl-C."""
    from pm_audit.server import Explainer, Facts, TextBox, serve

    settings, labels = _read(subject)
    click.echo("loading the PM and measuring its sigma")
    explain = Explainer.load(settings, sae=sae_name, labels=labels, longest=longest, top=top)
    facts = Facts(explain.pm.name, explain.sae.name, explain.scale, top)
    box = TextBox(explain, facts, report=lambda line: click.echo(terminal(line), err=True))
    serve(box, port=port, started=_say)
    click.echo("ended")
    if box.busy:
        # nobody waits for it, and Python cannot end a thread that is in the midst of a forward
        sys.stdout.flush()
        os._exit(0)


def _say(address: str) -> None:
    click.echo(f"open {address}")
    click.echo("only this machine reaches it, and only with the whole address; Ctrl-C ends it")
