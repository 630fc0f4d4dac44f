"""Content hashes as DVC computes them, without its lock or database."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

IGNORED = frozenset({"__pycache__", ".git", ".hg", ".dvc", ".ipynb_checkpoints"})
"""Ignored names; ``.dvcignore`` lists those that DVC does not ignore by itself."""
_CHUNK = 1 << 20


def file_md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def tree_files(folder: Path) -> Iterable[Path]:
    for entry in folder.iterdir():
        if entry.name in IGNORED:
            continue
        if entry.is_dir():
            yield from tree_files(entry)
        else:
            yield entry


def content_md5(path: Path, leave_out: Iterable[str] = ()) -> str | None:
    """DVC's hash of a file or folder (ending in ``.dir``), without the named files at its top; None if missing."""
    leave_out = frozenset(leave_out)
    if path.is_dir():
        entries = [
            {"md5": file_md5(file), "relpath": file.relative_to(path).as_posix()}
            for file in tree_files(path)
            if file.parent != path or file.name not in leave_out
        ]
        listing = json.dumps(sorted(entries, key=lambda e: e["relpath"]), sort_keys=True)
        return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
    return file_md5(path) if path.exists() else None


def value_md5(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
