"""The download cache, and hashes of its files."""

import hashlib
from pathlib import Path

CACHE = Path(".cortex", "cache")
"""Folder of clones and downloads, below the project root and outside all outputs."""


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
