"""JSON files, and append-only files of lines, written by several processes and rewritten atomically."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cortex_pipelines.atomic import atomic_file, lock_file


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys; the same value gives the same bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


@contextmanager
def open_for_append(path: Path) -> Iterator[BinaryIO]:
    """A file, created if missing, locked against other appends and rewrites."""
    while True:
        try:
            file = path.open("ab+")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab+")
        with file:
            lock_file(file)  # until it is closed
            if _is_same_file(file, path):  # not replaced by another process
                yield file
                return


def rewrite(path: Path, transform: Callable[[Iterator[bytes]], Iterable[bytes]]) -> None:
    """Replace the lines of a file atomically; a missing file stays missing."""
    if not path.exists():
        return
    with open_for_append(path) as file, atomic_file(path) as scratch, scratch.open("wb") as new:
        file.seek(0)
        new.writelines(line + b"\n" for line in transform(stripped_lines(file)))


def stripped_lines(file: BinaryIO) -> Iterator[bytes]:
    return (stripped for line in file if (stripped := line.rstrip(b"\n")))


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None if the line is something else, such as a partial write."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def line_start(file: BinaryIO) -> bytes:
    """Prefix of the next line: a line break if the last line is unfinished."""
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _is_same_file(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
