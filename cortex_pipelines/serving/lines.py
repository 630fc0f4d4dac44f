"""Files of lines that grow, and what a killed process leaves at their end."""

import os
from typing import BinaryIO


def line_start(file: BinaryIO) -> bytes:
    """What the next line has to begin with: a line break where the last one is unfinished.

    Args:
        file: Open for reading and appending.
    """
    if not file.seek(0, os.SEEK_END):
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"
