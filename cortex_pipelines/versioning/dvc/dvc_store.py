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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from cortex_pipelines.atomic import atomic_file, began_before, write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.content import content_md5, file_md5
from cortex_pipelines.versioning.dvc.changes import Comparison, locked_snapshot
from cortex_pipelines.versioning.dvc.quick_yaml import quicken_dvc, stage_texts
from cortex_pipelines.versioning.dvc.stages import parameters_stage, stage_body
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.merging.conflicts import require_no_conflicts
from cortex_pipelines.versioning.parameters import FOLDER as PARAMETERS_FOLDER
from cortex_pipelines.versioning.parameters import STAGE as PARAMETERS
from cortex_pipelines.versioning.project import Project, Stage
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines.versioning.snapshot import Snapshot

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_LOCK_PATIENCE_SECONDS = 1800.0
_LOCK_POLL_SECONDS = 0.03
_TRIES = 6  # of DVC in its time for a lock
_RELEASE_SECONDS = 6.0


def under_dvc(address: str) -> bool:
    """Whether DVC started this process as the stage's command, and commits it itself."""
    # DVC names a stage as seen from where it was started: words@a, ../dvc.yaml:words@a.
    return os.environ.get("DVC_STAGE", "").rpartition(":")[2] == address


@contextmanager
def locked_repo(root: Path) -> Iterator[Any]:
    from dvc import lock
    from dvc.repo import Repo, lock_repo

    lock.DEFAULT_TIMEOUT = _TRIES * _LOCK_POLL_SECONDS  # or half a second between two looks
    require_no_conflicts(root)  # of which DVC says that the file is corrupted
    logging.getLogger("dvc").setLevel(logging.WARNING)  # importing dvc sets it to INFO
    quicken_dvc()
    file_system = _atomic_file_system()
    lock_of = lock_repo if os.access(root, os.W_OK) else contextlib.nullcontext  # what is read-only is only read
    with Repo(str(root), fs=file_system, _wait_for_lock=True) as repo, lock_of(repo):
        if sentence := damaged_files.mend(root, damaged_files.DVC_LOCK):
            _LOG.warning(sentence)
        yield repo


@lru_cache(maxsize=1)
def _atomic_file_system() -> Any:
    from dvc.fs import LocalFileSystem

    @contextmanager
    def atomic_write(path: Path) -> Iterator[Any]:
        with atomic_file(path) as scratch, scratch.open("w+", encoding="utf-8") as file:
            yield file

    class WholeFiles(LocalFileSystem):  # type: ignore[misc]
        def open(self, path: Any, mode: str = "r", **kwargs: Any) -> Any:
            return atomic_write(Path(path)) if mode in ("w", "w+") else super().open(path, mode=mode, **kwargs)

    return WholeFiles()


def mend_unless_busy(root: Path) -> list[str]:
    """Repair ``dvc.lock`` and DVC's rwlock unless their lock is held; what was done, in sentences."""
    import zc.lockfile

    messages: list[str] = []
    if not (root / ".dvc").is_dir():
        return messages
    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(exist_ok=True)
    with contextlib.suppress(zc.lockfile.LockError), contextlib.closing(zc.lockfile.LockFile(temporary / "lock")):
        if sentence := damaged_files.mend(root, damaged_files.DVC_LOCK):
            messages.append(sentence)
    path = temporary / "rwlock"
    with contextlib.suppress(zc.lockfile.LockError), contextlib.closing(zc.lockfile.LockFile(f"{path}.lock")):
        if not path.exists():
            return messages
        if problem := rwlock_damage(path):
            remains = damaged_files.set_aside(root, path)
            return [*messages, f".dvc/tmp/rwlock {problem}: DVC creates a new one; the damaged file is {remains}"]
        locks = _held_locks(path)
        # DVC drops a lock itself if no process has its owner's number, not if another has it by now
        living = [lock for lock in locks if began_before(int(lock[2]["pid"]), path) is not False]
        if living != locks:
            values: dict[str, Any] = {"write": {}, "read": {}}
            for mode, locked_path, process in living:
                if mode == "write":
                    values[mode][locked_path] = process
                else:
                    values[mode].setdefault(locked_path, []).append(process)
            write_whole(path, json.dumps(values))
    return messages


