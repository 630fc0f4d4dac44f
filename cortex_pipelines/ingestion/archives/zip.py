"""Members of a zip archive, read in memory."""

import stat
import zipfile
from pathlib import Path

from cortex_pipelines.ingestion.entries import DamagedArchiveError, Entries, File, SourceLimits, clean_member_name

# Below this size not even a file that packs a thousandfold can do harm.
HARMLESS_BYTES = 100_000
_CENTRAL_ENTRY = b"PK\x01\x02"
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def read_zip(path: Path, limits: SourceLimits) -> Entries:
    _check_directory(path, limits.settings.max_files)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = clean_member_name(info.filename)
            problem = _problem(info, limits.settings.max_compression_ratio)
            if problem:
                yield limits.skip(name, *problem, info.file_size)
            else:
                yield limits.check(name, info.file_size) or File(name, archive.read(info))
            if limits.full:
                return


def _problem(info: zipfile.ZipInfo, ratio: int) -> tuple[str, str] | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "link", "a symbolic link"
    if kind not in (0, stat.S_IFREG):
        return "special", "neither a file nor a folder"
    if info.flag_bits & 1:
        return "encrypted", "encrypted with a password"
    if info.compress_type not in _READ_METHODS:
        return "unknown_packing", f"packed by method {info.compress_type}, which is not read"
    if info.file_size > max(HARMLESS_BYTES, ratio * info.compress_size):
        return "compression_ratio", (
            f"{info.compress_size} bytes unpack to {info.file_size}: more than ingestion.max_compression_ratio, {ratio}"
        )
    return None


def _check_directory(path: Path, max_files: int) -> None:
    """Count the directory entries before zipfile loads all of them."""
    entries = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            entries += chunk.count(_CENTRAL_ENTRY)
    # tenfold: archives inside the archive, stored as they are, have directories too
    if entries > 10 * max_files:
        raise DamagedArchiveError(f"{entries} entries; ingestion.max_files is {max_files}")
