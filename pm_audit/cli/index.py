"""`pm-audit index`: the latents of an SAE in a corpus: frequency and strongest texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pm_audit.cli import options


@click.command(
    cls=options.Command,
    example="pm-audit index --pm path/to/pm --sae path/to/sae --texts corpus.jsonl.gz",
)
@click.argument("places", nargs=-1, metavar="")
@options.subject
@click.option(
    "--texts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Corpus: JSONL (may be gzipped) with text, or prompt and completion; or .txt.",
)
@options.number("--tokens", 200_000, "Tokens of the corpus to read.")
@options.number("--seed", 0, "Seed of the choice of texts.", least=0)
def index(
    places: tuple[str, ...],
    *,
    texts: Path,
    tokens: int,
    seed: int,
    **subject: Any,  # noqa: ANN401 - the options of a subject
) -> None:
    """Write each SAE's feature index next to it: its latents' frequency and strongest texts.

    Reports of later audits show them in the feature cards.
    """
    from pm_audit.errors import SaeError
    from pm_audit.loading.subject import load_subject
    from pm_audit.pipelines.feature_index import index_features, written
    from pm_audit.records import write_atomically

    settings = options.settings_of(subject | {"saes": (*places, *subject["saes"])})
    if not settings.saes:
        raise click.UsageError("name an SAE: --sae PATH")
    model, loaded = load_subject(settings)
    unplaced = [sae.source for sae in loaded if sae.index_path is None]
    if unplaced:
        raise SaeError(f"{unplaced[0]}: lies in no folder of yours; save it to a folder first")
    found = index_features(model, loaded, texts, tokens=tokens, seed=seed, report=click.echo)
    for sae in loaded:
        if sae.index_path is not None:
            document = written(found[sae.name])
            write_atomically(sae.index_path, document)
            latents = f"{len(found[sae.name].features):,} of {sae.width:,} latents"
            click.echo(f"wrote {sae.index_path}: {latents}, {len(document):,} bytes")
