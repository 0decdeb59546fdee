"""Patterns of an adapter's configuration, tried with a time limit before peft matches them.

peft matches regular expressions of ``adapter_config.json`` against every module's name, and a
hostile one never ends.  A match cannot be stopped from within, so the patterns are tried in a
process of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pm_audit.errors import ModelError
from pm_audit.loading.checkpoint.folder import Checkpoint

_SECONDS = 20.0
"""Far more than an honest pattern takes, on a busy machine too."""
_FORMS = {
    "layers_pattern": r"(?:^|.*?\.){}\.(\d+)\.",
    "modules_to_save": r"(^|.*\.){}($|\..*)",
}
"""The pattern that peft makes of each name in a list."""
_NAME = re.compile(r"[\w.-]*")
_TRY = """
import json, re, sys
patterns, names = json.load(sys.stdin)
for pattern in patterns:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        continue
    for name in names:
        compiled.match(name), compiled.fullmatch(name)
"""


def refuse_endless_patterns(
    checkpoint: Checkpoint, config: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Refuse regular expressions of ``config`` that take too long to match the modules' names."""
    patterns = sorted(set(_patterns(config)))
    if not patterns:
        return
    try:
        subprocess.run(  # noqa: S603 - our own interpreter and script
            [sys.executable, "-I", "-c", _TRY],
            input=json.dumps([patterns, list(names)]),
            text=True,
            timeout=_SECONDS,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{checkpoint.name}: adapter_config.json holds a regular expression that does not "
            f"end on the names of the modules within {_SECONDS:g} s; name the modules in a list"
        ) from None


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what peft takes for a regular expression and is not a plain name, as peft writes it."""
    for key in ("target_modules", "exclude_modules", "target_parameters"):
        value = config.get(key)
        if isinstance(value, str) and not _NAME.fullmatch(value):
            yield value
    for key, form in _FORMS.items():
        listed = config.get(key) or ()
        for name in [listed] if isinstance(listed, str) else listed:
            if isinstance(name, str) and not _NAME.fullmatch(name):
                yield form.format(name)
    for key in ("rank_pattern", "alpha_pattern"):
        of_names = config.get(key)
        for name in of_names if isinstance(of_names, Mapping) else ():
            if not _NAME.fullmatch(name):
                yield rf"(.*\.)?({name})$"
