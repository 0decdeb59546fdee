"""`pm-audit explain`: a figure of the report by name, or what an edit did to a reward."""

from __future__ import annotations

from pathlib import Path

import click

from pm_audit.errors import RecordError


@click.command()
@click.argument("words", nargs=-1)
@click.option("--pm", default="default", show_default=True, help="The preference model.")
@click.option("--sae", "saes", multiple=True, help="An SAE of this PM; by default its own.")
@click.option("--sae-name", default=None, help="Which of several SAEs; by default the first.")
@click.option("--text-format", default=None, help="hh, chat, raw or pair.")
@click.option("--objective", default=None, help="Of a PM with several: a name or a mixture.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write every feature's contributions as JSON too.",
)
def explain(
    words: tuple[str, ...],
    *,
    pm: str,
    saes: tuple[str, ...],
    sae_name: str | None,
    text_format: str | None,
    objective: str | None,
    top: int,
    json_path: Path | None,
) -> None:
    """Explain a figure by name, or an edit: "PROMPT" "COMPLETION A" "COMPLETION B".

    With a name: a figure's or an outcome's formula, its sign and how to read it; without, what
    there is.  With three texts: the features that the edit gained and lost, by real ablation,
    summing to the reward difference with the remainder shown.
    """
    if len(words) <= 1:
        _figure(words[0] if words else None)
        return
    if len(words) != 3:
        raise click.UsageError(
            'give one name, or three texts in quotes: "PROMPT" "COMPLETION A" "COMPLETION B"'
        )
    from pm_audit.explain import explain as explain_edit
    from pm_audit.records import write_atomically
    from pm_audit.spec import Settings

    given = {"pm": pm, "text_format": text_format, "objective": objective, "saes": saes or None}
    explanation = explain_edit(*words, Settings.merged(cli=given), sae=sae_name)
    click.echo(explanation.render(most=top))
    if json_path is not None:
        write_atomically(json_path, explanation.model_dump_json(indent=1) + "\n")
        click.echo(f"wrote {json_path}")


def _figure(what: str | None) -> None:
    from pm_audit.report import glossary

    if what is None:
        click.echo("\n".join(f"{entry.name:<14} {entry.short}" for entry in glossary.ENTRIES))
        return
    entry = glossary.find(what)
    if entry is None:
        raise RecordError(
            f"nothing is called {what!r}; known: "
            + ", ".join(entry.name for entry in glossary.ENTRIES)
        )
    click.echo(glossary.text(entry))
