"""Publish a finished output atomically."""

import ctypes
import errno
import os
from pathlib import Path

from cortex_pipelines.atomic import follow_umask

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
