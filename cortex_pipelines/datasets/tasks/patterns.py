"""Candidates from patterns: the counter-example, when the pattern applies, and the example.

Patterns are files of a project's sources. Their texts are decoded and redacted again.
"""

import hashlib
from typing import Any

import polars as pl

from cortex_pipelines.extraction.pairs.purposes import purpose_in_message
from cortex_pipelines.extraction.patterns.pattern import Pattern, fill_metavariables
from cortex_pipelines.extraction.patterns.pattern_files import PatternFile, read_patterns
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

NO_COUNTER_EXAMPLE = "pattern_without_counter_example"

_S = pl.String
PATTERN_ROWS = pl.Schema(
    dict.fromkeys(("source", "path", "revision", "language", "unit_id", "name"), _S)
    | dict.fromkeys(("before", "after", "explanation", "purpose", "why_not"), _S)
)


def pattern_rows(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """The patterns in a project's files, redacted, one row for each of their languages.

    ``files``: REPOSITORY_FILES of one project, with ``language``, ``revision`` and ``text``.
    """
    key = project_key(project, privacy)
    revisions = {
        (source, path): revision for source, path, revision in files.select("source", "path", "revision").iter_rows()
    }
    rows: list[dict[str, Any]] = []
    for pattern_file in read_patterns(files):
        location = {"source": pattern_file.source, "path": pattern_file.path}
        location["revision"] = revisions[pattern_file.source, pattern_file.path]
        file_rows = (
            [_rejected_row(pattern_file)] if pattern_file.pattern is None else _rows(pattern_file.pattern, privacy, key)
        )
        rows += [{**row, **location, "unit_id": _id(location, row)} for row in file_rows]
    return pl.DataFrame(rows, schema=PATTERN_ROWS, orient="row").sort("unit_id")


def _rows(pattern: Pattern, privacy: PrivacySettings, key: bytes) -> list[dict[str, Any]]:
    def redacted(text: str, name: str) -> str:
        return redact_text(text, name, None, privacy, key).text

    when = redacted(pattern.when, "when.txt")
    codes = {"before": pattern.counter_example or "", "after": pattern.example}
    return [
        {
            "language": language,
            "name": pattern.name,
            **{field: redacted(fill_metavariables(code, language), field) for field, code in codes.items()},
            "explanation": when,
            "purpose": purpose_in_message(when),
            "why_not": None if pattern.counter_example else NO_COUNTER_EXAMPLE,
        }
        for language in pattern.languages
    ]


def _rejected_row(pattern_file: PatternFile) -> dict[str, Any]:
    texts = dict.fromkeys(("before", "after", "explanation"), "")
    # no column has its text: the name distinguishes entries of a file
    return {"name": pattern_file.detail, "purpose": "readability", "why_not": pattern_file.why_not, **texts}


def _id(location: dict[str, str], row: dict[str, Any]) -> str:
    parts = (*location.values(), row["name"], row.get("language") or "", row["before"], row["after"])
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
