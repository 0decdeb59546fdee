"""Write a hypothesis file that a later run reads: one that cannot be read is not left behind."""

from __future__ import annotations

from pathlib import Path

from pm_audit.errors import AuditError, InvalidSpec, Place, Problem
from pm_audit.records import require_writable, write_atomically
from pm_audit.report.sanitise import terminal
from pm_audit.spec.load import PROBES, load_hypotheses
from pm_audit.spec.project_files import YAML_SUFFIXES, inside, shown


def comment(line: str) -> str:
    """Return a line of a YAML file that says what its texts are, which a job log may hold."""
    return f"# {terminal(line)}"


def require_place(path: Path, root: Path) -> Path:
    """Return the absolute path of a hypothesis file that can be written, and that runs will read.

    Raises:
        AuditError: it lies outside the project, is hidden, has a name that no hypothesis file may
            have, or cannot be written to.

    """
    path = path.absolute()
    name = shown(inside(path.parent, root) / path.name, root.resolve())
    hidden = any(part.startswith(".") for part in Path(name).parts)
    if hidden or not name.lower().endswith(YAML_SUFFIXES) or "::" in name or not name.isprintable():
        fault = "no run reads a hypothesis from here: name a file of the project that is not hidden"
        where = Place(name if name.isprintable() else ascii(name))
        raise InvalidSpec([Problem(where, f"{fault}, in plain characters, with the ending .yaml")])
    require_writable(path)
    return path


def write_hypothesis(path: Path, text: str, *, root: Path, probes: Path = PROBES) -> Path:
    """Write a hypothesis file, and return it as it was named once it was read back.

    Args:
        path: the file, inside ``root``, which is not there yet.
        text: its YAML.
        root: the project's folder.
        probes: the folder of probes, from ``root``.

    Raises:
        AuditError: as of ``require_place``, the file exists, or the text cannot be read as
            hypotheses.

    """
    place = require_place(path, root)
    if path.exists():
        raise AuditError(f"{path} exists; name another file")
    write_atomically(path, text)
    try:
        load_hypotheses([place], root, probes=probes)
    except BaseException:
        path.unlink()
        raise
    return path
