"""Redactions as rows of a table."""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, TypeVar

import polars as pl

from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import IN_PATH, NameRedaction, PathRedactor
from cortex_pipelines.privacy.redaction import Redacted, redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.repositories import REDACTIONS

_Made = TypeVar("_Made")
_WORD = re.compile(r"[^\s'\"`,;()]+")
_PLACE = ("source", "path")
REDACTION: pl.DataType = pl.List(
    pl.Struct({name: kind for name, kind in REDACTIONS.schema.items() if name not in _PLACE})
)
"""What was taken out of one text, as a column beside it."""


def redaction_rows(redacted: Redacted) -> list[dict[str, Any]]:
    """What was taken out of a text: values of a column of type ``REDACTION``."""
    return [
        {
            "line": redaction.finding.line,
            "start": redaction.finding.start,
            "end": redaction.finding.end,
            "category": redaction.finding.category,
            "rule": redaction.finding.rule,
            "severity": redaction.finding.severity,
            "placeholder": redaction.placeholder,
        }
        for redaction in redacted.redactions
    ]


def name_rows(taken: Iterable[NameRedaction], before: int = 0) -> list[dict[str, Any]]:
    """What was taken out of a path: values of a column of type ``REDACTION``.

    Args:
        taken: Names that were replaced.
        before: Characters that stand before the path, where there are several paths.
    """
    return [
        asdict(span) | {"line": IN_PATH, "start": before + span.start, "end": before + span.end}
        for span in taken
    ]


def without_private_errors(
    work: Callable[[], _Made], kind: type[Exception], privacy: PrivacySettings, key: bytes
) -> _Made:
    """What some work gives; errors of a kind come out without what is private in their messages.

    Messages name files and branches, and repeat what git says. They end in Dagster's history with
    all that caused them, so nothing of the first error is kept.
    """
    try:
        return work()
    except kind as error:
        raised, message = type(error), str(error)
    raise raised(redact_message(message, privacy, key))


def redact_message(message: str, privacy: PrivacySettings, key: bytes) -> str:
    """A message without private values, paths and names in it included."""
    text = redact_text(message, "", None, privacy, key).text
    shown = PathRedactor(privacy, key)
    return _WORD.sub(lambda word: _shown_word(word[0], shown), text)


def _shown_word(word: str, shown: PathRedactor) -> str:
    return word if PLACEHOLDER.search(word) else shown(word)


def redaction_table(frame: pl.DataFrame) -> pl.DataFrame:
    """Schema ``REDACTIONS`` of a frame with the columns source, path and redactions."""
    redactions = frame.select(*_PLACE, "redactions").explode("redactions").drop_nulls("redactions")
    return REDACTIONS.conform(redactions.unnest("redactions"))
