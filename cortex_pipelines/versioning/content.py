"""Content hashes as DVC computes them, without its lock or database."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

IGNORED = frozenset({"__pycache__", ".git", ".hg", ".dvc", ".ipynb_checkpoints"})
"""Ignored names; ``.dvcignore`` lists those that DVC does not ignore by itself."""


def file_md5(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in IGNORED:
                continue
            if entry.is_dir():
                yield from _files(entry.path)
            else:
                yield entry.path


def content_md5(path: Path, leave_out: Iterable[str] = (), hash_file: Callable[[str], str] = file_md5) -> str | None:
    """DVC's hash of a file or folder (ending in ``.dir``), without the named files at its top; None if missing."""
    leave_out = frozenset(leave_out)
    if path.is_dir():
        names = (file.removeprefix(f"{path}{os.sep}") for file in _files(str(path)))
        entries = [
            {"md5": hash_file(f"{path}{os.sep}{name}"), "relpath": name} for name in names if name not in leave_out
        ]
        listing = json.dumps(sorted(entries, key=lambda e: e["relpath"]), sort_keys=True)
        return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
    return hash_file(str(path)) if path.exists() else None


def value_md5(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
