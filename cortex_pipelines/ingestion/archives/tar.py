"""Members of a tar archive, streamed: one pass forward, one member in memory."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.ingestion.archives.zip import HARMLESS_BYTES
from cortex_pipelines.ingestion.entries import (
    DamagedArchiveError,
    Entries,
    File,
    SkippedFile,
    SourceLimits,
    clean_member_name,
    printable,
)

_BLOCK = tarfile.BLOCKSIZE
_MAGIC: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZ": bz2.BZ2File,
    b"\xfd7": lzma.LZMAFile,
}
_CHUNK = 1 << 16
_FOLDERS = (tarfile.DIRTYPE,)
_LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)


class _ForwardOnlyStream(io.RawIOBase):
    """A forward-only stream with a size limit.

    The standard library seeks back when a hostile header says so (an endless loop), and takes a
    damaged header for the end of the archive; ``last`` keeps the block on which it stopped.
    """

    def __init__(self, stream: io.BufferedIOBase, limit: int, largest_read: int) -> None:
        self._stream = stream
        self._limit = limit
        self._largest_read = largest_read
        self._position = 0
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._largest_read:
            raise DamagedArchiveError(f"a header of {size} bytes")
        if self._position + size > self._limit:
            raise DamagedArchiveError(f"unpacks to more than {self._limit} bytes")
        self.last = self._stream.read(size)
        self._position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset < self._position:
            raise DamagedArchiveError("a header points backwards")
        while self._position < offset and self.read(min(offset - self._position, self._largest_read)):
            pass
        return self._position


def read_tar(path: Path, limits: SourceLimits) -> Entries:
    limit, reason = _unpacked_limit(path, limits)
    with _open(path) as unpacked:
        stream = _ForwardOnlyStream(unpacked, limit + _CHUNK, limits.largest_file + _CHUNK)
        archive = tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape")
        while (member := archive.next()) is not None:
            if member.size < 0:
                raise DamagedArchiveError(f"{printable(member.name)} has {member.size} bytes")
            if member.offset_data + member.size > limit:
                yield limits.skip(clean_member_name(member.name), *reason, member.size)
                return
            if member.type not in _FOLDERS:
                yield _entry(archive, member, limits)
            if limits.full:
                return
        # the end is a block of zeros; anything else is a damaged header or the end of the file
        if stream.last != bytes(_BLOCK):
            raise DamagedArchiveError("it ends without an end mark")
        while stream.read(_CHUNK):  # the packed stream's own checksum comes last
            pass


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo, limits: SourceLimits) -> File | SkippedFile:
    name = clean_member_name(member.name)
    if member.type in _LINKS:
        return limits.skip(name, "link", "a symbolic or hard link")
    if not member.isreg() or member.sparse is not None:
        return limits.skip(name, "special", "a device, pipe or file with holes")
    skipped = limits.check(name, member.size)
    if skipped:
        return skipped
    content = archive.extractfile(member)
    data = content.read(member.size) if content else b""
    if len(data) != member.size:
        raise DamagedArchiveError(f"{printable(name)} breaks off after {len(data)} of {member.size} bytes")
    return File(name, data)


def _open(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        magic = file.read(2)
    unpack = _MAGIC.get(magic)
    return unpack(path) if unpack else path.open("rb")


def _unpacked_limit(path: Path, limits: SourceLimits) -> tuple[int, tuple[str, str]]:
    ratio, most = limits.settings.max_compression_ratio, limits.settings.max_source_bytes
    by_ratio = max(HARMLESS_BYTES, ratio * path.stat().st_size)
    if by_ratio < most:
        return by_ratio, (
            "compression_ratio",
            "this and all later entries: it would unpack to more than "
            f"ingestion.max_compression_ratio, {ratio}, times its size",
        )
    return most, ("source_too_large", f"this and all later entries: ingestion.max_source_bytes is {most}")
