"""Patterns of an adapter's configuration, tried with a time limit before peft matches them.

peft matches regular expressions of ``adapter_config.json`` against every module's name, and a
hostile one takes longer than the universe has.  Nothing stops a match from within, so each pattern
is tried in a process of its own, which a limit of time ends.
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
"""Far more than any honest pattern takes, on a busy machine too."""
_FORMS = {
    "layers_pattern": r"(?:^|.*?\.){}\.(\d+)\.",
    "modules_to_save": r"(^|.*\.){}($|\..*)",
}
"""What peft makes of each name in a list that it takes for patterns."""
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
    """Refuse regular expressions that peft would not be done with.

    Args:
        checkpoint: the adapter's.
        config: its ``adapter_config.json``.
        names: of the modules that peft matches.

    Raises:
        ModelError: the patterns take longer than any that an adapter needs.

    """
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
            f"{checkpoint.name}: adapter_config.json holds a regular expression that is not done "
            f"with the names of the modules after {_SECONDS:g} s; name the modules in a list"
        ) from None


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what peft takes for a regular expression and is no plain name, as peft writes it."""
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
