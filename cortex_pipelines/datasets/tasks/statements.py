"""Completion candidates of single statements: imports and declarations."""

import re
from typing import Any

import polars as pl

from cortex_pipelines.datasets.prompts.unit_text import LINE_COMMENTS, FileKey, fold_whitespace, in_word, text_hashes
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.function_bodies import MADE
from cortex_pipelines.datasets.unit_cache import UnitCache

KINDS = ("import", "variable", "constant")
_IMPORT_WORDS = re.compile(r"(?:(?:pub(?:\([^)]*\))?|export|import|from|use|static|type)\s+)*")


def statement_candidates(
    units: pl.DataFrame, texts: dict[FileKey, bytes], settings: DatasetSettings, unit_cache: UnitCache | None = None
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    The prompt is the path and the code before the statement, up to the keyword of an import or the name that is
    declared; the completion is the rest of the statement.
    """

    def make(batch: pl.DataFrame) -> pl.DataFrame:
        rows = [
            _example(unit, texts.get((unit["source"], unit["path"]), b""), settings)
            for unit in batch.iter_rows(named=True)
        ]
        return pl.DataFrame(rows, schema=MADE, orient="row")

    columns = ("unit_id", "kind", "name", "code", "language", "source", "path", "start_byte")
    inputs = units.select(*columns, text_hashes(units, texts))
    return units.hstack((unit_cache or UnitCache()).compute("statements", inputs, make))


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


def _example(unit: dict[str, Any], text: bytes, settings: DatasetSettings) -> tuple[str | None, str | None, str | None]:
    code = unit["code"]
    split_at = _split_offset(unit)
    completion = code[split_at:].rstrip()
    if len(completion.strip()) < settings.min_name_length or len(completion.encode()) > settings.max_body_bytes:
        return None, None, "body_size"
    head = f"{LINE_COMMENTS[unit['language']]} {unit['path']}\n"
    room = settings.max_prompt_bytes - len((head + code[:split_at]).encode())
    if room < 0:
        return None, None, "prompt_size"
    prompt = head + code_before(text, unit["start_byte"], room) + code[:split_at]
    if fold_whitespace(completion) in fold_whitespace(prompt):
        return None, None, "answer_in_prompt"
    return prompt, completion, None


def _split_offset(unit: dict[str, Any]) -> int:
    if unit["kind"] == "import":
        match = _IMPORT_WORDS.match(unit["code"])
        return match.end() if match else 0
    return word_end(unit["code"], unit["name"])


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
