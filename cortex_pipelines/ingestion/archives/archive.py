"""Read untrusted archives in memory; nothing is unpacked to disk."""

import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

from cortex_pipelines.ingestion.archives.tar import read_tar
from cortex_pipelines.ingestion.archives.zip import read_zip
from cortex_pipelines.ingestion.entries import DamagedArchiveError, Entries, SourceError, SourceLimits

# Errors that the standard library raises on manipulated archives.
_DAMAGE = (
    *(DamagedArchiveError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError),
    NotImplementedError,
)


def read_archive(path: Path, label: str, limits: SourceLimits) -> Entries:
    """Every regular file in order, unsafe or oversized ones as skipped. The format is told by content."""
    size = path.stat().st_size
    if size > limits.settings.max_archive_bytes:
        raise SourceError(
            f"{label}: {size} bytes; ingestion.max_archive_bytes in params.yaml is "
            f"{limits.settings.max_archive_bytes}: raise it if the archive can be trusted"
        )
    with path.open("rb") as file:
        read = read_zip if file.read(2) == b"PK" else read_tar
    try:
        yield from read(path, limits)
    except _DAMAGE as error:
        raise SourceError(
            f"{label}: the archive is truncated, damaged or in an unsupported format "
            f"({error or type(error).__name__}); get it again, as zip or as tar (plain, gzip, "
            "bzip2, xz)"
        ) from error


def archive_path(path: Path, label: str) -> Path:
    if not path.is_file():
        raise SourceError(f"{label}: no such file: {path}; correct `archive` in params.yaml")
    return path
