"""Access to DVC: whether a stage is unchanged, commits, and the content of the lock.

Both ends of a materialisation take DVC's repository lock for a moment only; between them a read lock on the inputs
keeps a ``dvc repro`` elsewhere from taking them away. (A write lock on the output would make ``dvc status`` fail as
busy for as long as a training takes.)
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from cortex_pipelines.atomic import atomic_file, began_before, write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dvc.quick_yaml import quicken_dvc
from cortex_pipelines.versioning.merging.conflicts import require_no_conflicts
from cortex_pipelines.versioning.parameters import STAGE as PARAMETERS
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines.versioning.snapshot import Snapshot

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_LOCK_PATIENCE_SECONDS = 1800.0
_LOCK_POLL_SECONDS = 0.2


class StageError(ProjectError):
    pass


def under_dvc(address: str) -> bool:
    """Whether DVC started this process as the stage's command, and commits it itself."""
    # DVC names a stage as seen from where it was started: words@a, ../dvc.yaml:words@a.
    return os.environ.get("DVC_STAGE", "").rpartition(":")[2] == address


@contextmanager
def locked_repo(root: Path) -> Iterator[Any]:
    from dvc.repo import Repo, lock_repo

    require_no_conflicts(root)  # of which DVC says that the file is corrupted
    logging.getLogger("dvc").setLevel(logging.WARNING)  # importing dvc sets it to INFO
    quicken_dvc()
    file_system = _atomic_file_system()
    with Repo(str(root), fs=file_system, _wait_for_lock=True) as repo, lock_repo(repo):
        mend_lockfile(root, _LOG.warning)
        yield repo


@lru_cache(maxsize=1)
def _atomic_file_system() -> Any:
    from dvc.fs import LocalFileSystem

    class WholeFiles(LocalFileSystem):  # type: ignore[misc]
        def open(self, path: Any, mode: str = "r", **kwargs: Any) -> Any:
            if mode in ("w", "w+"):
                return _atomic_write(Path(path))
            return super().open(path, mode=mode, **kwargs)

    return WholeFiles()


@contextmanager
def _atomic_write(path: Path) -> Iterator[Any]:
    with atomic_file(path) as scratch, scratch.open("w+", encoding="utf-8") as file:
        yield file


def forget_listings() -> None:
    """Drop the listings of folders that DVC left in memory when it hashed them to compare.

    Its file system in memory looks through all that it holds at each question, so that the status of many stages would
    take time by the square of their number. Nothing reads a listing again.
    """
    from dvc_objects.fs import MemoryFileSystem

    store = MemoryFileSystem().fs.store
    for path in [path for path in store if path.startswith("/.") and path.endswith(".tmp")]:
        del store[path]


def mend_lockfile(root: Path, report: Callable[[str], None]) -> None:
    if sentence := damaged_files.mend(root, damaged_files.DVC_LOCK):
        report(sentence)


def mend_unless_busy(root: Path) -> list[str]:
    """Repair ``dvc.lock`` and DVC's rwlock; returns what was done, in sentences.

    Nothing is looked at while another process holds the lock that it writes them under.
    """
    messages: list[str] = []
    if not (root / ".dvc").is_dir():
        return messages
    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(exist_ok=True)
    with _unless_busy(temporary / "lock") as free:
        if free:
            mend_lockfile(root, messages.append)
    with _unless_busy(temporary / "rwlock.lock") as free:
        if free:
            messages += _mend_rwlock(root, temporary / "rwlock")
    return messages


@contextmanager
def _unless_busy(path: Path) -> Iterator[bool]:
    import zc.lockfile

    try:
        lock = zc.lockfile.LockFile(str(path))
    except zc.lockfile.LockError:
        yield False
        return
    try:
        yield True
    finally:
        lock.close()


def _mend_rwlock(root: Path, path: Path) -> list[str]:
    """Set a truncated rwlock aside, and drop entries of dead processes.

    DVC drops a lock itself if no process has its owner's number, not if another has it by now.
    """
    if not path.exists():
        return []
    if problem := rwlock_damage(path):
        remains = damaged_files.set_aside(root, path)
        return [f".dvc/tmp/rwlock {problem}: DVC creates a new one; the damaged file is {remains}"]
    locks = _held_locks(path)
    living = [lock for lock in locks if began_before(int(lock[2]["pid"]), path) is not False]
    if living != locks:
        write_whole(path, _as_rwlock(living))
    return []


def rwlock_damage(path: Path) -> str | None:
    """Damage of DVC's rwlock, in words that follow its name; None if it is intact."""
    try:
        _held_locks(path)
    except (ValueError, AttributeError, TypeError, KeyError):
        return "is cut off" if path.stat().st_size else "is empty"
    return None


_HeldLock = tuple[str, str, dict[str, Any]]
"""``write`` or ``read``, a path, and the holding process: ``pid`` and ``cmd``."""


