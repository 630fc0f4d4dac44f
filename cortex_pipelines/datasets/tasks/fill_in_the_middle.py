"""Fill-in-the-middle: predict statements of a body, or a whole import or declaration.

Gaps begin and end at statements, detected by indentation and brackets, in all languages. The prompt is the code
before the gap (``prompt_in_file``); the suffix is the code after it.
The completion occurs in neither.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.completion import (
    CANDIDATE_COLUMNS,
    STATEMENTS,
    code_after,
    prompt_in_file,
    unit_parts,
)
from cortex_pipelines.datasets.tasks.completion import COLUMNS as OF_FUNCTION
from cortex_pipelines.datasets.unit_text import FileKey, fold_whitespace, rows_of_units, text_hashes
from cortex_pipelines.rowcache import RowCache

# Inputs of a gap besides the file's text.
_COLUMNS = (
    *("unit_id", "source", "start_byte", "end_byte", "body_start_byte"),
    *OF_FUNCTION,
    *("prompt", "completion", "visible_from", "visible_until"),
)
_TRIES = 6
_CLOSE = ")]}"
_BRACKETS = tuple(zip("([{", _CLOSE, strict=True))


def draw_for_infilling(units: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Units that also give a gap: of train a share by hash, of the others all, since there are few to judge by."""
    bound = int(settings.fim_share * 2**64)
    is_drawn = pl.Series([draw(settings.seed, "fim", unit) < bound for unit in units["unit_id"]], dtype=pl.Boolean)
    return units.filter(is_drawn | (pl.col("split") != "train"))


def infilling_candidates(
    units: pl.DataFrame,
    texts: dict[FileKey, bytes],
    settings: DatasetSettings,
    cache: RowCache | None = None,
    attempt: int = 0,
) -> pl.DataFrame:
    """Units with ``prompt``, ``completion`` and ``suffix``, or an exclusion reason.

    Each ``attempt`` draws other gaps of functions.

    ``units``: functions and methods with their layout and ``split``; or imports and declarations with ``prompt`` and
    ``completion`` of ``statement_candidates``.
    """
    columns = [name for name in _COLUMNS if name in units.columns]
    inputs = units.select(*columns, text_hashes(units, texts))
    row_of = partial(_gap, texts=texts, settings=settings, attempt=attempt)
    gaps = rows_of_units(cache, "gaps", inputs, row_of, {**CANDIDATE_COLUMNS, "suffix": pl.String})
    return units.drop(*CANDIDATE_COLUMNS, strict=False).hstack(gaps)


def _gap(
    unit: dict[str, Any], texts: Mapping[FileKey, bytes], settings: DatasetSettings, attempt: int
) -> tuple[str | None, str | None, str | None, str]:
    text = texts.get((unit["source"], unit["path"]), b"")
    following = code_after(text[: unit.get("visible_until")], unit["end_byte"], settings.max_suffix_bytes)
    if unit["kind"] in STATEMENTS:
        prompt, middle, suffix = unit["prompt"], unit["completion"], following
    else:
        parts = unit_parts(unit)
        lines = parts.body.split("\n") if parts else []
        span = statement_span(lines, settings, unit["unit_id"], *([attempt] if attempt else []))
        if parts is None or span is None:
            return None, None, "no_gap", ""
        first, last = span
        head = parts.head + "".join(f"{line}\n" for line in lines[:first])
        prompt = prompt_in_file(unit, head, settings.max_prompt_bytes, text)
        middle = "\n".join(lines[first:last])
        rest = "".join(f"\n{line}" for line in lines[last:]) + following
        suffix = code_after(rest.encode(), 0, settings.max_suffix_bytes)
    if prompt is None or middle is None:
        return None, None, "prompt_size", ""
    folded_answer = fold_whitespace(middle)
    if folded_answer in fold_whitespace(prompt) or folded_answer in fold_whitespace(suffix):
        return None, None, "answer_in_prompt", ""
    return prompt, middle, None, suffix


def statement_span(lines: list[str], settings: DatasetSettings, *seed: object) -> tuple[int, int] | None:
    """Line span of some consecutive whole statements, not the entire body.

    Returns first line and the line after the last one; None if no gap fits.
    """
    starts = [number for number, line in enumerate(lines) if line.strip() and line.strip()[0] not in _CLOSE]
    if len(starts) < 2:
        return None
    for attempt in range(_TRIES):
        first = starts[draw(settings.seed, "gap", attempt, *seed) % len(starts)]
        last = _end_of_statements(lines, first, settings)
        covers_body = first == starts[0] and not any(line.strip(" \t)]};") for line in lines[last or 0 :])
        if last is not None and not covers_body:
            return first, last
    return None


def _end_of_statements(lines: list[str], first: int, settings: DatasetSettings) -> int | None:
    """Line after enough whole statements from line ``first``; None if there are too few."""
    indent, size = _indent(lines[first]), 0
    depths = [0] * len(_BRACKETS)
    for number in range(first, len(lines)):
        line = lines[number]
        if line.strip() and _indent(line) < indent:
            return None
        for kind, (opened, closed) in enumerate(_BRACKETS):
            depths[kind] += line.count(opened) - line.count(closed)
        size += len(line.encode()) + 1
        if size > settings.max_body_bytes or min(depths) < 0:
            return None
        if not any(depths) and size > settings.min_body_bytes and line.strip():
            following = next((other for other in lines[number + 1 :] if other.strip()), None)
            if following is None or _indent(following) <= indent:
                return number + 1
    return None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
