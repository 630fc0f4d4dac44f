"""``cortex backup`` and ``cortex restore``: what nothing makes again, encrypted by restic.

restic (https://restic.net) encrypts with the password that it is given in its own ways: the
variable RESTIC_PASSWORD, or a file. Signing keys and API keys are never in a backup.
"""

import json
import os
import re
import shutil
import subprocess  # nosec B404
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.tracking.store import workspace_id
from cortex_pipelines.versioning.project import Project

REMEDY = "`apt-get install restic`, or a package of https://restic.net"
_KEYS = ".cortex/keys"
_MADE_AGAIN = (
    *(".venv", ".cortex/cache", ".cortex/search", ".cortex/tmp", ".cortex/logs", ".cortex/damaged"),
    *(".cortex/models", ".cortex/status.json", ".dvc/cache", ".dvc/tmp"),
)
"""What sources, pins and code give again, and what nobody needs."""

_TAG, _ID = "cortex", "cortex-"
"""Tag of all snapshots of this program, and what that of the project's id begins with."""

_PASSWORDS = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")


class BackupError(RuntimeError):
    """A backup cannot be made or restored; the message says what to do."""


def back_up(
    project: Project,
    repository: str,
    password_file: Path | None = None,
    everything: bool = False,
    forget_earlier: bool = False,
    moved_from: Collection[Path] = (),
) -> None:
    """Add a snapshot of a project to a backup, which is begun where there is none.

    A backup is of one project, since the last snapshot is restored and earlier ones are deleted: a
    snapshot has the project's id as a tag, and restic notes its folder.

    Args:
        project: The project; nothing else should write to it meanwhile.
        repository: Folder, or any other place that restic knows.
        password_file: Holds the password; None for restic's own variables.
        everything: With outputs, caches of DVC and the rest, all but keys; otherwise without what
            is made again exactly.
        forget_earlier: Delete all earlier snapshots, and what only they hold.
        moved_from: Folders where this project was: snapshots of them are its own.

    Raises:
        BackupError: restic is not there or fails, the password is in the project or nowhere, or
            the backup is another project's.
    """
    root = project.root
    run = _Restic(repository, password_file, root)
    local = [Path(repository)] if ":" not in repository else []
    for place in [*local, *([password_file] if password_file else [])]:
        if root.resolve() in (place.resolve(), *place.resolve().parents):
            raise BackupError(f"{place} is in the project; name a place outside of it")
    if not run.succeeds("cat", "config"):
        run("init")
    own, others = f"{_ID}{workspace_id(root)}", set()
    for snapshot in run.snapshots():
        ids = {tag for tag in snapshot["tags"] if tag.startswith(_ID)}
        if not (snapshot["folder"] == root.resolve() and ids <= {own}):
            others.add(snapshot["folder"])
    if foreign := sorted(map(str, others - {place.resolve() for place in moved_from})):
        raise BackupError(
            f"{repository} holds backups of another project, from {', '.join(foreign)}; name "
            f"another place, or, if that was this project, add --moved-from {foreign[0]}"
        )
    left_out = (_KEYS, *(() if everything else _MADE_AGAIN + tuple(_exact(project))))
    inside = re.sub(r"([\\*?\[\]])", r"\\\1", str(root.resolve()))  # as it is, not as a pattern
    words = [f"--exclude={inside}/{place}" for place in left_out]
    run("backup", "--quiet", "--tag", f"{_TAG},{own}", *words, ".")
    if forget_earlier:
        run("forget", "--quiet", "--tag", _TAG, "--group-by", "", "--keep-last", "1", "--prune")
        run("check", "--quiet")


def restore(
    repository: str, into: Path, password_file: Path | None = None, path: Path | None = None
) -> None:
    """Restore the last snapshot.

    Args:
        repository: As for ``back_up``.
        into: Made if it is not there; has to be empty.
        password_file: As for ``back_up``.
        path: Only snapshots of this folder count; None where there is one folder alone.

    Raises:
        BackupError: the folder is not empty; restic is not there or fails; there are snapshots of
            several folders, and none is chosen.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BackupError(f"{into} is no empty folder; name a new one")
    run = _Restic(repository, password_file, Path.cwd())
    snapshots = run.snapshots()
    folders = {str(snapshot["folder"]) for snapshot in snapshots}
    chosen = [one for one in snapshots if path is None or one["folder"] == path.resolve()]
    if not chosen or (path is None and len(folders) > 1):
        known = ", ".join(sorted(folders)) or "none"
        raise BackupError(
            f"{repository} holds backups of these folders: {known}; choose one by --path"
        )
    into.mkdir(parents=True, exist_ok=True)
    run("restore", chosen[-1]["id"], "--verify", "--target", str(into.resolve()))


def _exact(project: Project) -> Iterator[str]:
    """Outputs that are the same bytes wherever they are made."""
    for asset in project.graph.order:
        if asset.determinism == "exact":
            yield f"data/{asset.name}"


class _Restic:
    """restic with a repository and a password.

    Args:
        repository: The repository.
        password_file: Holds the password; None for restic's own variables.
        folder: Where it runs.
    """

    def __init__(self, repository: str, password_file: Path | None, folder: Path) -> None:
        program = shutil.which("restic")
        if program is None:
            raise BackupError(f"restic is not installed: {REMEDY}")
        if password_file is None and not any(os.environ.get(name) for name in _PASSWORDS):
            raise BackupError(
                "no password: name a file by --password-file, or set RESTIC_PASSWORD_FILE; without "
                "it nobody can read the backup, so keep a copy elsewhere"
            )
        given = [] if password_file is None else ["--password-file", str(password_file.resolve())]
        place = repository if ":" in repository else str(Path(repository).resolve())
        self._words = [program, "--repo", place, *given]
        self._folder = folder

    def __call__(self, *words: str) -> str:
        done = self._run(words)
        if done.returncode:
            message = " ".join(done.stderr.split())[-400:]
            raise BackupError(f"`restic {words[0]}` failed: {message}")
        return done.stdout

    def snapshots(self) -> list[dict[str, Any]]:
        """Snapshots of this program, the earliest first, each with its ``folder``, resolved."""
        known = json.loads(self("snapshots", "--tag", _TAG, "--json")) or []
        return [
            {**one, "folder": Path(one["paths"][0]).resolve()}
            for one in sorted(known, key=lambda one: datetime.fromisoformat(one["time"]))
        ]

    def succeeds(self, *words: str) -> bool:
        """Whether a command ends well; a wrong password is no answer.

        Raises:
            BackupError: the password is wrong.
        """
        done = self._run(words)
        if "wrong password" in done.stderr:
            raise BackupError("the password is not that of this backup")
        return done.returncode == 0

    def _run(self, words: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        there = self._folder.resolve()
        return subprocess.run(  # nosec B603
            [*self._words, *words],
            cwd=there,
            env=os.environ | {"PWD": str(there)},  # restic takes its word for where it is
            capture_output=True,
            text=True,
            check=False,
        )
