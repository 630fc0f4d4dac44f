"""Join the files that git left in conflict, and the driver that joins lock files."""

import os
import shlex
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.yaml_files import look_up, read_values
from cortex_pipelines.versioning.merging.conflicts import (
    GENERATED,
    RESOLVED,
    Conflict,
    Versions,
    find_conflicts,
    is_resolvable,
    split_versions,
)
from cortex_pipelines.versioning.merging.dvc_lock import join_file
from cortex_pipelines.versioning.parameters import FILE
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


@dataclass(frozen=True)
class Resolution:
    """``staged``: the files that git held as unmerged, now in its index; ``remaining``: conflicts for a person."""

    files: tuple[str, ...]
    notes: tuple[str, ...]
    staged: tuple[str, ...]
    remaining: tuple[Conflict, ...]


def resolve(root: Path, generate: Callable[[], None]) -> Resolution:
    """Join lock files and generated files in conflict.

    The versions are those of git's index, else the sides of the conflict markers.

    Raises:
        ConflictError: a version cannot be read, or markers do not belong together.
    """
    unmerged = {file: v for file, v in unmerged_versions(root).items() if is_resolvable(file)}
    marked = {conflict.file for conflict in find_conflicts(root) if is_resolvable(conflict.file)}
    files = sorted({*unmerged, *marked})
    # read before anything is written: an error leaves all as it was
    versions = {file: unmerged.get(file) or _marked_versions(root, file) for file in files}
    texts = {file: join_file(file, each) for file, each in versions.items()}
    for file in files:
        _write(root, file, texts[file][0], versions[file])
    remaining = find_conflicts(root)
    if files and all(conflict.file != FILE for conflict in remaining):
        generate()
        if damaged_files.DVC_LOCK in versions:
            # now that the inputs are those of the merge
            texts[damaged_files.DVC_LOCK] = join_file(
                damaged_files.DVC_LOCK, versions[damaged_files.DVC_LOCK], lambda entry: fits_workspace(root, entry)
            )
            _write(root, damaged_files.DVC_LOCK, texts[damaged_files.DVC_LOCK][0], versions[damaged_files.DVC_LOCK])
    staged = [file for file in files if file in unmerged]
    stage_files(root, staged)
    notes = tuple(note for file in files for note in texts[file][1])
    return Resolution(tuple(files), notes, tuple(staged), tuple(remaining))


def fits_workspace(root: Path, entry: Mapping[str, Any]) -> bool:
    """Whether code and parameters that an entry of ``dvc.lock`` names are those of the workspace.

    What the stages read of each other is compared within the lock.
    """
    return all(
        content_md5(root / dep["path"]) == dep.get("md5")
        for dep in entry.get("deps") or ()
        if not str(dep["path"]).startswith("data/")
    ) and all(
        look_up(read_values(root / file), key) == value
        for file, values in (entry.get("params") or {}).items()
        for key, value in values.items()
    )


def _marked_versions(root: Path, file: str) -> Versions:
    return split_versions((root / file).read_bytes().decode("utf-8", "replace"))


def _write(root: Path, file: str, text: str, versions: Versions) -> None:
    removed = not versions.ours or not versions.theirs
    if removed and file.startswith(f"{GENERATED}/") and not (root / file).exists():
        return  # of a project that one side removed; it is generated again if it is still there
    write_whole(root / file, text)
    if file in RESOLVED and file in damaged_files.BY_MACHINE:
        damaged_files.keep(root, file)
