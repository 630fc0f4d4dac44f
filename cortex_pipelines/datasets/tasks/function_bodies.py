"""Completion candidates: function bodies, given their context."""

from typing import Any

import polars as pl

from cortex_pipelines.datasets.prompts.unit_text import (
    LINE_COMMENTS,
    UnitParts,
    cut_unit,
    enclosing_headers,
    fold_whitespace,
)
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.unit_cache import UnitCache

KINDS = ("function", "method")
COLUMNS = ("kind", "code", "language", "path", "context", "indent", "docstring", "imports")
MADE = {"prompt": pl.String, "completion": pl.String, "not_made": pl.String}


def bodies(units: pl.DataFrame) -> pl.Series:
    """Body of each unit to predict; null for units without one."""
    body_texts = [
        parts.body if parts else None
        for parts in (_parts(*row) for row in units.select("kind", "code", "start_byte", "body_start_byte").iter_rows())
    ]
    return pl.Series("body", body_texts, dtype=pl.String)


def completion_candidates(
    units: pl.DataFrame, settings: DatasetSettings, unit_cache: UnitCache | None = None
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    ``units``: units with their layout (``unit_text.with_layout``).
    """

    def make(batch: pl.DataFrame) -> pl.DataFrame:
        rows = [_example(unit, settings) for unit in batch.iter_rows(named=True)]
        return pl.DataFrame(rows, schema=MADE, orient="row")

    inputs = units.select("unit_id", *COLUMNS, "start_byte", "body_start_byte")
    return units.hstack((unit_cache or UnitCache()).compute("bodies", inputs, make))


def unit_prompt(unit: dict[str, Any], parts: UnitParts, max_bytes: int, context: tuple[str, ...] = ()) -> str | None:
    """Prompt: path, imports, context, enclosing headers, doc comment and header.

    Prompts that are too long lose context first, then imports. Returns the prompt; None if the header does not fit.
    """
    comment = LINE_COMMENTS[unit["language"]]
    header = enclosing_headers(unit["context"], unit["indent"], unit["language"])
    if unit["docstring"] and unit["language"] != "python":
        header += [f"{unit['indent']}{comment} {line}" for line in unit["docstring"].splitlines()]
    end = "\n".join([*header, unit["indent"] + parts.head])
    lines = [f"{comment} {unit['path']}"]
    room = max_bytes - len("\n".join([*lines, "", end]).encode())
    if room < 0:
        return None
    for line in (*unit["imports"], *context):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join([*lines, "", end])


def unit_parts(unit: dict[str, Any]) -> UnitParts | None:
    """Split a function or method where its body begins; None for other units."""
    return _parts(unit["kind"], unit["code"], unit["start_byte"], unit["body_start_byte"])


def _parts(kind: str, code: str, start: int, body_start: int | None) -> UnitParts | None:
    if kind not in KINDS or body_start is None:
        return None
    return cut_unit(code, body_start - start)


def _example(unit: dict[str, Any], settings: DatasetSettings) -> tuple[str | None, str | None, str | None]:
    parts = unit_parts(unit)
    if parts is None:
        return None, None, "no_body"
    size = len(parts.body.encode())
    if not settings.min_body_bytes <= size <= settings.max_body_bytes:
        return None, None, "body_size"
    prompt = unit_prompt(unit, parts, settings.max_prompt_bytes)
    if prompt is None:
        return None, None, "prompt_size"
    # A body that occurs in its own prompt (such as the docstring's example)
    # would be copied, not written.
    if fold_whitespace(parts.body) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, parts.body, None
