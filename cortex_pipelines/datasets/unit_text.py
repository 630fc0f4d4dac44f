import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from itertools import accumulate
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
    step = indent[: len(indent) // len(headers)] if headers else ""
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
    statements = list(_whole_statements(unlicensed_code))
    sizes = accumulate(len(statement.encode()) + 1 for statement in statements)
    return [statement for statement, size in zip(statements, sizes, strict=True) if size <= max_bytes]


def _whole_statements(code: str) -> Iterator[str]:
    """Lines, joined where a bracket, a string or a comment is open at the end."""
    depth, start = 0, 0
    unquoted = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), code)
    for mark in re.finditer(r"[()\[\]{}\n]", unquoted):
        if mark[0] != "\n":
            depth = max(depth + (1 if mark[0] in "([{" else -1), 0)
        elif depth == 0:
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


_CALL = re.compile(r"(?<![\w$.])(?:([\w$]+)\s*(?:\.|::|\?\.)\s*)?([^\W\d][\w$]*)\s*\(")
_SELF = ("self", "cls", "this", "Self", "super")
_HIDDEN = ("function", "method")  # a longer constant that is held out is told by its text
_HIDDEN_FROM = {"validation": ("train",), "test": ("train", "validation")}
# Names defined dozens of times in a code base (`run`, `get`) carry no information.
_MOST_HOMONYMS = 8

COLUMNS = ("unit_id", "kind", "language", "source", "path", "context", "start_byte", "end_byte", "split")
"""Columns of a unit that its context depends on."""


def calls_of(units: pl.DataFrame) -> pl.DataFrame:
    """Column ``calls``: distinct calls in each unit, as ``receiver.name``."""
    calls = [[f"{receiver}.{name}" for receiver, name in dict.fromkeys(_CALL.findall(code))] for code in units["code"]]
    return pl.Series("calls", calls, dtype=pl.List(pl.String)).to_frame()


DEFINITION_COLUMNS = ("source", "path", "context", "name", "kind", "signature", "start_byte")


class RepositoryContext:
    """Signatures of a project by location and by call.

    ``units``: ``DEFINITION_COLUMNS`` and ``unit_id`` of all units of the project, with ``split`` (null if left out).
    """

    def __init__(self, units: pl.DataFrame, max_signatures: int) -> None:
        self._units, self._max_signatures = units, max_signatures

    @cached_property
    def _definitions(self) -> Mapping[tuple[str, ...], list[dict[str, Any]]]:
        """Definitions of the splits by source, path and context, and by source and name."""
        rows = self._units.filter(
            pl.col("kind").is_in(DEFINITIONS) & (pl.col("signature") != "") & pl.col("split").is_not_null()
        ).sort("source", "path", "start_byte", "unit_id")
        definitions: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for row in rows.select(*DEFINITION_COLUMNS, "split").iter_rows(named=True):
            definitions[row["source"], row["path"], row["context"]].append(row)
            definitions[row["source"], row["name"]].append(row)
        return definitions

    def lines(self, unit: dict[str, Any], calls: Iterable[str]) -> tuple[str, ...]:
        """Comment lines for a prompt: nearest siblings first, then called definitions."""
        comment = LINE_COMMENTS[unit["language"]]
        comment_lines: dict[str, None] = {}
        in_context = self._definitions.get((unit["source"], unit["path"], unit["context"]), [])
        siblings = [other for other in in_context if self._may_show(unit, other)]
        siblings.sort(key=lambda other: (abs(other["start_byte"] - unit["start_byte"]), other["start_byte"]))
        for sibling in siblings[: self._max_signatures]:
            comment_lines[f"{comment} {sibling['signature']}"] = None
        for called in self._called(unit, calls):
            path_prefix = "" if called["path"] == unit["path"] else f"{called['path']}: "
            comment_lines[f"{comment} {path_prefix}{called['signature']}"] = None
        return tuple(comment_lines)

    def _called(self, unit: dict[str, Any], calls: Iterable[str]) -> Iterator[dict[str, Any]]:
        yielded = 0
        for call in calls:
            receiver, _, name = call.rpartition(".")
            homonyms = self._definitions.get((unit["source"], name), [])
            if receiver in _SELF or len(homonyms) > _MOST_HOMONYMS:
                continue  # a method of the same class is a sibling
            if not receiver:
                homonyms = [other for other in homonyms if other["kind"] != "method"]
            matches = [other for other in homonyms if other["path"] == unit["path"]] or homonyms
            if len(matches) == 1 and self._may_show(unit, matches[0]):
                yield matches[0]
                yielded += 1
            if yielded == self._max_signatures:
                return

    def _may_show(self, unit: dict[str, Any], other: dict[str, Any]) -> bool:
        inside = unit["start_byte"] <= other["start_byte"] < unit["end_byte"]
        same_file = (other["source"], other["path"]) == (unit["source"], unit["path"])
        return other["split"] in ("train", unit["split"]) and not (inside and same_file)
