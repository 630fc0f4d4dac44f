"""A file as the documents that are searched: its functions, methods and types, and what is left.

A function, method or type is a document. A type's own text is what is not in its methods, so that nothing counts twice;
a function inside of a function belongs to the outer one. What no unit holds (imports, constants, statements of the
module) is one more document of the file. Files of other languages and prose are cut at headings and blank lines.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath

from cortex_pipelines.damage import SkipReason, attempt
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.ingestion.entries import blob_id
from cortex_pipelines.ingestion.files.content import is_generated
from cortex_pipelines.ingestion.files.languages import is_code, language_of
from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.retrieval.listing import UNREADABLE, HeadCommit, ListedFile
from cortex_pipelines.retrieval.vectors import COMMIT, ISSUE, encoder_text
from cortex_pipelines.schemas.vocabulary import DEFINITIONS
from cortex_pipelines.syntax.grammars import PARSED

FIELDS = ("path", "name", "signature", "documentation", "body")  # parts of a document that are weighted each for itself

_PROSE = frozenset({"markdown", "restructuredtext", "text"})
_DATA = frozenset({"json", "csv", "xml", "diff", "ini", "yaml", "toml", None})
NOT_CODE = _PROSE | _DATA  # languages of what is read and configured; all others are code
_MOST_DATA = 100_000  # characters of a data file that are read: what it is about stands at its beginning
_LARGEST_GENERATED = 100_000
_SECTION_LINES = 60
_LEAST_LINES = 8
_HEADING = re.compile(r"#{1,6}\s+\S|=+\s+\S")
_UNDERLINE = re.compile(r"([=\-~^*#\"'`.:_+])\1{2,}\s*$")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_BLOCKS = {".adoc": re.compile(r"(?:-{4,}|\.{4,})\s*$"), ".rst": re.compile(r"(?!)")}
_OVERLOAD = re.compile(r"@(?:\w+\.)?overload\b")


@dataclass(frozen=True)
class ReadingLimits:
    ingestion: IngestionSettings
    extraction: ExtractionSettings
    privacy: PrivacySettings


@dataclass(frozen=True)
class Document:
    """One result that a search may give, with the text of each field of ``FIELDS``."""

    kind: str
    name: str
    start_line: int
    end_line: int
    texts: tuple[str, ...]
    category: str | None = None
    complexity: int | None = None
    technologies: tuple[str, ...] = ()
    intent: str | None = None
    intent_kind: str | None = None
    is_test: bool = False


@dataclass(frozen=True)
class FileText:
    """One file, read; without documents where ``left_out`` says why.

    ``size`` and ``mtime`` (in nanoseconds) are as listed; ``commit`` has it with these bytes.
    """

    path: str
    size: int
    mtime: int
    blob: str
    language: str | None
    commit: str | None
    generated: bool
    documents: tuple[Document, ...]
    left_out: str = ""
    licence: str | None = None
    author: str | None = None
    changed: datetime | None = None


@dataclass(frozen=True)
class _FileContent:
    text: str = ""
    language: str | None = None
    blob: str = ""
    generated: bool = False
    lines: int = 0
    notebook: bool = False
    left_out: str = ""


def read_file(folder: Path, file: ListedFile, head: HeadCommit | None, limits: ReadingLimits) -> FileText:
    """The documents of one file, without secrets and personal data; lines are those of the file."""
    path = file.path
    content = _FileContent(left_out=file.left_out)
    if not file.left_out:
        content = _read_content(folder, path, file.size, limits, file.marked)
    documents: tuple[Document, ...] = ()
    if content.notebook:
        texts = (path, "", "", "", content.text)
        name = PurePosixPath(path).name
        documents = (Document("file", name, 1, content.lines, texts, is_test=is_test(path)),)
    elif not content.left_out:
        documents = tuple(_documents(content.text, path, content.language, limits.extraction))
    blob, left_out = content.blob, content.left_out
    # a file that is edited has no commit
    commit = head.commit if head is not None and head.blobs.get(path) == blob else None
    language, generated = content.language, content.generated
    return FileText(path, file.size, file.mtime, blob, language, commit, generated, documents, left_out)


def read_text(folder: Path, path: str, limits: ReadingLimits) -> str | None:
    """The text that ``read_file`` made documents of, without secrets and personal data.

    Of a notebook it is the text of its cells. None if the file is gone or is left out.
    """
    try:
        size = (folder / path).stat().st_size
    except OSError:
        return None
    read = _read_content(folder, path, size, limits)
    return None if read.left_out else read.text


def _read_content(folder: Path, path: str, size: int, limits: ReadingLimits, marked: bool = False) -> _FileContent:
    max_bytes = limits.ingestion.max_file_bytes
    if path.endswith(".ipynb"):
        max_bytes = limits.ingestion.max_notebook_bytes
    elif is_code(path):  # larger ones are cut into units, not kept as one text
        max_bytes = max(max_bytes, limits.extraction.max_file_bytes)
    if size > max_bytes:
        return _FileContent(left_out="too large")
    try:
        data = (folder / path).read_bytes()
    except OSError:
        return _FileContent(left_out=UNREADABLE)
    blob = blob_id(data)
    if b"\0" in data:
        return _FileContent(blob=blob, left_out="binary")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    language = language_of(path, text)
    generated = marked or is_generated(path, language, text, limits.ingestion)
    if generated and len(text) > _LARGEST_GENERATED:
        return _FileContent(language=language, blob=blob, left_out="generated")
    lines = text.count("\n") + 1
    notebook = language == "jupyter"
    if notebook:
        try:
            cells = read_notebook(text)
        except NotebookError:
            return _FileContent(blob=blob, left_out="damaged notebook")
        text, language = cells.text, cells.language
    text = redact_text(text, path, language, limits.privacy, logs_key(limits.privacy)).text
    return _FileContent(text, language, blob, generated, lines, notebook)


def file_from_table(
    path: str, text: str, language: str | None, commit: str, generated: bool, settings: ExtractionSettings
) -> FileText:
    """The documents of a row of a project's table of files, which is redacted already."""
    documents = tuple(_documents(text, path, language, settings))
    size = len(text)
    return FileText(path, size, 0, "", language, commit, generated, documents)


