"""Documentation candidates: predict the docstring of a unit.

The completion is the first paragraph of the docstring, as in CodeSearchNet (arXiv 1909.09436); the parameters,
examples and versions after it differ by tool. The prompt is the code without its docstring.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from cortex_pipelines.annotation.labels.vocabulary import words_of
from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.datasets.answerable import only_refers, tells_prose
from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finish_tables
from cortex_pipelines.datasets.assemble.selection import is_empty
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.completion import CANDIDATE_COLUMNS, FUNCTIONS
from cortex_pipelines.datasets.unit_text import prompt_about_unit, rows_of_units
from cortex_pipelines.extraction.documentation import docstring_text
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import DOCUMENTATION_DATASET, DOCUMENTATION_REQUEST
from cortex_pipelines.schemas.vocabulary import DEFINITIONS
from cortex_pipelines.words import unseparated_words

NAME = "documentation_dataset"

_COLUMNS = (
    *("unit_id", "kind", "name", "code", "docstring", "language", "path", "context", "indent"),
    *("start_byte", "body_start_byte"),
)
_NONE = "documentation_none"
_NOTHING = "There is no example: no function, method or type of this project has a docstring or doc comment."
_MEANING = (
    "The first paragraph of the docstring, as in CodeSearchNet; lists of parameters, examples and "
    "versions after it are not asked for."
)
_FEWEST_WORDS = 3
# Prose ends at a tag, field, directive, doctest, heading or fence. Javadoc parts paragraphs by a tag, often without a
# blank line.
_HEADINGS = "Args|Arguments|Attributes|Examples?|Notes?|Parameters|Raises|Returns|Usage|Yields"
_SECTION = re.compile(
    r"(?m)^[ \t]*(?:$|@\w|:\w[^:\n]*:(?:[ \t]|$)|\.\. |>>>|```|~~~|#+ |[-=~*]{3,}"
    rf"|(?:{_HEADINGS}):?[ \t]*$|</?(?:p|pre|[uod]l|table)\b)|(?<=[.!?)])(?:[ \t]+(?=@[a-z]+\b)|[ \t]*(?=</?p\b))"
)
_BEFORE_PROSE = re.compile(r"(?:\s|<p>|\{@inheritDoc\})+")
# A sentence or line with a link, which nobody could know, and what follows it.
_LINKED = re.compile(r"(?:(?<=[.!?])\s++(?:(?![.!?]\s).)*?|\n[ \t]*+(?:\w+:)?[ \t]*+)https?://.*", re.DOTALL)
# A last sentence that breaks off: what it announces comes after the paragraph.
_BROKEN_OFF = re.compile(
    r"(?:(?<=[.!?])\s++|\A)(?:(?![.!?]\s).)*?(?:(?<!:):++|\b(?:e\.g|i\.e)\.?[,:]*+)\s*+\Z", re.DOTALL
)
_NOT_PROSE = re.compile(r"(?i)\W*(?:todo|fixme|xxx|copyright|licen[cs]ed?|spdx|noqa|eslint-\w+)\b")
_STUB = re.compile(r"\s*(?:pass|\.\.\.|raise NotImplementedError\b[^\n]*|\{\s*\})\s*;?\s*")
_INLINE_TAG = re.compile(r"\{@\w+[^{}]*\}")
_WORD = re.compile(r"[^\W\d_]+")
_COMMENT_OR_LITERAL = re.compile(
    r"#[^\n]*|[A-Za-z]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')", re.DOTALL
)
_FILLERS = split_words(
    "a an and are class for from function given in is it its method of on or s that the this to with"
)


def documentation_tables(project: ProjectUnits, settings: DatasetSettings, cache: RowCache | None = None) -> Tables:
    """Tables of the documentation data set; without docstrings, the manifest says so."""
    is_definition = pl.col("kind").is_in(DEFINITIONS)
    documented_units = project.units.filter(is_definition & pl.col("docstring").is_not_null())
    candidates = documentation_candidates(documented_units, settings, cache).with_columns(origin=pl.lit("original"))
    splits = project.splits.filter(is_definition & pl.col("documented"))
    return finish_tables(NAME, DOCUMENTATION_DATASET, candidates, settings, cache, splits, project.rules, _NONE)


def card_notes(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Notes for the data card: meaning of the examples, or reason for their absence."""
    return [_NOTHING if is_empty(tables, _NONE) else _MEANING]


