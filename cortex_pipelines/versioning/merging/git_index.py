"""What git knows of a merge: the versions in its index, and the driver that joins lock files."""

import os
import shlex
import shutil
import subprocess  # nosec B404
import sys
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.merging.conflicts import GENERATED, RESOLVED, Versions
from cortex_pipelines.versioning.root import ProjectError

DRIVER = "cortex"
"""Name of the merge driver in ``.gitattributes`` and in git's configuration."""

ATTRIBUTES = ".gitattributes"

SET_UP = "git joins lock files of two branches by `cortex merge-driver` (merge.cortex.driver)"

_KEY = f"merge.{DRIVER}.driver"
_LINES = tuple(f"/{pattern} merge={DRIVER}" for pattern in (*RESOLVED, f"{GENERATED}/**"))
_PLAIN = "git merge-file -L ours -L base -L theirs %A %O %B"
"""What git does without a driver; the driver's last resort, or git would keep ours silently."""


def write_attributes(root: Path) -> bool:
    path = root / ATTRIBUTES
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in _LINES if line not in text.splitlines()]
    if missing:
        write_whole(path, "\n".join([*text.splitlines(), *missing]) + "\n")
    return bool(missing)


def has_attributes(root: Path) -> bool:
    path = root / ATTRIBUTES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return set(_LINES) <= set(lines)


def is_repository(root: Path) -> bool:
    return _git(root, "rev-parse", "--is-inside-work-tree").strip() == b"true"


def has_driver(root: Path) -> bool:
    command = _git(root, "config", "--get", _KEY).decode().strip()
    words = shlex.split(command) if command else []
    return bool(words) and shutil.which(words[0]) is not None


def set_driver(root: Path) -> bool:
    """Configure the driver in this clone if it lacks it; whether it did.

    Git takes no program from a file that is checked in, so each clone has to be told.
    """
    # git starts it where the environment may not be active, hence the path
    executable = Path(sys.executable).with_name("cortex")
    program = str(executable) if executable.exists() else shutil.which("cortex")
    if program is None or not has_attributes(root) or has_driver(root):
        return False
    if not is_repository(root):
        return False
    command = f"{shlex.quote(program)} merge-driver %O %A %B %P || {_PLAIN}"
    _git(root, "config", f"merge.{DRIVER}.name", "join lock files of cortex-pipelines")
    _git(root, "config", _KEY, command)
    return has_driver(root)


def unmerged_versions(root: Path) -> dict[str, Versions]:
    """The versions of each file that git's index holds as unmerged, by path in the project.

    A version that a side does not have is empty.
    """
    blobs: dict[str, dict[str, str]] = {}
    listing = _git(root, "ls-files", "--unmerged", "-z").decode("utf-8", "surrogateescape")
    for entry in filter(None, listing.split("\0")):
        facts, _, path = entry.partition("\t")
        _, blob, stage = facts.split()
        blobs.setdefault(path, {})[stage] = blob
    return {
        path: Versions(
            _blob(root, stages["1"]) if "1" in stages else None,
            *(_blob(root, stages[stage]) if stage in stages else "" for stage in ("2", "3")),
        )
        for path, stages in blobs.items()
    }


def stage_files(root: Path, files: list[str]) -> None:
    """Mark files as resolved: ``git add``, or ``git rm`` of one that is gone. Raises ProjectError: git refuses;
    gives its words.
    """
    if not files:
        return
    process = _run(root, "add", "--all", "--", *files)
    if process.returncode:
        raise ProjectError(f"`git add` failed: {process.stderr.decode(errors='replace').strip()}")


def _blob(root: Path, name: str) -> str:
    return _git(root, "cat-file", "blob", name).decode("utf-8", "replace")


def _git(root: Path, *words: str) -> bytes:
    process = _run(root, *words)
    return process.stdout if process.returncode == 0 else b""


def _run(root: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    command = ["git", "-C", os.fspath(root), *words]
    try:
        return subprocess.run(command, capture_output=True, check=False)  # nosec B603
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"git is not installed")
