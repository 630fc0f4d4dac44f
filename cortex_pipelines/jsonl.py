"""Files of lines that grow: several processes append, and one may rewrite them meanwhile."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cortex_pipelines.atomic import aside


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """A file, made if it is not there, that nobody else appends to or rewrites meanwhile."""
    while True:
        try:
            file = path.open("ab+")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab+")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            if _is(file, path):  # nobody has put another one in its place
                yield file
                return


def rewrite(path: Path, changed: Callable[[Iterator[bytes]], Iterable[bytes]]) -> None:
    """Put other lines in the place of a file's; one that is not there stays so.

    Args:
        path: The file.
        changed: Takes its lines without their ends, empty ones left out, and gives those to be.
    """
    if not path.exists():
        return
    with appending(path) as file, aside(path) as scratch, scratch.open("wb") as new:
        file.seek(0)
        new.writelines(line + b"\n" for line in changed(lines_of(file)))


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends; empty ones are left out."""
    return (stripped for line in file if (stripped := line.rstrip(b"\n")))


def json_object(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None if it holds none, as half of one that a kill left does."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def line_start(file: BinaryIO) -> bytes:
    """What the next line has to begin with: a line break where the last one is unfinished.

    Args:
        file: Open for reading and appending.
    """
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"


def _is(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
