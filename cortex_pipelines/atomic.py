"""Atomic file writes and temporary folders, safe against killed processes.

Whatever is not finished yet has a name that ends in ``.aside`` and is held by its owner with a
lock that the kernel drops when the owner dies, however it dies. So what a killed process left can
be told from what a living one needs, also where process ids are used again or are those of another
container.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil

_MARK = ".aside"
_TEMPORARY = "cortex-"
_MODE = 0o7777
_BASE = "CORTEX_TEMPORARY_BASE"
_OWNER = "CORTEX_TEMPORARY_OWNER"


@contextmanager
def aside(path: Path, durable: bool = True, place: Path | None = None) -> Iterator[Path]:
    """An empty file beside ``path`` that replaces ``path`` at the end.

    After an error, or a kill, ``path`` is what it was.

    Args:
        path: The file to write; its folder is made if it is not there.
        durable: Whether it has to survive a power failure too; a cache need not.
        place: Where it is until then, on the same file system; None for beside ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch, handle = _held(place or path.parent, f".{path.name}.", folder=False)
    try:
        if path.exists():
            shutil.copymode(path, scratch)
        begun = scratch.stat()
        yield scratch
        if not os.path.samestat(begun, scratch.stat()):  # renamed over it, with a mode of its own
            scratch.chmod(begun.st_mode & _MODE)
        if durable:
            os.fsync(handle)
        scratch.replace(path)
        if durable:
            _sync(path.parent)
    finally:
        os.close(handle)
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes to a file atomically."""
    with aside(path) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def scratch_folder(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A temporary folder in ``parent``; removes those of killed processes first."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent, prefix)
    folder, handle = _held(parent, prefix, folder=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def publish(new: Path, path: Path) -> None:
    """Rename a finished file or folder to where it stays, with the modes of the umask.

    Args:
        new: On the same file system.
        path: Not there yet, or a file.
    """
    follow_umask(new)
    new.replace(path)


def follow_umask(path: Path) -> None:
    """Let everybody read a file, or a folder with all in it, whom the umask lets.

    Some libraries (safetensors) write through temporary files, which are for their owner alone.
    """
    allowed = ~_umask()
    for each in (path, *path.rglob("*")):
        if each.is_symlink():
            continue
        mode = each.stat().st_mode & _MODE
        wanted = mode | ((0o777 if mode & 0o100 else 0o666) & allowed)
        if not mode & 0o200:  # what nobody is to change stays so
            wanted &= ~0o222
        if wanted != mode:
            each.chmod(wanted)


def is_same_file(out: Path, read: Path) -> bool:
    """Whether writing one file would overwrite the other, by whatever path, link or name."""
    return out.exists() and read.exists() and out.samefile(read)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with this folder, and keep others out meanwhile.

    The kernel drops the lock when the process dies, however it dies.

    Args:
        folder: Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def temporary_folder(kind: str) -> AbstractContextManager[Path]:
    """A temporary folder; ``kind`` is part of its name."""
    return scratch_folder(Path(tempfile.gettempdir()), f"{_TEMPORARY}{kind}-")


def sweep(folder: Path, prefix: str = "") -> int:
    """Remove unfinished files of dead processes in a folder; returns how many.

    Args:
        folder: Looked at itself, not below; may be absent.
        prefix: Only names that begin so.
    """
    count = 0
    for entry in folder.glob(f"{prefix}*{_MARK}"):
        handle = _take(entry)
        if handle is None:
            continue
        try:
            _remove(entry)
            count += 1
        finally:
            os.close(handle)
    return count


def began_before(process: int, path: Path) -> bool | None:
    """Whether a process started before a file was written, so may have written it.

    Returns:
        None if no process has that number, or it may not be asked about.
    """
    try:
        return bool(psutil.Process(process).create_time() <= path.stat().st_mtime + 1)
    except (psutil.Error, OSError):
        return None


def discard(folder: Path) -> None:
    """Remove a folder, renaming it first so that nobody sees half of it."""
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{_MARK}")
    folder.rename(doomed)
    _remove(doomed)


def lasting_folder() -> Path:
    """The folder for temporary files that are still there when ``temporary_files`` has ended."""
    # beside the folder of a process that started this one, not in it: that one may end first
    return Path(os.environ.get(_BASE) or tempfile.gettempdir())


@contextmanager
def temporary_files() -> Iterator[None]:
    """Use one folder for all temporary files of this process and its children.

    That is gone afterwards; what a killed process left is swept by the next. It holds for whatever
    asks ``tempfile`` or ``TMPDIR``: packages and programs that clean up behind themselves cannot
    do so when they are killed. Within itself it does nothing.
    """
    if os.environ.get(_OWNER) == str(os.getpid()):
        yield
        return
    base = str(lasting_folder())
    known, kept = tempfile.tempdir, {k: os.environ.get(k) for k in ("TMPDIR", _BASE, _OWNER)}
    with scratch_folder(Path(base), _TEMPORARY) as folder:
        os.environ |= {"TMPDIR": str(folder), _BASE: base, _OWNER: str(os.getpid())}
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = known
            for name, value in kept.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _held(parent: Path, prefix: str, folder: bool) -> tuple[Path, int]:
    """A new file or folder with its lock handle."""
    while True:
        path = parent / f"{prefix}{uuid.uuid4().hex[:12]}{_MARK}"
        if folder:
            path.mkdir(mode=0o700)
        else:
            path.touch(exist_ok=False)
        handle = _take(path)
        if handle is not None:  # else somebody's sweep came in between
            return path, handle


def _take(path: Path) -> int | None:
    """A lock handle on a file or folder; None if another process holds it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(handle)
        if mine.st_uid == os.getuid() and os.path.samestat(mine, path.lstat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _umask() -> int:
    """The umask of this process, without changing it where other threads may write."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))
    except (OSError, StopIteration):  # not Linux
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
