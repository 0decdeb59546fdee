"""`pm-audit explain`: which features make a PM prefer one completion to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options


@click.command(
    cls=options.Command,
    example='pm-audit explain "What is one plus one?" " Two." " Two!" --top 5',
)
@click.argument("texts", nargs=-1, metavar="PROMPT COMPLETION_A COMPLETION_B")
@options.subject
@click.option("--sae-name", default=None, help="Which of several SAEs; by default the first.")
@options.number("--top", 10, "Features to list, those whose contribution changed most first.")
@options.output("--json", "json_path", text="Write every feature's contributions as JSON too.")
def explain(
    texts: tuple[str, ...],
    *,
    sae_name: str | None,
    top: int,
    json_path: Path | None,
    **subject: Any,  # noqa: ANN401 - the options of a subject
) -> None:
    """Explain why the PM prefers one of two completions, feature by feature.

    Every feature that is active on either completion is ablated.  The reward of B minus that of A
    is the sum of what the edit from A to B gains by each feature, the overlap of features, the
    SAE's error term and the remainder.  A feature has the name that the project's labels give it.
    """
    if len(texts) != 3:
        known = "; for what a figure means: pm-audit glossary NAME" if len(texts) <= 1 else ""
        raise click.UsageError(
            f'give three texts in quotes: "PROMPT" "COMPLETION A" "COMPLETION B"{known}'
        )
    from pm_audit.pipelines.explain import explain as explain_edit
    from pm_audit.pipelines.project import find_root, read_settings
    from pm_audit.records import write_atomically
    from pm_audit.spec import Settings
    from pm_audit.spec.labels import read_labels

    settings, root = Settings.merged(cli=subject), find_root()
    labels = read_labels(read_settings(root).labels, root)
    explanation = explain_edit(*texts, settings, sae=sae_name, labels=labels)
    click.echo(explanation.render(most=top))
    if json_path is not None:
        write_atomically(json_path, explanation.model_dump_json(indent=1) + "\n")
        click.echo(f"wrote {json_path}")
