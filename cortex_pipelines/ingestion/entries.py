"""Files that a reader yields or skips, within limits."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cortex_pipelines.ingestion.settings import IngestionSettings

_DRIVE = re.compile(r"^[A-Za-z]:")
# File systems take names of 255 bytes and paths of 4,096. Where a file is written to be compiled or
# tested it stands below another folder, and may be given another ending.
_LONGEST_NAME, _LONGEST_PATH = 240, 2_048


class SourceError(ValueError):
    """A source cannot be read, or differs from its pin; the message says what to do."""


class DamagedArchiveError(ValueError):
    pass


@dataclass(frozen=True)
class File:
    path: str
    data: bytes


@dataclass(frozen=True)
class FileRef:
    """A file that may be read, identified by git's id of its bytes."""

    path: str
    content: str
    size: int


@dataclass(frozen=True)
class SkippedFile:
    """A file or entry that was left out: a short reason code and an explanation."""

    path: str
    reason: str
    detail: str
    size: int | None = None


Entries = Iterator[File | SkippedFile]
Listing = Iterator[FileRef | SkippedFile]


def blob_id(data: bytes) -> str:
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def printable(path: str) -> str:
    """The path with bytes that are not UTF-8 written out as ``\\xNN``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def clean_member_name(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/" * name.startswith("/") + "/".join(parts)


def unsafe_path_reason(path: str) -> str | None:
    """Reason why a path is unsafe below a folder on some system, or None.

    Nothing here writes a file under such a name, but whatever reads the tables later might.
    """
    parts = re.split(r"[/\\]", path)
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        return "the path is absolute"
    if ".." in parts:
        return "the path leaves its folder"
    if "" in parts or "." in parts:
        return "the path has empty parts"
    if "\0" in path:
        return "the path holds a NUL character"
    try:
        sizes = [len(part.encode("utf-8")) for part in parts]
    except UnicodeEncodeError:
        return "the path is not UTF-8"
    if max(sizes) > _LONGEST_NAME:
        return f"a name of {max(sizes)} bytes; at most {_LONGEST_NAME} can be written anywhere"
    if sum(sizes) + len(sizes) > _LONGEST_PATH:
        return f"a path of more than {_LONGEST_PATH} bytes"
    return None


def folders_of(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


@dataclass
class SourceLimits:
    """Counts what was read from a source and enforces its limits.

    Once a limit of the whole source is reached ``full`` is set, and the reader stops.
    """

    settings: IngestionSettings
    full: bool = False
    _seen: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _entries: int = 0
    _bytes: int = 0

    def check(self, path: str, size: int) -> SkippedFile | None:
        unsafe = unsafe_path_reason(path)
        if unsafe:
            problem: tuple[str, str] | None = ("unsafe_path", unsafe)
        elif path in self._seen:
            problem = "duplicate", "the source has this path more than once; the first one is kept"
        elif path in self._folders:
            problem = "unsafe_path", "an earlier entry lies below this path, so it is a folder"
        elif file := next((folder for folder in folders_of(path) if folder in self._seen), None):
            problem = "unsafe_path", f"it lies below {printable(file)}, which is a file"
        else:
            problem = self._size_problem(path, size)
        if problem:
            return self.skip(path, *problem, size)
        if self._entries >= self.settings.max_files:
            return self.skip(path, "", "", size)
        self._entries += 1
        self._seen.add(path)
        self._folders.update(folders_of(path))
        self._bytes += size
        return None

    def skip(self, path: str, reason: str, detail: str, size: int | None = None) -> SkippedFile:
        if self._entries >= self.settings.max_files:
            return replace(self.stop(path, "too_many_files"), size=size)
        self._entries += 1
        return SkippedFile(printable(path), reason, detail, size)

    def stop(self, path: str, reason: str) -> SkippedFile:
        self.full = True
        limit = f"this and all later entries: ingestion.max_files is {self.settings.max_files}"
        return SkippedFile(printable(path), reason, limit)

    def _size_problem(self, path: str, size: int) -> tuple[str, str] | None:
        limit = self.settings
        name = "max_notebook_bytes" if path.endswith(".ipynb") else "max_file_bytes"
        if size > getattr(limit, name):
            return "too_large", f"{size} bytes; ingestion.{name} is {getattr(limit, name)}"
        if self._bytes + size > limit.max_source_bytes:
            self.full = True
            return "source_too_large", (
                f"this and all later entries: ingestion.max_source_bytes is {limit.max_source_bytes}"
            )
        return None
