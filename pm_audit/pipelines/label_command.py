"""A project's own labelling command: features go in, labels come out, as lines of JSON.

The command reads ``{"feature": "layer_6/3064", "label": ..., "contexts": [...], ...}`` from its
standard input and writes ``{"feature": "layer_6/3064", "label": "hedging"}`` for each feature that
it labels.  It is the project's own program, named in its settings; no record can name one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pm_audit.errors import AuditError
from pm_audit.spec.labels import label_fault

SETTING = "label_command"
"""What names the command unless another does."""

_MOST_BYTES = 4 << 20
"""Largest output, and largest error output, of a command."""

_TOO_MUCH = f"it wrote more than {_MOST_BYTES:,} bytes; write lines of JSON alone"

_GLANCE = 0.05
"""Seconds between two looks at how much a command has written."""

_SAID = 300
"""Characters of the command's own error message that are repeated."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    feature: str
    label: str


def program(command: str, root: Path, *, setting: str = SETTING) -> tuple[str, ...]:
    """Return a command as words, the first of them the path of a program.

    Args:
        command: as it would be written in a shell, which runs none of it.
        root: where a relative path of the program starts.
        setting: what named the command, for messages.

    Raises:
        AuditError: the quotes are not closed, or there is no such program.

    """
    try:
        name, *words = shlex.split(command)
    except ValueError:
        raise _refused(command, "its quotes are not closed, or it is empty", setting) from None
    found = shutil.which(str(root / name) if os.sep in name else name)
    if found is None:
        missing = f"there is no program {name!a}; name one on the path, or a file"
        raise _refused(command, missing, setting)
    return (found, *words)


def run(
    command: str, features: Sequence[Mapping[str, Any]], *, root: Path, seconds: float
) -> dict[str, str]:
    """Run the command in the project's root and return the labels that it gives, by feature.

    Raises:
        AuditError: it cannot be run, takes longer than ``seconds``, fails, or writes something
            other than labels of these features.

    """
    answered = answers(command, features, root=root, seconds=seconds)
    return _labels(command, answered, {str(feature["feature"]) for feature in features})


def answers(
    command: str,
    questions: Sequence[Mapping[str, Any]],
    *,
    root: Path,
    seconds: float,
    setting: str = SETTING,
) -> list[tuple[int, bytes]]:
    """Run a command on lines of JSON and return its lines that are not empty, each with its number.

    Raises:
        AuditError: it cannot be run, takes longer than ``seconds``, fails, or writes too much.

    """
    request = "".join(f"{json.dumps(question)}\n" for question in questions)
    with contextlib.ExitStack() as files:
        # files and not pipes: nothing waits for a process that the command has left behind
        given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(request.encode())
        given.seek(0)
        words = program(command, root, setting=setting)
        try:
            status = _status(words, (given, out, err), root=root, seconds=seconds)
        except AuditError as error:
            raise _refused(command, str(error), setting) from None
        if status:
            said = _read(err).decode(errors="replace").strip()[-_SAID:]
            raise _refused(command, f"it ended with status {status}: {said!a}", setting)
        written = _read(out)
    if len(written) > _MOST_BYTES:
        raise _refused(command, _TOO_MUCH, setting)
    lines = enumerate(written.split(b"\n"), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def _status(
    words: Sequence[str],
    streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
    *,
    root: Path,
    seconds: float,
) -> int:
    """Return the exit status; ``streams`` are standard input, output and error."""
    given, out, err = streams
    try:
        process = subprocess.Popen(  # noqa: S603 - the project's own command, without a shell
            words, stdin=given, stdout=out, stderr=err, cwd=root, start_new_session=True
        )
    except OSError as error:
        raise AuditError(f"it cannot be run: {error.strerror}") from None
    try:
        return _wait(process, (out, err), seconds)
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], written: Sequence[IO[bytes]], seconds: float) -> int:
    """Return the exit status of a command that neither takes nor writes too much."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return process.wait(_GLANCE)
        except subprocess.TimeoutExpired:
            # a limit on all files of the process would stop it from filling its own cache too
            if any(os.fstat(stream.fileno()).st_size > _MOST_BYTES for stream in written):
                raise AuditError(_TOO_MUCH) from None
            if time.monotonic() > deadline:
                raise AuditError(
                    f"it took longer than {seconds:g} seconds; raise label_seconds"
                ) from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End every process of a command's own, also those that outlive it."""
    if hasattr(os, "killpg"):
        # it leads a session of its own; none is left if nothing of it runs
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def _read(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read(_MOST_BYTES + 1)


def _labels(
    command: str, answered: Sequence[tuple[int, bytes]], features: set[str]
) -> dict[str, str]:
    labels: dict[str, str] = {}
    for number, line in answered:
        try:
            answer = _Answer.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]["msg"]
            raise _refused(
                command, f"line {number} of its output is no feature with its label: {fault}"
            ) from None
        wrong = label_fault(answer.label)
        if answer.feature not in features or answer.feature in labels:
            wrong = f"feature {answer.feature[:_SAID]!a} was not requested, or is labelled twice"
        if wrong:
            raise _refused(command, f"line {number} of its output: {wrong}")
        labels[answer.feature] = answer.label
    return labels


def _refused(command: str, message: str, setting: str = SETTING) -> AuditError:
    return AuditError(f"{setting} {command[:_SAID]!a}: {message}")
