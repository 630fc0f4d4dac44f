"""Redactions as rows of a table."""

from typing import Any

import polars as pl

from cortex_pipelines.privacy.redaction import Redacted
from cortex_pipelines.schemas.repositories import REDACTIONS

_PLACE = ("source", "path")
REDACTION: pl.DataType = pl.List(
    pl.Struct({name: kind for name, kind in REDACTIONS.schema.items() if name not in _PLACE})
)
"""What was taken out of one text, as a column beside it."""


def redaction_rows(redacted: Redacted) -> list[dict[str, Any]]:
    """What was taken out of a text: values of a column of type ``REDACTION``."""
    return [
        {
            "line": one.finding.line,
            "start": one.finding.start,
            "end": one.finding.end,
            "category": one.finding.category,
            "rule": one.finding.rule,
            "severity": one.finding.severity,
            "placeholder": one.placeholder,
        }
        for one in redacted.redactions
    ]


def redaction_table(frame: pl.DataFrame) -> pl.DataFrame:
    """Schema ``REDACTIONS`` of a frame with the columns source, path and redactions."""
    found = frame.select(*_PLACE, "redactions").explode("redactions").drop_nulls("redactions")
    return REDACTIONS.conform(found.unnest("redactions"))
