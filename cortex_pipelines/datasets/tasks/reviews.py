"""Candidates from code reviews: code before, remark, and code after.

Exports of pull and merge requests and mailboxes are files of a project's sources, pinned, limited and redacted like
all of them. Their texts are decoded here and redacted again, since escapes hide the beginnings of lines.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from cortex_pipelines.datasets.prompts.unit_text import FileKey
from cortex_pipelines.extraction.pairs.purposes import purpose_in_message
from cortex_pipelines.extraction.reviews.exports import is_export, read_export
from cortex_pipelines.extraction.reviews.mail import is_mailbox, read_mailbox
from cortex_pipelines.extraction.reviews.review import DAMAGED, Review
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

REVIEW_FILE_COLUMNS = ("source", "path", "language", "revision", "text")
"""Columns read from REPOSITORY_FILES."""

_LONGEST_REMARK = 1000
_S = pl.String
REVIEW_ROWS = pl.Schema(
    dict.fromkeys(("source", "path", "export", "export_source", "revision", "language", "unit_id"), _S)
    | dict.fromkeys(("before", "after", "explanation", "purpose", "why_not"), _S)
)


def review_rows(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """The reviews in a project's files, redacted, each once.

    ``files``: REPOSITORY_FILES of one project, with ``text``.
    """
    key = project_key(project, privacy)
    languages = {
        (source, path): language for source, path, language in files.select("source", "path", "language").iter_rows()
    }
    rows: dict[str, dict[str, Any]] = {}
    may_be_export = pl.col("language").is_null() | pl.col("language").is_in(["json", "text"])
    export_files = files.select(REVIEW_FILE_COLUMNS).filter(may_be_export).sort("source", "path")
    for source, path, language, revision, text in export_files.iter_rows():
        for review in _reviews(path, language, text):
            if review.why_not == DAMAGED:
                review = replace(review, path=path)
            row = _row(_redacted(review, privacy, key), languages)
            rows.setdefault(row["unit_id"], {**row, "export": path, "export_source": source, "revision": revision})
    return pl.DataFrame([rows[name] for name in sorted(rows)], schema=REVIEW_ROWS, orient="row")


def _reviews(path: str, language: str | None, text: str) -> list[Review]:
    if language == "json" or path.lower().endswith(".ndjson"):
        return read_export(text) if is_export(text) else []
    return read_mailbox(text) if is_mailbox(path, text) else []


def _redacted(review: Review, privacy: PrivacySettings, key: bytes) -> Review:
    texts = {
        name: redact_text(getattr(review, name), review.path, None, privacy, key).text for name in ("before", "after")
    }
    # a remark is prose, whatever file it is about
    remark = redact_text(review.remark, "remark.txt", None, privacy, key).text
    path = redact_text(review.path, "", None, privacy, key).text
    return replace(review, path=path, remark=remark[:_LONGEST_REMARK], **texts)


def _row(review: Review, languages: Mapping[FileKey, str | None]) -> dict[str, Any]:
    source = next((source for source, path in sorted(languages) if path == review.path), None)
    language = languages.get((source, review.path)) if source else None
    parts = (review.path, review.before, review.remark, review.after, review.why_not)
    return {
        "source": source,
        "path": review.path,
        "language": language or language_of(review.path, review.before),
        "unit_id": hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32],
        "before": review.before,
        "after": review.after,
        "explanation": review.remark,
        "purpose": purpose_in_message(review.remark),
        "why_not": review.why_not,
    }