def documentation_candidates(
    units: pl.DataFrame, settings: DatasetSettings, cache: RowCache | None = None
) -> pl.DataFrame:
    """Units with ``prompt`` and ``completion``, or an exclusion reason (``not_made``).

    ``units``: documented units with their layout (``unit_text.with_layout``).
    """
    row_of = partial(_example, settings=settings)
    return units.hstack(rows_of_units(cache, "documentation", units.select(_COLUMNS), row_of, CANDIDATE_COLUMNS))


def first_paragraph(docstring: str) -> str:
    """The docstring up to the first blank line, tag, heading or sentence with a link, in whole sentences.

    Empty if it begins with a tag.
    """
    begin = _BEFORE_PROSE.match(docstring)
    docstring = docstring[begin.end() :] if begin else docstring
    match = _SECTION.search(docstring)
    return _BROKEN_OFF.sub("", _LINKED.sub("", docstring[: match.start()] if match else docstring)).strip()


def without_docstring(code: str, language: str, docstring: str, body_offset: int | None) -> str | None:
    """Remove a unit's docstring from its code; outside of Python it precedes the code.

    Returns the code; None if the docstring is all of it, or is not found.
    """
    if language != "python":
        return code
    if body_offset is None:
        return None
    head = code.encode()[:body_offset].decode("utf-8", "replace")
    for match in _COMMENT_OR_LITERAL.finditer(head):
        if not match[0].startswith("#") and docstring_text(match[0]) == docstring:
            before = code[: match.start()].rstrip()
            after = code[match.end() :].lstrip(" \t;")
            lines = re.sub(r"\A(?:[ \t]*\r?\n)+", "", after)
            return f"{before}\n{lines}" if lines != after else f"{before} {after}"
    return None


def repeats_name(text: str, name: str) -> bool:
    """Whether a docstring only repeats the name: ``Gets the user.`` of ``get_user``."""
    words = {_stem(word) for word in _WORD.findall(text.lower())} - _FILLERS
    return words <= {_stem(word) for word in words_of(name).split()}


def _example(unit: dict[str, Any], settings: DatasetSettings) -> tuple[str | None, str | None, str | None]:
    text = first_paragraph(unit["docstring"])
    exclusion = _exclusion_reason(unit, text, settings)
    if exclusion is not None:
        return None, None, exclusion
    begin = unit["body_start_byte"]
    offset = begin - unit["start_byte"] if begin is not None else None
    code = without_docstring(unit["code"], unit["language"], unit["docstring"], offset)
    is_stub = offset is None or bool(_STUB.fullmatch(unit["code"].encode()[offset:].decode()))
    if code is None or (unit["kind"] in FUNCTIONS and is_stub):
        return None, None, "documentation_of_nothing"
    prompt = prompt_about_unit(unit, code, DOCUMENTATION_REQUEST)
    if len(prompt.encode()) > settings.max_prompt_bytes:
        return None, None, "prompt_size"
    if _word_string(text) in _word_string(prompt):
        return None, None, "answer_in_prompt"
    return (prompt, text, None) if tells_prose(prompt, text) else (None, None, "unanswerable_documentation")


def _exclusion_reason(unit: dict[str, Any], text: str, settings: DatasetSettings) -> str | None:
    words = _WORD.findall(_INLINE_TAG.sub("", text))
    if _NOT_PROSE.match(text) or (not words and _SECTION.match(unit["docstring"])):
        return "documentation_no_prose"
    if only_refers(text):
        return "unanswerable_reference"
    is_one_piece = text.isascii() and len(text.split()) < 2  # -w/--word-regexp
    if is_one_piece or len(words) + unseparated_words(text) < _FEWEST_WORDS:
        return "documentation_short"
    if len(text.encode()) > settings.max_body_bytes:
        return "documentation_long"
    return "answer_in_prompt" if repeats_name(text, unit["name"]) else None


def _word_string(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
