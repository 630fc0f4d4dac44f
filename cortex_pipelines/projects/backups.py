"""``cortex backup`` and ``cortex restore``: irreproducible files, encrypted by restic.

restic (https://restic.net) reads the password from the variable RESTIC_PASSWORD or from a file. Signing keys and API
keys are never in a backup.
"""

import json
import logging
import os
import re
import shutil
import subprocess  # nosec B404
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.release.ledger import latest, moves, project_models, refit_of
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.tracking.store import workspace_id
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")

REMEDY = "`apt-get install restic`, or a package of https://restic.net"
_KEYS = ".cortex/keys"
_REPRODUCIBLE = (
    *(".venv", ".cortex/cache", ".cortex/search", ".cortex/tmp", ".cortex/logs", ".cortex/damaged"),
    *(".cortex/status.json", ".dvc/cache", ".dvc/tmp"),
)
"""Paths that can be rebuilt from sources, pins and code, or are not needed."""

_TAG, _ID = "cortex", "cortex-"
"""Tag of all snapshots of this program, and prefix of the tag with the project's id."""

_PASSWORDS = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")


class BackupError(RuntimeError):
    pass


def back_up(
    project: Project,
    repository: str,
    password_file: Path | None = None,
    everything: bool = False,
    forget_earlier: bool = False,
    moved_from: Collection[Path] = (),
) -> None:
    """Add a snapshot of a project to a backup, which holds one project alone and is created if needed.

    ``password_file`` None: restic's variables. ``everything``: with outputs and caches, but no keys; by default exactly
    reproducible files are excluded. ``moved_from``: former folders of this project. Nothing else should write to the
    project meanwhile. BackupError: restic fails, the password is inside the project, or the backup is another's.
    """
    root = project.root
    run = _Restic(repository, password_file, root)
    local = [Path(repository)] if ":" not in repository else []
    for location in [*local, *([password_file] if password_file else [])]:
        if root.resolve() in (location.resolve(), *location.resolve().parents):
            raise BackupError(f"{location} is in the project; name a place outside of it")
    if not run.succeeds("cat", "config"):
        run("init")
    project_tag, foreign_folders = f"{_ID}{workspace_id(root)}", set()
    for snapshot in run.snapshots():
        ids = {tag for tag in snapshot["tags"] if tag.startswith(_ID)}
        if not (snapshot["folder"] == root.resolve() and ids <= {project_tag}):
            foreign_folders.add(snapshot["folder"])
    if projects_elsewhere := sorted(map(str, foreign_folders - {path.resolve() for path in moved_from})):
        raise BackupError(
            f"{repository} holds backups of another project, from {', '.join(projects_elsewhere)}; name another place, "
            f"or, if that was this project, add --moved-from {projects_elsewhere[0]}"
        )
    if not everything:
        _open_served_versions(project)
    exact_outputs = [f"data/{asset.name}" for asset in project.graph.order if asset.determinism == "exact"]
    excluded = (_KEYS, *(() if everything else (*_REPRODUCIBLE, *exact_outputs)))
    escaped_root = re.sub(r"([\\*?\[\]])", r"\\\1", str(root.resolve()))  # literally, not as a pattern
    exclude_options = [f"--exclude={escaped_root}/{path}" for path in excluded]
    run("backup", "--quiet", "--tag", f"{_TAG},{project_tag}", *exclude_options, ".")
    if forget_earlier:
        run("forget", "--quiet", "--tag", _TAG, "--group-by", "", "--keep-last", "1", "--prune")
        run("check", "--quiet")


def _open_served_versions(project: Project) -> None:
    """Copy what serves from DVC's cache to ``.cortex/models``, if the workspace has another version: a model that was
    trained since, or examples that were built since the promotion.
    """
    for model in project_models(project):
        roles, lines = model_roles(project.root, model), moves(project.root, model)
        for version in {roles[role] for role in ("champion", "previous", "canary")} - {None}:
            index = (latest(lines, version, "release") or {}).get("index")
            outputs = {
                model.asset: version,
                f"{model.asset}_release": refit_of(lines, version),
                "completion_dataset": index,
            }
            for asset, digest in outputs.items():
                try:
                    if digest:
                        model_folder(project, asset, model.partition, digest)
                except ProjectError as error:
                    _LOG.warning("not in the backup: %s", error)


def restore(repository: str, into: Path, password_file: Path | None = None, path: Path | None = None) -> None:
    """Restore the latest snapshot into an empty folder; BackupError, as if ``path`` is None and there are several."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BackupError(f"{into} is not an empty folder; name a new one")
    run = _Restic(repository, password_file, Path.cwd())
    snapshots = run.snapshots()
    folders = {str(snapshot["folder"]) for snapshot in snapshots}
    candidates = [entry for entry in snapshots if path is None or entry["folder"] == path.resolve()]
    if not candidates or (path is None and len(folders) > 1):
        folder_list = ", ".join(sorted(folders)) or "none"
        raise BackupError(f"{repository} holds backups of these folders: {folder_list}; choose one by --path")
    into.mkdir(parents=True, exist_ok=True)
    run("restore", candidates[-1]["id"], "--verify", "--target", str(into.resolve()))


class _Restic:
    def __init__(self, repository: str, password_file: Path | None, folder: Path) -> None:
        program = shutil.which("restic")
        if program is None:
            raise BackupError(f"restic is not installed: {REMEDY}")
        if password_file is None and not any(os.environ.get(name) for name in _PASSWORDS):
            raise BackupError(
                "no password: name a file by --password-file, or set RESTIC_PASSWORD_FILE; without "
                "it nobody can read the backup, so keep a copy elsewhere"
            )
        password_options = [] if password_file is None else ["--password-file", str(password_file.resolve())]
        location = repository if ":" in repository else str(Path(repository).resolve())
        self._command = [program, "--repo", location, *password_options]
        self._folder = folder

    def __call__(self, *arguments: str) -> str:
        process = self._run(arguments)
        if process.returncode:
            message = " ".join(process.stderr.split())[-400:]
            raise BackupError(f"`restic {arguments[0]}` failed: {message}")
        return process.stdout

    def snapshots(self) -> list[dict[str, Any]]:
        entries = json.loads(self("snapshots", "--tag", _TAG, "--json")) or []
        entries.sort(key=lambda entry: datetime.fromisoformat(entry["time"]))
        return [{**entry, "folder": Path(entry["paths"][0]).resolve()} for entry in entries]

    def succeeds(self, *arguments: str) -> bool:
        return self._run(arguments).returncode == 0

    def _run(self, arguments: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        """The ended process. Raises BackupError: the password is wrong."""
        folder = self._folder.resolve()
        process = subprocess.run(  # nosec B603
            [*self._command, *arguments],
            cwd=folder,
            env=os.environ | {"PWD": str(folder)},  # restic derives its paths from PWD
            capture_output=True,
            text=True,
            check=False,
        )
        if "wrong password" in process.stderr:
            raise BackupError("the password is not that of this backup")
        return process
