"""The download cache, and hashes of its files."""

import gzip
import hashlib
import zlib
from io import BufferedReader
from pathlib import Path

CACHE = Path(".cortex", "cache")
"""Folder of clones and downloads, below the project root and outside all outputs."""


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


UNPACKING_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a packed file raises where it is cut off or damaged."""

_MAGIC = b"\x1f\x8b"
_SEPARATORS = ",;\t|"
_LONGEST_HEADER = 1_000_000


def open_unpacked(path: Path) -> BufferedReader | gzip.GzipFile:
    """A file's bytes, unpacked if it is packed; told by its content, not by its name."""
    with path.open("rb") as file:
        packed = file.read(len(_MAGIC)) == _MAGIC
    return gzip.GzipFile(path) if packed else path.open("rb")


def separator_of(path: Path) -> str:
    """What separates the cells of a CSV, by its first line: comma, semicolon, tab or bar."""
    with open_unpacked(path) as file:
        header = file.readline(_LONGEST_HEADER).decode("utf-8", "replace")
    return max(_SEPARATORS, key=header.count)
