"""Atomic file writes and temporary folders, safe against killed processes.

An unfinished file has a name that ends in ``.aside`` and is locked by its owner; the kernel drops
the lock when the owner dies for any reason. Files of killed processes can therefore be told from
those of running ones, even if process ids are reused or belong to another container.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

_PACKAGE = Path(__file__).parent
_MARK = ".aside"
_TEMPORARY = "cortex-"
_MODE = 0o7777
_BASE = "CORTEX_TEMPORARY_BASE"
_OWNER = "CORTEX_TEMPORARY_OWNER"
_CLOCK_STEP = 60
"""Seconds: a clock that is set moves the times at which processes seem to have started."""


@contextmanager
def atomic_file(path: Path, durable: bool = True, staging: Path | None = None) -> Iterator[Path]:
    """An empty temporary file that replaces ``path`` at the end; after an error or a kill it is unchanged.

    Args:
        durable: Whether the file must survive a power failure; a cache need not.
        staging: Folder of the temporary file, on the same file system; by default that of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch, handle = _create_locked(staging or path.parent, f".{path.name}.", folder=False)
    try:
        if path.exists():
            shutil.copymode(path, scratch)
        original = scratch.stat()
        yield scratch
        if not os.path.samestat(original, scratch.stat()):  # another file was renamed over it
            scratch.chmod(original.st_mode & _MODE)
        if durable:
            os.fsync(handle)
        scratch.replace(path)
        if durable:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        os.close(handle)
        scratch.unlink(missing_ok=True)


def unless_passed(mark: Path, state: str, check: Callable[[], None]) -> None:
    """Run a check that takes long only if what it depends on changed; ``mark`` has the digest of what passed last."""
    digest = hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return
    check()
    if os.access(mark.parents[1], os.W_OK):
        write_whole(mark, digest)


def package_state(folder: str = "") -> str:
    """Names, sizes and times of the package's files, of all or below a folder."""
    files = sorted(_PACKAGE.joinpath(folder).rglob("*.*"))
    return str([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.suffix != ".pyc"])


