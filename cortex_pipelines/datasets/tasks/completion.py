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
    fold_whitespace,
    in_word,
    rows_of_units,
    text_hashes,
)
from cortex_pipelines.rowcache import RowCache

FUNCTIONS = ("function", "method")
COLUMNS = ("kind", "code", "language", "path", "context", "indent", "docstring", "imports")
_TYPE = re.compile(
    r"[^'\"`]*(?<![.\w$])(?:class|interface|struct|enum|trait|impl|mod|namespace|module|record|object)\b"
)
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


def unit_prompt(
    unit: dict[str, Any], parts: UnitParts, max_bytes: int, context: tuple[str, ...] = (), text: bytes = b""
) -> str | None:
    """Prompt: path, the file's beginning, context, enclosing headers, doc comment and header.

    Of a prompt that is too long, whole statements and lines of context are left out. None if the header does not fit.
    A unit inside of a function or call, which uses its variables, stands after the code of ``text`` before it.
    """
    is_inside = not all(map(_TYPE.match, unit["context"].splitlines()))
    if text and is_inside and unit.get("visible_from", 0) <= unit["start_byte"] - len(unit["indent"].encode()):
        return _prompt_in_file(unit, parts.head, max_bytes, text)
    comment = LINE_COMMENTS[unit["language"]]
    header = enclosing_headers(unit)
    if unit["docstring"] and unit["language"] != "python":
        header += [f"{unit['indent']}{line}".rstrip() for line in doc_comment(unit["docstring"], unit["language"])]
    end = "\n".join([*header, unit["indent"] + parts.head])
    lines = [f"{comment} {unit['path']}"]
    room = max_bytes - len("\n".join([*lines, "", end]).encode())
    if room < 0:
        return None
    for statement in (*unit["imports"], *context):
        size = len(statement.encode()) + 1
        if size <= room:
            lines.append(statement)
            room -= size
    return "\n".join([*lines, "", end])


def doc_comment(text: str, language: str) -> list[str]:
    """Lines of a doc comment as a language writes it."""
    lines = text.splitlines()
    if language in ("go", "rust"):
        return [f"{'//' if language == 'go' else '///'} {line}" for line in lines]
    return [f"/** {text} */"] if len(lines) == 1 else ["/**", *(f" * {line}" for line in lines), " */"]


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
    prompt = unit_prompt(unit, parts, settings.max_prompt_bytes, text=text)
    if prompt is None:
        return None, None, "prompt_size"
    # A body that occurs in its own prompt (such as the docstring's example) would be copied, not written.
    if fold_whitespace(parts.body) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, parts.body, None


STATEMENTS = ("import", "variable", "constant")
_IMPORT_WORDS = re.compile(r"(?:(?:pub(?:\([^)]*\))?|export|import|from|use|static|type|const|let|var)\s+)*")


def statement_candidates(
    units: pl.DataFrame, texts: dict[FileKey, bytes], settings: DatasetSettings, cache: RowCache | None = None
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    The prompt is the path and the code before the statement, up to the keyword of an import or the name that is
    declared, or the bracket that it stands in; the completion is the rest of the statement.
    """
    columns = ("unit_id", "kind", "name", "code", "language", "source", "path", "start_byte")
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
    else:
        split_at = _before_brackets(code, word_end(code, unit["name"]))
    completion = code[split_at:].rstrip()
    if len(completion.strip()) < settings.min_name_length or len(completion.encode()) > settings.max_body_bytes:
        return None, None, "body_size"
    text = texts.get((unit["source"], unit["path"]), b"")
    prompt = _prompt_in_file(unit, code[:split_at], settings.max_prompt_bytes, text)
    if prompt is None:
        return None, None, "prompt_size"
    if fold_whitespace(completion) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, completion, None


def _prompt_in_file(unit: dict[str, Any], beginning: str, max_bytes: int, text: bytes) -> str | None:
    """Path, the visible code before a unit, and its beginning; None if that does not fit."""
    path = f"{LINE_COMMENTS[unit['language']]} {unit['path']}\n"
    room = max_bytes - len((path + beginning).encode())
    if room < 0:
        return None
    room = min(room, unit["start_byte"] - unit.get("visible_from", 0))
    return path + code_before(text, unit["start_byte"], room) + beginning


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
