"""Rows of the redaction table."""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any, TypeVar

import polars as pl

from cortex_pipelines.ingestion.entries import SkippedFile
from cortex_pipelines.privacy.detect.findings import PlacedRedaction
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import is_forgotten
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.ingestion import REDACTIONS

_Result = TypeVar("_Result")
_WORD = re.compile(r"[^\s'\"`,;()]+")
_FILE_KEY = ("source", "path")
REDACTION: pl.DataType = pl.List(
    pl.Struct({name: kind for name, kind in REDACTIONS.schema.items() if name not in _FILE_KEY})
)
"""Type of the column with a text's redactions."""


def redaction_rows(redactions: Iterable[PlacedRedaction], offset: int = 0) -> list[dict[str, Any]]:
    """Redactions of a text that stands ``offset`` characters into the redacted one."""
    return [asdict(span) | {"start": offset + span.start, "end": offset + span.end} for span in redactions]


def without_private_errors(
    work: Callable[[], _Result], kind: type[Exception], privacy: PrivacySettings, key: bytes
) -> _Result:
    """Run a function and redact private values in the messages of its errors.

    Messages name files and branches, and repeat what git says. They end in Dagster's history with
    all that caused them, so nothing of the first error is kept.
    """
    try:
        return work()
    except kind as error:
        raised, message = type(error), str(error)
    text = redact_text(message, "", None, privacy, key).text
    redactor = PathRedactor(privacy, key)
    raise raised(_WORD.sub(lambda word: word[0] if PLACEHOLDER.search(word[0]) else redactor(word[0]), text))


def redaction_table(frame: pl.DataFrame) -> pl.DataFrame:
    redactions = frame.select(*_FILE_KEY, "redactions").explode("redactions").drop_nulls("redactions")
    return REDACTIONS.conform(redactions.unnest("redactions"))


REASON = "forgotten"


def forgotten_file(path: str, size: int) -> SkippedFile:
    return SkippedFile(path, REASON, "a tombstone in privacy.forgotten of params.yaml", size)


def forgotten_by_author(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """Files excluded because a forgotten author changed them last."""
    if not any(stone.author for stone in privacy.forgotten):
        return files.clear()
    file_keys = files.select("source", "path", "author").iter_rows()
    return files.filter(
        pl.Series([is_forgotten(privacy, project, *file_key) for file_key in file_keys], dtype=pl.Boolean)
    )


def drop_forgotten_commits(commits: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    if not privacy.forgotten:
        return commits
    live_mask: list[bool] = []
    paths: list[list[str]] = []
    for source, author, changed in commits.select("source", "author", "paths").iter_rows():
        live_mask.append(not is_forgotten(privacy, project, source, None, author))
        paths.append([p for p in changed if not is_forgotten(privacy, project, source, p, author)])
    live_commits = commits.with_columns(pl.Series("paths", paths, pl.List(pl.String)))
    return live_commits.filter(pl.Series(live_mask, dtype=pl.Boolean))


_ROWS = 2_000


def frame_of(rows: Iterable[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    remaining = iter(rows)
    frames = [pl.DataFrame(schema=schema)]
    while batch := list(islice(remaining, _ROWS)):
        frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    return pl.concat(frames)
