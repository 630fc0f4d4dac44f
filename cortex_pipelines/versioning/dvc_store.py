"""Everything that is asked of DVC: is a stage unchanged, commit it, what does the lock say.

Both ends of a materialisation take DVC's repository lock for a moment only; between them a read
lock on the inputs keeps a ``dvc repro`` elsewhere from taking them away. (A write lock on the
output would make ``dvc status`` fail as busy for as long as a training takes.)
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines.versioning.snapshot import Snapshot

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_LOCK_PATIENCE_SECONDS = 1800.0
_LOCK_POLL_SECONDS = 0.2


class StageError(ProjectError):
    """DVC does not know a stage, or cannot read what it knows of it."""


def under_dvc(address: str) -> bool:
    """Whether this process is the command of that stage, started by DVC, which then commits."""
    # DVC names a stage as seen from where it was started: words@a, ../dvc.yaml:words@a.
    return os.environ.get("DVC_STAGE", "").rpartition(":")[2] == address


@contextmanager
def locked_repo(root: Path) -> Iterator[Any]:
    """DVC's repository, held alone."""
    from dvc.repo import Repo, lock_repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # importing dvc sets it to INFO
    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        yield repo


def patiently(act: Callable[[], T]) -> T:
    """Call until DVC's locks are free; another process may hold an input for a while.

    Raises:
        ProjectError: they were not free for half an hour, or DVC's lock file is damaged.
    """
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            return act()
        except LockError as error:
            if time.monotonic() > deadline:
                raise ProjectError(f"DVC's lock was never free: {error}") from error
            time.sleep(_LOCK_POLL_SECONDS)
        except (RWLockFileCorruptedError, RWLockFileFormatError) as error:
            raise ProjectError(
                f"{error}; if no dvc or cortex process is running, delete .dvc/tmp/rwlock"
            ) from error


def stages_by_address(repo: Any) -> dict[str, Any]:
    """All stages of the project's ``dvc.yaml``, by name and partition."""
    return {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}


def find_stage(repo: Any, address: str) -> Any:
    """One stage.

    Raises:
        StageError: ``dvc.yaml`` has no such stage.
    """
    try:
        return stages_by_address(repo)[address]
    except KeyError:
        raise StageError(
            f"dvc.yaml has no stage {address}: run `cortex dvc-yaml`, and see `cortex status`"
        ) from None


def locked_snapshot(stage: Any) -> Snapshot:
    """What the lock (or a stage just committed) says that the stage's output was made from."""
    from dvc.dependency.param import ParamsDependency

    deps: dict[str, str | None] = {}
    params: dict[str, dict[str, Any]] = {}
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            params[Path(dep.def_path).as_posix()] = dict(dep.hash_info.value or {})
        else:
            deps[Path(dep.def_path).as_posix()] = dep.hash_info.value if dep.hash_info else None
    return Snapshot(deps, params)


def locked_version(stage: Any) -> str | None:
    """Hash of the stage's output in ``dvc.lock``; None if it was never committed."""
    info = stage.outs[0].hash_info
    return str(info.value) if info else None


def unchanged_version(root: Path, address: str) -> str | None:
    """The committed version, if DVC finds nothing changed; else None."""

    def ask() -> str | None:
        with locked_repo(root) as repo:
            stage = find_stage(repo, address)
            return None if stage.changed() else locked_version(stage)

    return patiently(ask)


@contextmanager
def reading(root: Path, paths: list[str]) -> Iterator[None]:
    """Hold DVC's read lock on paths, relative to the root, without holding the repository."""
    with ExitStack() as stack:
        patiently(lambda: stack.enter_context(_rwlock(root, read=paths, write=[])))
        yield


@contextmanager
def _rwlock(root: Path, read: list[str], write: list[str]) -> Iterator[None]:
    from dvc.fs import localfs
    from dvc.rwlock import rwlock

    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with rwlock(
        str(temporary),
        localfs,
        # The same words as DVC uses itself: its own locks inside commit() are then no strangers.
        " ".join(sys.argv),
        [str(root / path) for path in read],
        [str(root / path) for path in write],
        False,
    ):
        yield


def commit(
    root: Path, address: str, output: str, check: Callable[[], None], publish: Callable[[], None]
) -> tuple[str, Snapshot]:
    """Check, publish and commit one stage in one go, nobody else writing.

    Args:
        root: Project root.
        address: Stage.
        output: Path of its output, relative to the root.
        check: Called with the locks held, before anything is published; raises to give up.
        publish: Puts the new output into its place.

    Returns:
        The version DVC committed, and what it recorded as made from.
    """

    def act() -> tuple[str, Snapshot]:
        # DVC's run cache resolves dvc.yaml against the working directory, whatever the root is.
        with (
            locked_repo(root) as repo,
            _rwlock(root, read=[], write=[output]),
            contextlib.chdir(root),
        ):
            check()
            publish()
            (stage,) = repo.commit(address, force=True)
            return str(stage.outs[0].hash_info.value), locked_snapshot(stage)

    return patiently(act)


def restore(root: Path, version: str, target: Path) -> bool:
    """Copy a committed folder out of DVC's cache; False if not all of it is there."""
    from dvc.repo import Repo
    from dvc_data.hashfile import load
    from dvc_data.hashfile.checkout import CheckoutError, checkout
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_objects.fs.local import LocalFileSystem

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        try:
            found = load(cache, HashInfo("md5", version))
        except FileNotFoundError:
            _LOG.info("version %s is not in the DVC cache", version)
            return False
        try:
            checkout(str(target), LocalFileSystem(), found, cache, force=True)
        except (FileNotFoundError, CheckoutError):
            return False
    return True