def rwlock_damage(path: Path) -> str | None:
    """Damage of DVC's rwlock, in words that follow its name; None if it is intact."""
    try:
        _held_locks(path)
    except (ValueError, AttributeError, TypeError, KeyError):
        return "is cut off" if path.stat().st_size else "is empty"
    return None


def _held_locks(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """``write`` or ``read``, a path, and the holding process: ``pid`` and ``cmd``."""
    values = json.loads(path.read_text(encoding="utf-8"))
    locks = [("write", locked_path, process) for locked_path, process in values.get("write", {}).items()]
    locks += [
        ("read", locked_path, process) for locked_path, all_ in values.get("read", {}).items() for process in all_
    ]
    for _, _, process in locks:
        int(process["pid"])
    return locks


def retry_while_locked(root: Path, act: Callable[[], T]) -> T:
    """Retry a call while another process holds DVC's locks; ProjectError after half an hour, or if they are damaged."""
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError

    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            return act()
        except LockError as error:
            if time.monotonic() > deadline:
                raise ProjectError(f"DVC's lock stayed busy: {error}") from error
        except (RWLockFileCorruptedError, RWLockFileFormatError) as error:
            mended = mend_unless_busy(root)  # a dvc that ran beside this process was killed
            if not mended and time.monotonic() > deadline:
                raise ProjectError(
                    f"{error}; if no dvc or cortex process is running, delete .dvc/tmp/rwlock"
                ) from error
            for sentence in mended:
                _LOG.warning(sentence)
        time.sleep(_LOCK_POLL_SECONDS)


def with_repo(root: Path, act: Callable[[Any], T]) -> T:
    """Call ``act`` with DVC's locked repository, retried while another process holds its locks."""

    def attempt() -> T:
        with locked_repo(root) as repo:
            return act(repo)

    return retry_while_locked(root, attempt)


def cache_folder(root: Path) -> str:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return str(repo.cache.local.path)


def stages_by_address(repo: Any) -> Mapping[str, Any]:
    """The stages of ``dvc.yaml``, each loaded when it is looked up; all of a thousand projects take half a minute."""
    from dvc.dvcfile import load_file

    stages: Mapping[str, Any] = load_file(repo, str(Path(repo.root_dir, "dvc.yaml"))).stages
    return stages


def write_parameters(project: Project) -> None:
    if not project.resolve().is_written(project.root):
        with_repo(project.root, lambda repo: record_parameters(project, repo))


def record_parameters(project: Project, repo: Any) -> None:
    if not project.resolve().is_written(project.root):
        project.resolve().write(project.root)
    entry = locked_stages(project.root).get(PARAMETERS, {})
    if any(Comparison(repo).changes(parameters_stage(project), entry)):
        with contextlib.chdir(project.root):
            repo.commit(PARAMETERS, force=True)
        damaged_files.keep(project.root, damaged_files.DVC_LOCK)


def _recorded_snapshot(stage: Any) -> Snapshot:
    from dvc.dependency.param import ParamsDependency

    deps: dict[str, str | None] = {}
    params: dict[str, dict[str, Any]] = {}
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            params[Path(dep.def_path).as_posix()] = dict(dep.hash_info.value or {})
        else:
            deps[Path(dep.def_path).as_posix()] = dep.hash_info.value if dep.hash_info else None
    return Snapshot(deps, params)


def unchanged_version(stage: Stage, begin: Snapshot) -> str | None:
    """Version of a stage that is as dvc.lock says, or None; DVC is asked only if it was made from ``begin``."""
    root, body, locked = stage.project.root, stage_body(stage), locked_stages(stage.project.root)
    entry = locked.get(stage.address, {})
    are_recorded = locked_version(locked, PARAMETERS) == content_md5(root / PARAMETERS_FOLDER)
    if are_recorded and (not entry or locked_snapshot(body, entry).differences(begin)):
        return None

    def ask(repo: Any) -> str | None:
        record_parameters(stage.project, repo)
        locked = locked_stages(root)
        changes = Comparison(repo).changes(body, locked.get(stage.address, {}))
        return None if any(changes) else locked_version(locked, stage.address)

    return with_repo(root, ask)


@contextmanager
def reading(root: Path, paths: list[str]) -> Iterator[None]:
    """Hold DVC's read lock on paths relative to the root, without the repository lock."""
    with ExitStack() as stack:
        retry_while_locked(root, lambda: stack.enter_context(_rwlock(root, read=paths, write=[])))
        yield


@contextmanager
def _rwlock(root: Path, read: list[str], write: list[str]) -> Iterator[None]:
    from dvc import lock
    from dvc.rwlock import rwlock

    temporary = root / ".dvc" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    # The same words as DVC uses itself: its own locks inside commit() are then no strangers.
    command = " ".join(sys.argv)
    paths = ([str(root / path) for path in group] for group in (read, write))
    lock.DEFAULT_TIMEOUT = _TRIES * _LOCK_POLL_SECONDS
    with rwlock(str(temporary), _atomic_file_system(), command, *paths, False):
        try:
            yield
        finally:
            lock.DEFAULT_TIMEOUT = _RELEASE_SECONDS  # to release is not tried again


def commit(
    root: Path, address: str, output: str, check: Callable[[], None], publish: Callable[[], None]
) -> tuple[str, Snapshot]:
    """Check, publish and commit one stage under DVC's locks; ``check`` raises to give up. Version and what made it."""

    def act(repo: Any) -> tuple[str, Snapshot]:
        # DVC's run cache resolves dvc.yaml against the working directory, whatever the root is.
        with _rwlock(root, read=[], write=[output]), contextlib.chdir(root):
            check()
            publish()
            (stage,) = repo.commit(address, force=True)
            damaged_files.keep(root, damaged_files.DVC_LOCK)
            return str(stage.outs[0].hash_info.value), _recorded_snapshot(stage)

    return with_repo(root, act)


def drop_damaged(root: Path, hashes: Iterable[str]) -> None:
    """Remove objects from DVC's cache whose bytes are not those of their name, of which DVC trusts that they are.

    What edits a file in data/ through a hard link edits the object, too; and what ``dvc pull`` brings is never hashed.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        for name in hashes:
            path = Path(repo.cache.local.oid_to_path(name))
            if path.exists() and file_md5(str(path)) != name.removesuffix(".dir"):
                path.unlink()
                _LOG.warning(
                    "DVC's cache: %s was damaged and is removed; if `dvc fetch` brings it back damaged, delete it in "
                    "the remote, then `dvc push` where it is whole",
                    path,
                )


@contextmanager
def ordered_lock(root: Path, addresses: Sequence[str]) -> Iterator[None]:
    """Give the entries that are added to ``dvc.lock`` in the body the order of ``addresses``, however it ends."""
    import zc.lockfile

    path = root / damaged_files.DVC_LOCK

    def texts() -> dict[str, str]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return {name: entry for name, (_, entry) in (stage_texts(text) or {}).items()}

    def order() -> None:
        current = texts()
        names = [*before, PARAMETERS, *addresses, *current]
        entries = {name: current[name] for name in names if name in current}
        if list(entries) != list(current):
            text = path.read_text(encoding="utf-8")
            write_whole(path, text.replace("".join(current.values()), "".join(entries.values())))
            damaged_files.keep(root, damaged_files.DVC_LOCK)

    before = list(texts())
    try:
        yield
    finally:
        if list(texts()) != before:
            lock = root / ".dvc" / "tmp" / "lock"
            # who holds the lock now orders what it adds; a wait would delay Ctrl-C
            with contextlib.suppress(zc.lockfile.LockError), contextlib.closing(zc.lockfile.LockFile(lock)):
                order()


def restore(root: Path, version: str, target: Path) -> bool:
    """Copy a committed folder from DVC's cache; False if it is incomplete or damaged."""
    from dvc.repo import Repo
    from dvc_data.hashfile import load
    from dvc_data.hashfile.checkout import CheckoutError, checkout
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_objects.fs.local import LocalFileSystem

    with Repo(str(root)) as repo:
        cache = repo.cache.local
        try:
            stored = load(cache, HashInfo("md5", version))
            checkout(str(target), LocalFileSystem(), stored, cache, force=True)
        except (FileNotFoundError, CheckoutError):
            return False
    if content_md5(target) == version:
        return True
    drop_damaged(root, [version, *(entry["md5"] for entry in stored.as_list())])
    return False
