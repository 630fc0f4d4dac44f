import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import polars as pl

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache, unit_rows
from cortex_pipelines.schemas.vocabulary import DEFINITIONS, LANGUAGES

LINE_COMMENTS = {"python": "#"} | dict.fromkeys(LANGUAGES[1:], "//")

_BLANKS = " \t"
_WITH_BEGINNING = ("function", "method")
_CLOSED = re.compile(rb"[^\n]*(?:\n[ \t]*\)[^\n]*)?")
_QUOTED = re.compile(
    r'"{3}.*?"{3}|\'{3}.*?\'{3}|/\*.*?\*/|//[^\n]*|#(?!!?\[)[^\n]*|"[^"\n]*"|\'[^\'\n]*\'|\\\n', re.DOTALL
)
_LEADING_COMMENTS = re.compile(r"\A(?:\s|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
FileKey = tuple[str, str]
"""Source and path of a file."""


@dataclass(frozen=True)
class UnitParts:
    head: str  # header up to the opening brace, or up to the colon and docstring
    body: str  # the rest, without blank lines at its end


def cut_unit(code: str, body_offset: int) -> UnitParts | None:
    """Split a function or method into prompt and completion. Returns head and body; None if the body is empty."""
    data = code.encode()
    brace = data[body_offset : body_offset + 1] == b"{"
    split_at = body_offset + brace
    head, body = data[:split_at].decode(), data[split_at:].decode()
    first, newline, remainder = body.partition("\n")
    if newline and not first.strip():
        head, body = head + first + newline, remainder
    stripped = head.rstrip(_BLANKS)
    if stripped.endswith("\n"):  # the body's indentation belongs to the body
        head, body = stripped, head[len(stripped) :] + body
    body = body.rstrip()
    return UnitParts(head, body) if body.strip(" \t\n}") else None


def enclosing_headers(unit: Mapping[str, Any]) -> list[str]:
    """Headers around a unit, outermost first, indented as in code.

    ``unit``: ``context``, lines whose layout is folded, and the ``indent`` of a unit with its layout.
    """
    headers, indent = unit["context"].splitlines(), unit["indent"]
    width = len(indent) // max(len(headers), 1)
    step = indent[: 1 << width.bit_length() >> 1]  # of 1, 2, 4 or 8: branches and calls around it indent the unit, too
    return [f"{step * level}{header}" for level, header in enumerate(headers)]


def unit_excerpt(unit: Mapping[str, Any], code: str) -> str:
    """A unit's code under its path and headers.

    ``unit``: ``language``, ``path``, ``context`` and ``indent`` of a unit with its layout.
    """
    path = f"{LINE_COMMENTS[unit['language']]} {unit['path']}"
    return "\n".join([path, *enclosing_headers(unit), unit["indent"] + code.rstrip()])


def prompt_about_unit(unit: Mapping[str, Any], code: str, request: str) -> str:
    """Prompt with the excerpt of a unit, followed by a request in a comment."""
    return f"{unit_excerpt(unit, code)}\n\n{LINE_COMMENTS[unit['language']]} {request}\n"


def fold_whitespace(text: str) -> str:
    """Collapse white space to single spaces."""
    return " ".join(text.split())


def in_word(neighbour: str) -> bool:
    """Whether a character is part of a name; False for an empty string."""
    return neighbour != "" and (neighbour.isalnum() or neighbour in "_$")


def file_bytes(files: pl.DataFrame) -> dict[FileKey, bytes]:
    """UTF-8 bytes of each file, which unit spans refer to."""
    return {(source, path): text.encode() for source, path, text in files.select("source", "path", "text").iter_rows()}


def text_hashes(units: pl.DataFrame, texts: Mapping[FileKey, bytes]) -> pl.Series:
    hashes = {
        file_key: blake2b(texts.get(file_key, b""), digest_size=16).hexdigest()
        for file_key in units.select("source", "path").unique().iter_rows()
    }
    unit_hashes = [hashes[file_key] for file_key in units.select("source", "path").iter_rows()]
    return pl.Series("text_hash", unit_hashes, dtype=pl.String)


def rows_of_units(
    cache: RowCache | None,
    name: str,
    inputs: pl.DataFrame,
    row_of: Callable[[dict[str, Any]], Sequence[Any]],
    schema: Mapping[str, Any],
) -> pl.DataFrame:
    """The row that a function makes of each unit, in order, from the cache where possible (``unit_rows``)."""
    return unit_rows(cache, name, inputs, partial(_rows, row_of=row_of, schema=dict(schema)))


def _rows(
    units: pl.DataFrame, row_of: Callable[[dict[str, Any]], Sequence[Any]], schema: Mapping[str, Any]
) -> pl.DataFrame:
    return pl.DataFrame([row_of(unit) for unit in units.iter_rows(named=True)], schema=schema, orient="row")


def with_layout(units: pl.DataFrame, texts: dict[FileKey, bytes], settings: DatasetSettings) -> pl.DataFrame:
    """Add ``indent``, the white space before a unit's first line, and ``imports``.

    Returns the units, sorted by ``unit_id``; for functions and methods ``imports`` lists the statements of the file
    up to its imports.
    """
    rows = units if units["unit_id"].is_sorted() else units.sort("unit_id")
    indents = []
    for source, path, start in rows.select("source", "path", "start_byte").iter_rows():
        text = texts.get((source, path), b"")
        before = text[text.rfind(b"\n", 0, start) + 1 : start]
        indents.append("" if before.strip() else before.decode("utf-8", "replace"))
    # lines of each file up to its last import before the first definition, without a licence
    is_definition = pl.col("kind").is_in(DEFINITIONS)
    first_definition = pl.col("start_byte").filter(is_definition).min().fill_null(pl.col("end_byte").max())
    is_first = (pl.col("kind") == "import") & (pl.col("start_byte") < pl.col("first_definition"))
    ends = (
        units.with_columns(first_definition.over("source", "path").alias("first_definition"))
        .filter(is_first)
        .group_by("source", "path", maintain_order=True)
        .agg(pl.col("end_byte").max(), pl.col("first_definition").first())
    )
    beginnings = [
        (source, path, _beginning(texts.get((source, path), b"")[:first], end, settings.max_prompt_bytes))
        for source, path, end, first in ends.iter_rows()
    ]
    schema: dict[str, Any] = {"source": pl.String, "path": pl.String, "imports": pl.List(pl.String)}
    with_beginnings = rows.with_columns(pl.Series("indent", indents, dtype=pl.String)).join(
        pl.DataFrame(beginnings, schema=schema, orient="row"), on=["source", "path"], how="left", maintain_order="left"
    )
    visible = pl.when(pl.col("kind").is_in(_WITH_BEGINNING)).then("imports").fill_null([])
    return with_beginnings.with_columns(visible.alias("imports"))


def _beginning(text: bytes, end: int, max_bytes: int) -> list[str]:
    closed = _CLOSED.match(text, end)  # the rest of the line, and the bracket that closes a list of imports
    code = text[: closed.end() if closed else end].decode("utf-8", "replace")
    comments = _LEADING_COMMENTS.match(code)
    is_licence = comments is not None and re.search("copyright|licen[cs]e", comments[0], re.IGNORECASE)
    unlicensed_code = code[comments.end() if comments and is_licence else 0 :].strip("\n")
    return list(fitting(_whole_statements(unlicensed_code), max_bytes))


_ALL_IMPORTS = re.compile(r"import \(\n(?:[^\n()]*\n)+\)")  # of a file in Go


def fitting(statements: Iterable[str], max_bytes: int) -> Iterator[str]:
    """The statements that fit, one after the other; of one with all imports of a file, the lines that fit."""
    for statement in statements:
        if len(statement.encode()) >= max_bytes and _ALL_IMPORTS.fullmatch(statement):
            first, *imports, last = statement.split("\n")
            fitting_imports = fitting(filter(str.strip, imports), max_bytes - len(f"{first}\n{last}\n".encode()))
            statement = "\n".join([first, *fitting_imports, last])
        if (size := len(statement.encode()) + 1) <= max_bytes:
            yield statement
            max_bytes -= size


_CONTINUES = re.compile(r"\n(?:[ \t]*\n)*(?:[ \t]+\S|(?:else|elif|except|finally)\b)")
_COMMENT_LINE = re.compile(r"#(?!!?\[)|//")


def _whole_statements(code: str) -> Iterator[str]:
    """Lines, joined where a bracket, a string or a comment is open at the end, or a block or comment goes on."""
    depth, start = 0, 0
    unquoted = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), code)
    for mark in re.finditer(r"[()\[\]{}\n]", unquoted):
        if mark[0] != "\n":
            depth = max(depth + (1 if mark[0] in "([{" else -1), 0)
        elif depth == 0 and not (
            _CONTINUES.match(unquoted, mark.start())
            or (_COMMENT_LINE.match(code, start) and _COMMENT_LINE.match(code, mark.end()))
        ):
            yield code[start : mark.start()]
            start = mark.end()
    yield code[start:]


