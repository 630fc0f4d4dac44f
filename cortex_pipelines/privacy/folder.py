"""Scan a file or folder for private values, without a project."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.privacy.detect.findings import Finding
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.settings import PrivacySettings

_HEAD_BYTES = 8192
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


@dataclass(frozen=True)
class FileScan:
    """Findings in one file, in the order of its text, or the reason why it was not read."""

    path: str
    findings: tuple[Finding, ...]
    skipped: str = ""


def scan_path(path: Path, settings: PrivacySettings) -> Iterator[FileScan]:
    """Scan a file, or all files of a folder in path order.

    Folders of version control and links are ignored; a binary file is reported as skipped.
    Text that is not UTF-8 is read with replacement characters.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give an existing path")
    for file in files_below(path):
        name = file.name if file == path else file.relative_to(path).as_posix()
        try:
            data = file.read_bytes()
        except OSError as error:
            yield FileScan(name, (), f"cannot be read: {error.strerror}")
            continue
        encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
        if encoding is None and b"\0" in data[:_HEAD_BYTES]:
            yield FileScan(name, (), "binary")
        else:
            yield FileScan(name, tuple(scan_text(data.decode(encoding or "utf-8", "replace"), name, settings)))


def files_below(path: Path) -> Iterator[Path]:
    """The files of a folder in path order, or a file; without links and version control."""
    if path.is_file():
        yield path
        return
    for root, folders, names in os.walk(path):
        folders[:] = sorted(set(folders) - {".git", ".hg", ".svn"})
        for file in (Path(root) / name for name in sorted(names)):
            if file.is_file() and not file.is_symlink():
                yield file