def write_whole(path: Path, content: str | bytes) -> None:
    with atomic_file(path) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def scratch_folder(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A temporary folder in ``parent``; first removes those of killed processes."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent, prefix)
    folder, handle = _create_locked(parent, prefix, folder=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def publish(new: Path, path: Path) -> None:
    """Rename a finished file or folder to its final path (missing, or a file), with the modes of the umask."""
    follow_umask(new)
    new.replace(path)


def follow_umask(path: Path) -> None:
    """Set the modes that the umask allows of a file or folder with its contents; safetensors writes private files."""
    status = Path("/proc/self/status")
    if status.exists():  # os.umask would change it for a moment, where other threads may write
        mask = int(re.findall(r"^Umask:\s*(\d+)", status.read_text(encoding="utf-8"), re.MULTILINE)[0], 8)
    else:  # not Linux
        mask = os.umask(0o077)
        os.umask(mask)
    allowed = ~mask
    for entry in (path, *path.rglob("*")):
        if entry.is_symlink():
            continue
        mode = entry.stat().st_mode & _MODE
        new_mode = mode | ((0o777 if mode & 0o100 else 0o666) & allowed)
        if not mode & 0o200:  # keep read-only files read-only
            new_mode &= ~0o222
        if new_mode != mode:
            entry.chmod(new_mode)


def is_same_file(out: Path, read: Path) -> bool:
    """Whether writing one file would overwrite the other, through any path or link."""
    return out.exists() and read.exists() and out.samefile(read)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder, created if missing, until the end of the block or of the process."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock_file(handle)
        yield
    finally:
        os.close(handle)


def lock_file(file: IO[Any] | int, wait: bool = True) -> bool:
    """Lock an open file or folder until it is closed; without ``wait`` False if another process holds it.

    OSError: its file system has no such locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(
            f"files cannot be locked here ({error.strerror}), as on some network file systems: put the project, and "
            "TMPDIR if it is set, on a local disk"
        ) from error
    return True


def temporary_folder(kind: str) -> AbstractContextManager[Path]:
    return scratch_folder(Path(tempfile.gettempdir()), f"{_TEMPORARY}{kind}-")


def sweep(folder: Path, prefix: str = "") -> int:
    """Remove unfinished files of dead processes in a folder, unless it is another user's; returns their number."""
    count = 0
    for entry in folder.glob(f"{prefix}*{_MARK}") if os.access(folder, os.W_OK | os.X_OK) else ():
        try:
            handle = _try_lock(entry)
        except OSError:
            continue
        if handle is None:
            continue
        try:
            if os.fstat(handle).st_uid == os.getuid():
                _remove(entry)
                count += 1
        finally:
            os.close(handle)
    return count


def began_before(process: int, path: Path) -> bool | None:
    """Whether a process started before a file was written; None if it ended or may not be inspected."""
    try:
        return started_by(process, path.stat().st_mtime)
    except OSError:
        return None


def started_by(process: int, time: float) -> bool | None:
    """Whether a process started before a time, so that its number was not another's then; None as above."""
    import psutil  # rarely needed

    try:
        return bool(psutil.Process(process).create_time() <= time + _CLOCK_STEP)
    except psutil.Error:
        return None


def discard(folder: Path) -> None:
    """Remove a folder, renaming it first so that no other process sees a partial one."""
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{_MARK}")
    folder.rename(doomed)
    _remove(doomed)


def lasting_folder() -> Path:
    # not in the folder of the parent process, which may end first
    return Path(os.environ.get(_BASE) or tempfile.gettempdir())


@contextmanager
def temporary_files() -> Iterator[None]:
    """Use one folder for all temporary files of this process and its children.

    The folder is removed afterwards; that of a killed process is swept by the next one. It applies
    to everything that uses ``tempfile`` or ``TMPDIR``, such as packages that clean up after
    themselves but cannot do so when killed. Nested calls do nothing.
    """
    if os.environ.get(_OWNER) == str(os.getpid()):
        yield
        return
    base = str(lasting_folder())
    previous_tempdir = tempfile.tempdir
    previous_environment = {name: os.environ.get(name) for name in ("TMPDIR", _BASE, _OWNER)}
    with scratch_folder(Path(base), _TEMPORARY) as folder:
        os.environ |= {"TMPDIR": str(folder), _BASE: base, _OWNER: str(os.getpid())}
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = previous_tempdir
            for name, value in previous_environment.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _create_locked(parent: Path, prefix: str, folder: bool) -> tuple[Path, int]:
    while True:
        path = parent / f"{prefix}{uuid.uuid4().hex[:12]}{_MARK}"
        if folder:
            path.mkdir(mode=0o700)
        else:
            path.touch(exist_ok=False)
        try:
            handle = _try_lock(path)
        except OSError:
            _remove(path)
            raise
        if handle is not None:  # else another process swept it in between
            return path, handle


def _try_lock(path: Path) -> int | None:
    """A lock handle on a file or folder; None if another process holds or removed it."""
    with ExitStack() as stack:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            stack.callback(os.close, handle)
            if lock_file(handle, wait=False) and os.path.samestat(os.fstat(handle), path.lstat()):
                stack.pop_all()
                return handle
        except FileNotFoundError:
            pass
    return None


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def replace_folder(new: Path, target: Path) -> None:
    """Replace ``target`` by ``new`` atomically: readers see all of the old or all of the new.

    A plain rename cannot replace a folder that has entries, so the two change places, and what was there stays at
    ``new``. Both have to be on one file system.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    follow_umask(new)
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        old = new.with_name(new.name + ".old")
        target.rename(old)
        new.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):  # not Linux
        return False
    result = libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:  # the file system cannot exchange
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))