SPAN_COLUMNS = ("kind", "source", "path", "start_byte", "end_byte")


def visible_spans(units: pl.DataFrame) -> pl.DataFrame:
    """Columns ``visible_from`` and ``visible_until``: the code around a unit that its split may show.

    Code of validation and test is hidden from train, that of test from validation. ``units``: ``SPAN_COLUMNS`` of all
    of the project, with their ``split``, or that of a near-duplicate.
    """
    hiding: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    columns = ("source", "path", "split", "start_byte", "end_byte")
    for source, path, split, start, end in units.filter(pl.col("kind").is_in(_HIDDEN)).select(columns).iter_rows():
        for other in _HIDDEN_FROM.get(split, ()):
            hiding[source, path, other].append((start, end))
    spans = []
    for source, path, split, start, end in units.select(columns).iter_rows():
        hidden = hiding.get((source, path, split), ())
        # of a hidden function around the unit, nothing is shown
        before = max((min(last, start) for first, last in hidden if first < start), default=0)
        spans.append((before, min((max(first, end) for first, last in hidden if last > end), default=None)))
    return pl.DataFrame(spans, schema={"visible_from": pl.Int64, "visible_until": pl.Int64}, orient="row")


_HIDDEN = ("function", "method")  # a longer constant that is held out is told by its text
_HIDDEN_FROM = {"validation": ("train",), "test": ("train", "validation")}
