"""The command line of a run: how to judge one check again, and what moved pytest's root."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping

import pytest

_OF_ONE_RUN = ("record", "baseline", "gate")
"""Settings that are about a whole run and not about the check."""


def command(given: Mapping[str, object], options: Iterable[str], *, file: str, node: str) -> str:
    """Return one line for a shell.

    Args:
        given: the settings of the command line.
        options: settings that have an option of their own.
        file: the hypothesis' file, relative to the root.
        node: name of the check's node; empty where the file holds one hypothesis.

    """
    words = ["pytest", "--pm-audit"]
    own = frozenset(options)
    for name, value in given.items():
        if isinstance(value, list | tuple):
            words += [part for sae in value for part in ("--pm-audit-sae", str(sae))]
        elif name not in own:
            words += ["--pm-audit-set", f"{name}={value}"]
        elif name not in _OF_ONE_RUN:
            words += [f"--pm-audit-{name.replace('_', '-')}", str(value)]
    if not node:
        return shlex.join([*words, file])
    return shlex.join([*words, "--pm-audit-allow-partial", f"{file}::{node}"])


def moved_root(config: pytest.Config) -> str:
    """Say what moved pytest's root: it looks for one before it knows our options."""
    folder = config.invocation_params.dir
    words = [str(word) for word in config.invocation_params.args]
    moving = [
        flag
        for flag, path in itertools.pairwise(words)
        if flag.startswith("--pm-audit-") and "=" not in flag and (folder / path).exists()
    ]
    if not moving or config.rootpath == folder:
        return ""
    return (
        f"\npytest took {config.rootpath} for the project's root; a path after "
        f"{moving[0]} can do that: write {moving[0]}=PATH"
    )
