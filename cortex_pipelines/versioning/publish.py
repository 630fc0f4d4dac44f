"""Putting a finished output in its place in one step."""

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder beside the outputs, gone afterwards; sweeps those of killed processes."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder = parent / f"{os.getpid()}-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove scratch folders whose process is no more."""
    for entry in parent.iterdir():
        owner = entry.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(entry, ignore_errors=True)


def replace_folder(new: Path, place: Path) -> None:
    """Put ``new`` where ``place`` is; a reader sees all of the old or all of the new.

    A plain rename cannot replace a folder that has entries, so the two change places, and what was
    there stays at ``new``. Both have to be on one file system.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        new.rename(place)
    elif not _exchange(new, place):
        aside = new.with_name(new.name + ".old")
        place.rename(aside)
        new.rename(place)


def _exchange(first: Path, second: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):  # not Linux
        return False
    done = libc.renameat2(
        _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE
    )
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:  # the file system cannot exchange
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def remove_folder(folder: Path) -> None:
    """Remove a folder, moving it aside first so that nobody sees half of it."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    folder.rename(aside)
    shutil.rmtree(aside)