def _held_locks(path: Path) -> list[_HeldLock]:
    values = json.loads(path.read_text(encoding="utf-8"))
    locks = [("write", locked_path, process) for locked_path, process in values.get("write", {}).items()]
    locks += [
        ("read", locked_path, process) for locked_path, all_ in values.get("read", {}).items() for process in all_
    ]
    for _, _, process in locks:
        int(process["pid"])
    return locks


def _as_rwlock(locks: list[_HeldLock]) -> str:
    values: dict[str, Any] = {"write": {}, "read": {}}
    for mode, path, process in locks:
        if mode == "write":
            values[mode][path] = process
        else:
            values[mode].setdefault(path, []).append(process)
    return json.dumps(values)


def retry_while_locked(root: Path, act: Callable[[], T]) -> T:
    """Retry a call while DVC's locks are held by another process. Raises ProjectError: they were not free for half
    an hour, or DVC's lock file is damaged and cannot be mended.
    """
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            return act()
        except LockError as error:
            if time.monotonic() > deadline:
                raise ProjectError(f"DVC's lock stayed busy: {error}") from error
            time.sleep(_LOCK_POLL_SECONDS)
        except (RWLockFileCorruptedError, RWLockFileFormatError) as error:
            # a dvc that ran beside this process was killed
            mended = mend_unless_busy(root)
            if not mended and time.monotonic() > deadline:
                raise ProjectError(
                    f"{error}; if no dvc or cortex process is running, delete .dvc/tmp/rwlock"
                ) from error
            for sentence in mended:
                _LOG.warning(sentence)
            time.sleep(_LOCK_POLL_SECONDS)


def cache_folder(root: Path) -> str:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return str(repo.cache.local.path)


def stages_by_address(repo: Any) -> dict[str, Any]:
    return {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}


def find_stage(repo: Any, address: str) -> Any:
    """Find a stage by asset and partition. Raises StageError: ``dvc.yaml`` has no such stage."""
    from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound

    try:
        # this one alone: to load a hundred takes more than a second
        return repo.stage.load_one(str(Path(repo.root_dir, "dvc.yaml")), name=address)
    except (StageFileDoesNotExistError, StageNotFound):
        raise StageError(f"dvc.yaml has no stage {address}: run `cortex dvc-yaml`, and see `cortex status`") from None


def write_parameters(project: Project) -> None:
    def act() -> None:
        with locked_repo(project.root) as repo:
            record_parameters(project, repo)

    if not project.resolve().is_written(project.root):
        retry_while_locked(project.root, act)


def record_parameters(project: Project, repo: Any) -> None:
    project.resolve().write(project.root)
    if find_stage(repo, PARAMETERS).changed():
        with contextlib.chdir(project.root):
            repo.commit(PARAMETERS, force=True)
        damaged_files.keep(project.root, damaged_files.DVC_LOCK)


def locked_snapshot(stage: Any) -> Snapshot:
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
    info = stage.outs[0].hash_info
    return str(info.value) if info else None


def unchanged_version(project: Project, address: str) -> str | None:
    def ask() -> str | None:
        with locked_repo(project.root) as repo:
            record_parameters(project, repo)
            stage = find_stage(repo, address)
            return None if stage.changed() else locked_version(stage)

    return retry_while_locked(project.root, ask)


@contextmanager
def reading(root: Path, paths: list[str]) -> Iterator[None]:
    """Hold DVC's read lock on paths relative to the root, without the repository lock."""
    with ExitStack() as stack:
        retry_while_locked(root, lambda: stack.enter_context(_rwlock(root, read=paths, write=[])))
        yield


@contextmanager
def _rwlock(root: Path, read: list[str], write: list[str]) -> Iterator[None]:
    from dvc.rwlock import rwlock

    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with rwlock(
        str(temporary),
        _atomic_file_system(),
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
    """Check, publish and commit one stage under DVC's locks; ``check`` raises to give up. Returns the version, and
    what DVC recorded as made from.
    """

    def act() -> tuple[str, Snapshot]:
        # DVC's run cache resolves dvc.yaml against the working directory, whatever the root is.
        with locked_repo(root) as repo, _rwlock(root, read=[], write=[output]), contextlib.chdir(root):
            check()
            publish()
            (stage,) = repo.commit(address, force=True)
            damaged_files.keep(root, damaged_files.DVC_LOCK)
            return str(stage.outs[0].hash_info.value), locked_snapshot(stage)

    return retry_while_locked(root, act)


def restore(root: Path, version: str, target: Path) -> bool:
    """Copy a committed folder from DVC's cache; False if it is incomplete."""
    from dvc.repo import Repo
    from dvc_data.hashfile import load
    from dvc_data.hashfile.checkout import CheckoutError, checkout
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_objects.fs.local import LocalFileSystem

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        try:
            stored = load(cache, HashInfo("md5", version))
        except FileNotFoundError:
            _LOG.info("version %s is not in the DVC cache", version)
            return False
        try:
            checkout(str(target), LocalFileSystem(), stored, cache, force=True)
        except (FileNotFoundError, CheckoutError):
            return False
    return True
