"""Completion candidates: function bodies, given their context."""

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import polars as pl

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.unit_text import (
    LINE_COMMENTS,
    FileKey,
    UnitParts,
    cut_unit,
    enclosing_headers,
    fitting,
    fold_whitespace,
    in_word,
    rows_of_units,
    text_hashes,
)
from cortex_pipelines.rowcache import RowCache

FUNCTIONS = ("function", "method")
COLUMNS = ("kind", "code", "language", "path", "context", "indent", "imports")
CANDIDATE_COLUMNS = {"prompt": pl.String, "completion": pl.String, "not_made": pl.String}


def bodies(units: pl.DataFrame) -> pl.Series:
    """Body of each unit to predict; null for units without one."""
    rows = units.select("kind", "code", "start_byte", "body_start_byte").iter_rows(named=True)
    body_texts = [parts.body if parts else None for parts in map(unit_parts, rows)]
    return pl.Series("body", body_texts, dtype=pl.String)


def completion_candidates(
    units: pl.DataFrame,
    settings: DatasetSettings,
    cache: RowCache | None = None,
    texts: Mapping[FileKey, bytes] = MappingProxyType({}),
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    ``units``: units with their layout (``unit_text.with_layout``).
    """
    columns = ("unit_id", "source", *COLUMNS, "start_byte", "body_start_byte")
    inputs = units.select(*columns, pl.col("^visible_from$"), text_hashes(units, texts))
    row_of = partial(_body_example, texts=texts, settings=settings)
    return units.hstack(rows_of_units(cache, "bodies", inputs, row_of, CANDIDATE_COLUMNS))


_REST_OF_IMPORTS = re.compile(r'\A(?:(?:\t(?:[\w.]+ )?"[^"\n]+"(?: *//[^\n]*)?)?\n)+\)\n+')  # of a file in Go


def prompt_in_file(unit: dict[str, Any], beginning: str, max_bytes: int, text: bytes) -> str | None:
    """Path, the code of the file before a unit that its split may show, and the unit's ``beginning``.

    Of code that is too long the nearest lines are shown, below the headers around the unit and as many of its
    ``imports`` as half of the room holds, or all that the code leaves of it. None if the beginning does not fit.
    """
    path = f"{LINE_COMMENTS[unit['language']]} {unit['path']}"
    room = max_bytes - len(f"{path}\n{beginning}".encode())
    if room < 0:
        return None
    start = unit["start_byte"]
    visible = start - unit.get("visible_from", 0)
    if text and start <= min(room, visible):
        return f"{path}\n{code_before(text, start, start)}{beginning}"
    headers = enclosing_headers(unit)
    left_over = room - visible - len("\n".join([*headers, "", "", ""]).encode())
    imports = list(fitting(unit["imports"], max(room // 2, left_over)))
    above_bytes = len("\n".join([*imports, *headers, "", ""]).encode())
    # even the rest of another function: without it, answers took 3.5 % more bits (95 % interval 1 to 6) of the base
    nearest = code_before(text, start, min(room - above_bytes, visible))
    nearest = _REST_OF_IMPORTS.sub("", nearest) or unit["indent"]
    imports_text = "\n".join(line for line in imports if not line.strip() or line not in nearest).strip("\n")
    folded = fold_whitespace(nearest)
    headers = [line for line in headers if fold_whitespace(line) not in folded]
    prompt = "\n".join([path, *([imports_text, ""] if imports_text else []), *headers, nearest + beginning])
    return prompt if len(prompt.encode()) <= max_bytes else None


def unit_parts(unit: dict[str, Any]) -> UnitParts | None:
    """Split a function or method where its body begins; None for other units."""
    if unit["kind"] not in FUNCTIONS or unit["body_start_byte"] is None:
        return None
    return cut_unit(unit["code"], unit["body_start_byte"] - unit["start_byte"])


def _body_example(
    unit: dict[str, Any], texts: Mapping[FileKey, bytes], settings: DatasetSettings
) -> tuple[str | None, str | None, str | None]:
    parts = unit_parts(unit)
    if parts is None:
        return None, None, "no_body"
    size = len(parts.body.encode())
    if not settings.min_body_bytes <= size <= settings.max_body_bytes:
        return None, None, "body_size"
    text = texts.get((unit["source"], unit["path"]), b"")
    prompt = prompt_in_file(unit, parts.head, settings.max_prompt_bytes, text)
    if prompt is None:
        return None, None, "prompt_size"
    # A body that occurs in its own prompt (such as the docstring's example) would be copied, not written.
    if fold_whitespace(parts.body) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, parts.body, None


_MOST_WORDS_OF_ALIAS = 3
STATEMENTS = ("import", "variable", "constant")
_IMPORT_WORDS = re.compile(r"(?:(?:pub(?:\([^)]*\))?|export|import|from|use|static|type|const|let|var)\s+)*")


def statement_candidates(
    units: pl.DataFrame, texts: dict[FileKey, bytes], settings: DatasetSettings, cache: RowCache | None = None
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    The prompt is the path and the code before the statement, up to the keyword of an import or the name that is
    declared, or the bracket that it stands in; the completion is the rest of the statement.
    """
    columns = ("unit_id", "source", "name", *COLUMNS, "start_byte")
    inputs = units.select(*columns, pl.col("^visible_from$"), text_hashes(units, texts))
    row_of = partial(_statement_example, texts=texts, settings=settings)
    return units.hstack(rows_of_units(cache, "statements", inputs, row_of, CANDIDATE_COLUMNS))


def code_before(text: bytes, start: int, max_bytes: int) -> str:
    """At most ``max_bytes`` of code before an offset, from a line start."""
    first = max(start - max(max_bytes, 0), 0)
    if first:
        first = text.find(b"\n", first - 1, start) + 1 or start
    return text[first:start].decode("utf-8", "replace")


def code_after(text: bytes, end: int, max_bytes: int) -> str:
    """At most ``max_bytes`` of code after an offset, up to a line end."""
    last = min(end + max(max_bytes, 0), len(text))
    if last < len(text):
        last = text.rfind(b"\n", end, last) + 1 or end
    return text[end:last].decode("utf-8", "replace")


def _statement_example(
    unit: dict[str, Any], texts: Mapping[FileKey, bytes], settings: DatasetSettings
) -> tuple[str | None, str | None, str | None]:
    code = unit["code"]
    if unit["kind"] == "import":
        keywords = _IMPORT_WORDS.match(code)
        split_at = keywords.end() if keywords else 0
    elif not unit["name"].strip("_"):
        return None, None, "unanswerable_name"  # `var _ Guard = (*Handler)(nil)`: nothing tells what comes
    else:
        split_at = _before_brackets(code, word_end(code, unit["name"]))
    completion = code[split_at:].rstrip()
    words = re.findall(r"\w+", completion)
    if unit["kind"] != "import" and len(words) <= _MOST_WORDS_OF_ALIAS and words[-1:] == [unit["name"]]:
        return None, None, "answer_in_prompt"  # ``Tea = drinks.Tea``
    if len(completion.strip()) < settings.min_name_length or len(completion.encode()) > settings.max_body_bytes:
        return None, None, "body_size"
    text = texts.get((unit["source"], unit["path"]), b"")
    prompt = prompt_in_file(unit, code[:split_at], settings.max_prompt_bytes, text)
    if prompt is None:
        return None, None, "prompt_size"
    if fold_whitespace(completion) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, completion, None


def _before_brackets(code: str, end: int) -> int:
    """The first bracket before ``end`` that is open there; else ``end``."""
    opened: list[int] = []
    for mark in re.finditer(r"[(\[{]|([)\]}])", code[:end]):
        if not mark[1]:
            opened.append(mark.start())
        elif opened:
            opened.pop()
    return opened[0] if opened else end


def word_end(text: str, name: str) -> int:
    """End of the first whole-word occurrence of a name; 0 if it does not occur.

    Avoids a regular expression, which would be compiled for each name.
    """
    start = text.find(name)
    while name and start >= 0:
        end = start + len(name)
        if not in_word(text[max(start - 1, 0) : start]) and not in_word(text[end : end + 1]):
            return end
        start = text.find(name, end)
    return 0
