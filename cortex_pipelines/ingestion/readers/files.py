"""A folder or an untrusted archive as a source; archives are read in memory, nothing is unpacked to disk."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cortex_pipelines.ingestion.entries import (
    DamagedArchiveError,
    Entries,
    File,
    SkippedFile,
    SourceError,
    SourceLimits,
    clean_member_name,
    printable,
)

NOT_SOURCES = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})
"""Folders that tools keep beside the sources and change by themselves."""
MADE_BY_TOOLS = ("pyvenv.cfg", "CACHEDIR.TAG")
"""Files that mark a folder made by a tool: a virtual environment, a cache, an index."""


def _unreadable(error: OSError) -> None:
    raise SourceError(f"cannot read {error.filename}: {error.strerror}; grant read access to it")


@contextmanager
def _permitted() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        _unreadable(error)


def content_hash(folder: Path) -> str:
    """SHA-256 over paths and contents of a folder, links by target; not of version control and caches of tools."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        digest.update(_fingerprint(folder, path))
    return digest.hexdigest()


def read_directory(folder: Path, content: str, label: str, limits: SourceLimits) -> Entries:
    """Every file in the order of its paths. Raises, after the last one, if the content is not the pinned one."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        facts = (folder / path).lstat()
        entry: File | SkippedFile | None = None
        if limits.full:
            pass  # what is left is only hashed
        elif stat.S_ISLNK(facts.st_mode):
            entry = limits.skip(path, "link", "a symbolic link")
        elif not stat.S_ISREG(facts.st_mode):
            entry = limits.skip(path, "special", "a device, socket or pipe")
        else:
            with _permitted():
                entry = limits.check(path, facts.st_size) or File(path, (folder / path).read_bytes())
        # what was read is what is hashed, even while somebody edits the folder
        digest.update(_fingerprint(folder, path, entry.data if isinstance(entry, File) else None))
        if entry:
            yield entry
    if digest.hexdigest() != content:
        raise SourceError(
            f"{label}: the content of {folder} has changed since it was pinned in sources.lock; "
            "run `cortex update` to take it as it is now"
        )


@_permitted()
def _walk(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise SourceError(f"no such folder: {folder}; correct `directory` in params.yaml")
    paths: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        parent_path = Path(parent)
        linked = [name for name in folders if (parent_path / name).is_symlink()]
        own = [name for name in folders if name not in linked and name not in NOT_SOURCES]
        folders[:] = [name for name in own if not any((parent_path / name / mark).exists() for mark in MADE_BY_TOOLS)]
        paths += ((parent_path / name).relative_to(folder).as_posix() for name in [*files, *linked])
    return iter(sorted(paths, key=os.fsencode))


@_permitted()
def _fingerprint(folder: Path, path: str, data: bytes | None = None) -> bytes:
    """Unambiguous bytes for a path, kind and content, with lengths first."""
    name, full_path = os.fsencode(path), folder / path
    mode = full_path.lstat().st_mode
    if data is not None:
        kind, content = b"file", hashlib.sha256(data)
    elif stat.S_ISLNK(mode):
        kind, content = b"link", hashlib.sha256(os.fsencode(full_path.readlink()))
    elif stat.S_ISREG(mode):
        with full_path.open("rb") as file:
            kind, content = b"file", hashlib.sha256()
            while chunk := file.read(1 << 20):
                content.update(chunk)
    else:
        kind, content = b"special", hashlib.sha256()
    return b"%d %s %s %s\n" % (len(name), name, kind, content.hexdigest().encode())


# Below this size not even a file that packs a thousandfold can do harm.
HARMLESS_BYTES = 100_000
_CENTRAL_ENTRY = b"PK\x01\x02"
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def read_zip(path: Path, limits: SourceLimits) -> Entries:
    # count the directory entries before zipfile loads all of them
    with path.open("rb") as file:
        entries = sum(chunk.count(_CENTRAL_ENTRY) for chunk in iter(partial(file.read, 1 << 20), b""))
    # tenfold: archives inside the archive, stored as they are, have directories too
    if entries > 10 * limits.settings.max_files:
        raise DamagedArchiveError(f"{entries} entries; ingestion.max_files is {limits.settings.max_files}")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            name = clean_member_name(info.filename)
            kind, ratio = stat.S_IFMT(info.external_attr >> 16), limits.settings.max_compression_ratio
            problem = None
            if kind == stat.S_IFLNK:
                problem = "link", "a symbolic link"
            elif kind not in (0, stat.S_IFREG):
                problem = "special", "neither a file nor a folder"
            elif info.flag_bits & 1:
                problem = "encrypted", "encrypted with a password"
            elif info.compress_type not in _READ_METHODS:
                problem = "unknown_packing", f"packed by method {info.compress_type}, which is not read"
            elif info.file_size > max(HARMLESS_BYTES, ratio * info.compress_size):
                sizes = f"{info.compress_size} bytes unpack to {info.file_size}"
                problem = "compression_ratio", f"{sizes}: more than ingestion.max_compression_ratio, {ratio}"
            if problem:
                yield limits.skip(name, *problem, info.file_size)
            else:
                yield limits.check(name, info.file_size) or File(name, archive.read(info))
            if limits.full:
                return


_BLOCK = tarfile.BLOCKSIZE
_MAGIC: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZ": bz2.BZ2File,
    b"\xfd7": lzma.LZMAFile,
}
_CHUNK = 1 << 16
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
    ratio, limit = limits.settings.max_compression_ratio, limits.settings.max_source_bytes
    reason = "source_too_large", f"this and all later entries: ingestion.max_source_bytes is {limit}"
    by_ratio = max(HARMLESS_BYTES, ratio * path.stat().st_size)
    if by_ratio < limit:
        limit = by_ratio
        reason = (
            "compression_ratio",
            "this and all later entries: it would unpack to more than "
            f"ingestion.max_compression_ratio, {ratio}, times its size",
        )
    with path.open("rb") as file:
        unpack = _MAGIC.get(file.read(2))
    with unpack(path) if unpack else path.open("rb") as unpacked:
        largest_file = max(limits.settings.max_file_bytes, limits.settings.max_notebook_bytes)
        stream = _ForwardOnlyStream(unpacked, limit + _CHUNK, largest_file + _CHUNK)
        archive = tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape")
        while (member := archive.next()) is not None:
            if member.size < 0:
                raise DamagedArchiveError(f"{printable(member.name)} has {member.size} bytes")
            if member.offset_data + member.size > limit:
                yield limits.skip(clean_member_name(member.name), *reason, member.size)
                return
            if member.type != tarfile.DIRTYPE:
                yield _member(archive, member, limits)
            if limits.full:
                return
        # the end is a block of zeros; anything else is a damaged header or the end of the file
        if stream.last != bytes(_BLOCK):
            raise DamagedArchiveError("it ends without an end mark")
        while stream.read(_CHUNK):  # the packed stream's own checksum comes last
            pass


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, limits: SourceLimits) -> File | SkippedFile:
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
