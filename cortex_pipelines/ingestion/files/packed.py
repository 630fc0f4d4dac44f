"""Files that may be packed by gzip, as logs often are."""

import gzip
import zlib
from io import BufferedReader
from pathlib import Path

UNPACKING_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a packed file raises where it is cut off or damaged."""

_MAGIC = b"\x1f\x8b"


def open_unpacked(path: Path) -> BufferedReader | gzip.GzipFile:
    """A file's bytes, unpacked if it is packed; told by its content, not by its name."""
    with path.open("rb") as file:
        packed = file.read(len(_MAGIC)) == _MAGIC
    return gzip.GzipFile(path) if packed else path.open("rb")
