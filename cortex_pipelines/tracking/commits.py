"""The commits that a run names: of the project at the time, or of the entry in ``dvc.lock``."""

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from cortex_pipelines.ingestion.project_sources import is_url
from cortex_pipelines.versioning.damaged_files import DVC_LOCK
from cortex_pipelines.versioning.root import git_text


def source_tags(root: Path, name: str, partition: str | None) -> dict[str, str]:
    """MLflow's standard tags for git and entry point, without credentials and user."""
    command = f"cortex run {name}" + (f" --project {partition}" if partition else "")
    remote = git_text(root, "remote", "get-url", "origin")
    if not is_url(remote):
        remote = ""
    elif "://" in remote:
        parts = urlsplit(remote)
        remote = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    else:
        remote = remote.rpartition("@")[2]
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command,
        "mlflow.source.git.commit": git_commit(root),
        "mlflow.source.git.branch": git_text(root, "symbolic-ref", "--quiet", "--short", "HEAD"),
        "mlflow.source.git.repoURL": remote,
    }
    return {key: value for key, value in tags.items() if value}


@lru_cache(maxsize=8)
def git_commit(root: Path) -> str:
    return git_text(root, "rev-parse", "HEAD")


class LockCommit(NamedTuple):
    """A commit and its time since 1970."""

    seconds: int
    commit: str


def lock_commit(root: Path, address: str) -> LockCommit | None:
    """The commit that last changed a stage's entry in ``dvc.lock``; None if that is not committed."""
    path = root / DVC_LOCK
    state = f"{path.stat().st_mtime_ns} {git_text(root, 'rev-parse', 'HEAD')}" if path.exists() else ""
    locked = _lock_commits(root, state).get(address)
    return locked if locked and locked.commit.strip("0") else None


@lru_cache(maxsize=1)
def _lock_commits(root: Path, state: str) -> dict[str, LockCommit]:
    ages = {commit: age for age, commit in enumerate(git_text(root, "rev-list", "HEAD").split())}
    times: dict[str, int] = {}
    newest: dict[str, LockCommit] = {}
    commit, address = "", ""
    for line in git_text(root, "blame", "--porcelain", "--", DVC_LOCK).split("\n"):
        if line.startswith("\t"):
            if line.startswith("\t  ") and line[3:4].strip():  # a stage's name, below which its entry is indented
                address = line.strip().rstrip(":")
            if address not in newest or ages.get(commit, -1) < ages.get(newest[address].commit, -1):
                newest[address] = LockCommit(times[commit], commit)
        elif line.startswith("committer-time "):
            times[commit] = int(line.split()[1])
        elif re.match("[0-9a-f]{40,} ", line):
            commit = line.partition(" ")[0]
    return newest


def committed(root: Path, commit: str, name: str) -> str:
    """Text of a file of the project in a commit; empty if it has none."""
    return git_text(root, "show", f"{commit}:./{name}")
