"""The command line of a run: how to judge one check again, and what moved pytest's root."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping

import pytest

from pm_audit.settings_table import SETTINGS

_OF_ONE_RUN = ("record", "baseline", "gate")
"""Settings that are about a whole run and not about the check."""


def command(given: Mapping[str, object], *, file: str, node: str) -> str:
    """Return one line for a shell.

    Args:
        given: the settings of the command line.
        file: the hypothesis' file, relative to the root.
        node: name of the check's node; empty if the file holds one hypothesis.

    """
    words = ["pytest", "--pm-audit"]
    for setting in SETTINGS:
        value, option = given.get(setting.name), f"--pm-audit-{setting.option}"
        if value is None or setting.name in _OF_ONE_RUN:
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no{option[1:]}")
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [option, str(each)]
    if not node:
        return shlex.join([*words, file])
    return shlex.join([*words, "--pm-audit-allow-partial", f"{file}::{node}"])


def moved_root(config: pytest.Config) -> str:
    """Return what moved pytest's root, which it finds before it knows these options."""
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
