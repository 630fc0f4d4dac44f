"""Scan a text for secrets and personal data."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from cortex_pipelines.privacy.detect.code.values import code_values, outside_syntax
from cortex_pipelines.privacy.detect.context import is_code
from cortex_pipelines.privacy.detect.findings import SECRET, Finding, Span, findings_of
from cortex_pipelines.privacy.detect.named_values import judge_named_values
from cortex_pipelines.privacy.detect.rules.assignments import assigned_secrets, provided_secrets
from cortex_pipelines.privacy.detect.rules.author_names import author_names
from cortex_pipelines.privacy.detect.rules.credentials import commanded_secrets, placed_secrets, stated_secrets
from cortex_pipelines.privacy.detect.rules.documented import documented_secrets
from cortex_pipelines.privacy.detect.rules.personal import personal_data
from cortex_pipelines.privacy.detect.settings.values import fenced_values, settings_values
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import unescaped_lines
from cortex_pipelines.privacy.detect.tokens.formats import is_example, marked_secrets
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.settings import PrivacySettings


def scan_text(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Finding]:
    """Private values in a text, in order."""
    return findings_of(text, spans_of(text, path, settings, language))


def spans_of(text: str, path: str, settings: PrivacySettings, language: str | None = None) -> list[Span]:
    """Character spans of private values, in order and without overlaps."""
    indexed = IndexedText(text)
    # escapes of data and prose; parsers know those of code
    unescaped = [
        replace(span, start=view.starts[span.start], end=view.ends[span.end - 1])
        for view in unescaped_lines(indexed, is_code(path))
        for span in _plain_spans(IndexedText(view.text), "" if is_code(path) else path, settings)
    ]
    spans = [
        *_plain_spans(indexed, path, settings, language),
        *unescaped,
        *marked_secrets(indexed),
        *judge_named_values(code_values(indexed, path, language), False, settings),
        *judge_named_values(chain(settings_values(indexed, path), fenced_values(indexed, path)), True, settings),
        *provided_secrets(indexed),
        *author_names(indexed),
    ]
    disjoint: list[Span] = []  # the earlier one wins, then the longer
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.category, span.rule)):
        value = text[span.start : span.end]
        if (disjoint and span.start < disjoint[-1].end) or PLACEHOLDER.search(value):
            continue
        is_allowed = any(re.fullmatch(pattern, value) for pattern in settings.allowed)
        if not is_allowed and not (span.category == SECRET and is_example(value)):
            disjoint.append(span)
    return disjoint


def _plain_spans(
    indexed: IndexedText, path: str, settings: PrivacySettings, language: str | None = None
) -> Iterator[Span]:
    yield from placed_secrets(indexed)
    yield from stated_secrets(indexed)
    yield from commanded_secrets(indexed, path)
    yield from documented_secrets(indexed, path)
    yield from outside_syntax(indexed.text, path, language, assigned_secrets(indexed, path, settings))
    yield from personal_data(indexed)


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

    Folders of version control and links are ignored; a binary file, and what cannot be read, is reported as skipped.
    Text that is not UTF-8 is read with replacement characters.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give an existing path")

    def name_of(file: Path) -> str:
        return file.name if file == path else file.relative_to(path).as_posix()

    errors: list[OSError] = []
    for file in files_below(path, errors.append):
        name = name_of(file)
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
    for failed in errors:
        yield FileScan(name_of(Path(failed.filename)), (), f"cannot be read: {failed.strerror}")


def files_below(path: Path, on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """The files of a folder in path order, or a file; without links and version control.

    ``on_error``: takes why a folder cannot be read; by default it is left out.
    """
    if path.is_file():
        yield path
        return
    for root, folders, names in os.walk(path, onerror=on_error):
        folders[:] = sorted(set(folders) - {".git", ".hg", ".svn"})
        for file in (Path(root) / name for name in sorted(names)):
            if file.is_file() and not file.is_symlink():
                yield file
