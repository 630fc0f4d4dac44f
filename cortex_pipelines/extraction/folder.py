"""Extract units from a file or folder on disk, without a project."""

import codecs
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import Extraction, extract
from cortex_pipelines.ingestion.entries import blob_id
from cortex_pipelines.ingestion.files.languages import is_code, language_of
from cortex_pipelines.privacy.detect.scanning import files_below
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.syntax.grammars import PARSED

# PEP 263
_CODING = re.compile(rb"\A(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)")
# Encodings whose decoding takes linear time.
_FAST_ENCODINGS = re.compile(r"(?i)(latin|iso|cp|windows|koi8|mac|euc|shift|sjis|gb|big5|utf.?(8|16|32)|ascii)")
_BYTE_ORDER_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


def extract_path(path: Path, settings: ExtractionSettings) -> Extraction:
    """The units of a file, or of all files of a folder in order of path and position, with relative paths.

    Version control folders, links and languages that are not parsed are passed over. A file that
    is not UTF-8 is read as the encoding that it names (byte order mark, PEP 263), else as Latin-1;
    its offsets are then those of its text in UTF-8. The source is ``directory:.``.

    Raises:
        FileNotFoundError: the path does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give an existing path")
    candidates = [_row(file, path, settings) for file in files_below(path)]
    rows = [row for row in candidates if row is not None]
    files = pl.DataFrame(rows, schema=REPOSITORY_FILES.schema, orient="row")
    extraction = extract(files, settings)
    order = ["path", "start_byte", "end_byte", "kind", "name"]
    down = [False, False, True, False, False]
    return replace(extraction, units=extraction.units.sort(order, descending=down))


def _row(file: Path, root: Path, settings: ExtractionSettings) -> dict[str, Any] | None:
    name = file.name if file == root else file.relative_to(root).as_posix()
    # without an ending only the first line can tell
    if file.suffix and not is_code(name):
        return None
    # a file that is too large only needs a row that says so
    with file.open("rb") as stream:
        data = stream.read(settings.max_file_bytes + 1)
    text = _text(data)
    language = language_of(name, text)
    if language not in PARSED:
        return None
    path = name.encode(errors="replace").decode()
    row = {"source": "directory:.", "path": path, "blob": blob_id(data), "language": language}
    constant_columns = {"generated": False, "trainable": False, "notebook": False}
    return {**row, **constant_columns, "size_bytes": len(data), "revision": "", "text": text}


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        declared = _CODING.match(data[:1000])
        marked = next((name for name, marks in _BYTE_ORDER_MARKS.items() if data.startswith(marks)), None)
    encoding = marked or (declared[1].decode() if declared else "")
    if not _FAST_ENCODINGS.match(encoding):
        encoding = "latin-1"
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeError):
        return data.decode("latin-1")
