"""What the commands share: the options that name a PM and its SAEs, and an example in the help.

A PM is named by ``--pm`` and its SAEs by ``--sae``, on every command; pytest's own options are the
same with a prefix, ``--pm-audit-pm`` and ``--pm-audit-sae``.
"""

from __future__ import annotations

import click

pm = click.option(
    "--pm",
    default="default",
    show_default=True,
    metavar="PM",
    help="The preference model: a folder, a Hub name, ADAPTER@BASE, or `default`.",
)
saes = click.option(
    "--sae",
    "saes",
    multiple=True,
    metavar="SAE",
    help="A sparse autoencoder of this PM: a file, a folder or release/id; repeatable.",
)
text_format = click.option(
    "--text-format",
    default=None,
    metavar="FORMAT",
    help="How dialogues become text: hh, chat, raw or pair; by default what the PM names.",
)
objective = click.option(
    "--objective",
    default=None,
    metavar="NAME",
    help="Which reward of a PM with several: a name, or a mixture such as a=0.7,b=-0.3.",
)


class Command(click.Command):
    """A command whose help ends with one example of its use."""

    def __init__(self, *arguments: object, example: str, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]  # click's own arguments
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example to the letter: a command line must not be wrapped."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")
