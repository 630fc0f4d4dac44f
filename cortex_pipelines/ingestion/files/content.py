"""Properties of a file that depend on its path and bytes alone, so that they can be cached."""

from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import File, blob_id
from cortex_pipelines.ingestion.files.generated import is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook
from cortex_pipelines.ingestion.licences.detect import stated_licences
from cortex_pipelines.ingestion.redactions import REDACTION, redaction_rows
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "cache_key": pl.String,
    "reason": pl.String,  # why the text is missing; null if it is present
    "detail": pl.String,
    "blob": pl.String,
    "language": pl.String,
    "generated": pl.Boolean,
    "notebook": pl.Boolean,
    "header": pl.String,  # licence that the file states of itself
    "stated": pl.String,  # licence that it states of its folder
    "stated_by": pl.String,
    "text": pl.String,
    "redactions": REDACTION,
}
CONTENT = pl.Schema(_COLUMNS)

_LARGE_FILE_POINTER = b"version https://git-lfs."


def content_of(file: File, settings: IngestionSettings, privacy: PrivacySettings, key: bytes) -> dict[str, Any]:
    """Columns of ``CONTENT`` for one file, without the key."""
    fields: dict[str, Any] = dict.fromkeys(CONTENT) | {"blob": blob_id(file.data)}
    problem = _not_text_reason(file.data)
    if problem:
        return fields | dict(zip(("reason", "detail"), problem, strict=True))
    text = file.data.decode("utf-8")
    language = language_of(file.path, text)
    is_notebook = language == "jupyter"
    if is_notebook:
        try:
            notebook = read_notebook(text)
        except NotebookError as error:
            return fields | {"reason": "damaged_notebook", "detail": str(error)}
        language, text = notebook.language, notebook.text
    licences = stated_licences(file.path, language, text, settings.licence_head_lines)
    redacted = redact_text(text, file.path, language, privacy, key)
    return fields | {
        "language": language,
        "generated": is_generated(file.path, language, text, settings),
        "notebook": is_notebook,
        "header": licences.header,
        "stated": licences.folder,
        "stated_by": licences.origin,
        "text": redacted.text,
        "redactions": redaction_rows(redacted),
    }


def _not_text_reason(data: bytes) -> tuple[str, str] | None:
    if b"\0" in data:
        return "binary", "holds NUL bytes"
    if data.startswith(_LARGE_FILE_POINTER):
        return "large_file_pointer", "stands for a file kept elsewhere"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return "not_utf8", f"not UTF-8 at byte {error.start}"
    return None