def as_issue(file: FileText, text: str) -> FileText:
    """A page of Markdown as one document: its heading is the issue's title."""
    title, _, description = text.partition("\n")
    name = title.lstrip("# ").strip()
    texts = (file.path, name, "", description.strip(), "")
    document = Document(ISSUE, name, 1, text.count("\n") + 1, texts)
    return replace(file, documents=(document,))


def only_declares(document: Document) -> bool:
    """Whether a function has no body, as overloads in TypeScript and Python."""
    if document.kind not in ("function", "method"):
        return False
    _, _, signature, _, body = document.texts
    return bool(_OVERLOAD.match(body)) or body.removesuffix(";").split() == signature.split()


def embedded_text(document: Document, file: FileText) -> str:
    """What the encoder reads of a document.

    Empty for tests, prose and constants: they are found by their words.
    """
    is_section = document.kind == "section" and file.language not in NOT_CODE
    if document.is_test or not (document.kind in (*DEFINITIONS, COMMIT) or is_section):
        return ""
    *_, documentation, body = document.texts
    return encoder_text(document.kind, document.name, documentation, body)


def _documents(text: str, path: str, language: str | None, settings: ExtractionSettings) -> Iterator[Document]:
    if language in PARSED:
        units = attempt(lambda: file_units(text, str(language), path, settings))
        if not isinstance(units, SkipReason) and units:
            yield from _unit_documents(text, path, units)
            return
    if language in _DATA:
        text = text[:_MOST_DATA]
    if text.strip():
        yield from _sections(text, path, prose=language in _PROSE)


def _unit_documents(text: str, path: str, units: Sequence[Unit]) -> Iterator[Document]:
    data = text.encode(errors="replace")
    outer_units: list[Unit] = []  # a function inside of a function belongs to the outer one
    covered = 0
    for unit in units:
        if unit.kind in DEFINITIONS and unit.start_byte >= covered:
            covered = unit.end_byte if unit.kind in ("function", "method") else covered
            outer_units.append(unit)
    covered = 0
    uncovered: list[bytes] = []
    for number, unit in enumerate(outer_units, start=1):
        if unit.start_byte >= covered:
            uncovered.append(data[covered : unit.start_byte])
            covered = unit.end_byte
        parts, position = list[bytes](), unit.start_byte
        for inner in outer_units[number:]:
            if inner.start_byte >= unit.end_byte:
                break
            if inner.start_byte >= position:
                parts += (data[position : inner.start_byte], inner.name.encode(errors="replace"))
                position = inner.end_byte
        own_text = b"\n".join((*parts, data[position : unit.end_byte])).decode(errors="replace")
        texts = (path, unit.qualified_name, unit.signature, unit.docstring or "", own_text)
        lines, in_test = (unit.start_line, unit.end_line), is_test(path, unit.qualified_name)
        yield Document(unit.kind, unit.qualified_name, *lines, texts, is_test=in_test)
    uncovered.append(data[covered:])
    uncovered_text = b"\n".join(uncovered).decode(errors="replace")
    if len(uncovered_text.split()) > 3:
        texts = (path, "", "", "", uncovered_text)
        yield Document("file", PurePosixPath(path).name, 1, text.count("\n") + 1, texts, is_test=is_test(path))


def _lines_of_code(lines: list[str], ending: str) -> set[int]:
    """Lines of prose that stand in blocks of code or in the front matter, and those around them."""
    opening = _BLOCKS.get(ending, _FENCE)
    front = range(lines.index("---", 1) + 1) if lines[0] == "---" and "---" in lines[1:] else range(0)
    code, inside = set(front), False
    for number, line in enumerate(lines[len(front) :], start=len(front)):
        is_edge = opening.match(line) is not None
        if inside or is_edge:
            code.add(number)
        inside ^= is_edge
    return code


def _sections(text: str, path: str, *, prose: bool) -> Iterator[Document]:
    lines = text.split("\n")
    code = _lines_of_code(lines, PurePosixPath(path).suffix) if prose else set()
    in_test, cuts = is_test(path), [0]
    for number, line in enumerate(lines[1:], start=1):
        length = number - cuts[-1]
        blank = not lines[number - 1].strip() and length >= _SECTION_LINES
        underlined = (
            line.strip() and number + 1 not in code and _UNDERLINE.match("".join(lines[number + 1 : number + 2]))
        )
        heading = prose and length >= _LEAST_LINES and number not in code and (_HEADING.match(line) or underlined)
        if heading or blank or length >= 2 * _SECTION_LINES:
            cuts.append(number)
    for start, end in pairwise([*cuts, len(lines)]):
        part = "\n".join(lines[start:end])
        if part.strip():
            first = range(start, min(end, start + _LEAST_LINES)) if prose else ()
            first_lines = (lines[number] for number in first if number not in code)
            titles = (line for line in first_lines if line.strip() and not _UNDERLINE.match(line))
            title = next(titles, "").strip().lstrip("#= ").strip()[:100]
            name = title or PurePosixPath(path).name
            yield Document("section", name, start + 1, end, (path, title, "", "", part), is_test=in_test)
