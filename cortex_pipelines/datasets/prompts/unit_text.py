"""Parts of a unit for its prompt."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import polars as pl

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.schemas.vocabulary import LANGUAGES

LINE_COMMENTS = {"python": "#"} | dict.fromkeys(LANGUAGES[1:], "//")

_BLANKS = " \t"
_WITH_IMPORTS = ("function", "method")
Place = tuple[str, str]
"""Source and path of a file."""


@dataclass(frozen=True)
class UnitParts:
    """A unit split where its body begins.

    Args:
        head: Header with the opening brace, or with the colon and the docstring.
        body: The rest, without blank lines at its end.
    """

    head: str
    body: str


def cut_unit(code: str, body_offset: int) -> UnitParts | None:
    """Split a function or method into prompt and completion.

    Args:
        code: The unit's code.
        body_offset: Byte of the code at which the implementation begins: the opening brace, or in
            Python the first statement after the docstring.

    Returns:
        The parts; None if nothing is left to write.
    """
    data = code.encode()
    brace = data[body_offset : body_offset + 1] == b"{"
    at = body_offset + brace
    head, body = data[:at].decode(), data[at:].decode()
    first, newline, rest = body.partition("\n")
    if newline and not first.strip():
        head, body = head + first + newline, rest
    stripped = head.rstrip(_BLANKS)
    if stripped.endswith("\n"):  # the body's indentation belongs to the body
        head, body = stripped, head[len(stripped) :] + body
    body = body.rstrip()
    return UnitParts(head, body) if body.strip(" \t\n}") else None


def enclosing_headers(context: str, indent: str, language: str) -> list[str]:
    """Headers around a unit, outermost first, indented and opened as in code.

    Args:
        context: Header lines, layout folded (column ``context``).
        indent: White space before the unit on its first line.
        language: Its language; all but Python open a block with a brace.
    """
    headers = [line for line in context.splitlines() if line.strip()]
    step = indent[: len(indent) // len(headers)] if headers else ""
    opened = "" if language == "python" else " {"
    return [f"{step * level}{header}{opened}" for level, header in enumerate(headers)]


def asked_of_unit(unit: Mapping[str, Any], code: str, request: str) -> str:
    """A prompt that shows a unit under its path and headers, and asks in a comment after it.

    Args:
        unit: ``language``, ``path``, ``context`` and ``indent`` of a unit with its layout.
        code: What is shown of it.
        request: The line that asks.
    """
    comment = LINE_COMMENTS[unit["language"]]
    headers = enclosing_headers(unit["context"], unit["indent"], unit["language"])
    shown = "\n".join([*headers, unit["indent"] + code.rstrip()])
    return f"{comment} {unit['path']}\n{shown}\n\n{comment} {request}\n"


def folded(text: str) -> str:
    """Collapse white space to single spaces."""
    return " ".join(text.split())


def in_word(beside: str) -> bool:
    """Whether a character (or none) is part of a name."""
    return beside != "" and (beside.isalnum() or beside in "_$")


def file_bytes(files: pl.DataFrame) -> dict[Place, bytes]:
    """UTF-8 bytes of each file, which unit spans refer to."""
    return {
        (source, path): text.encode()
        for source, path, text in files.select("source", "path", "text").iter_rows()
    }


def text_hashes(units: pl.DataFrame, texts: Mapping[Place, bytes]) -> pl.Series:
    """Hash of each unit's file text, as column ``text_hash``."""
    hashes = {
        place: blake2b(texts.get(place, b""), digest_size=16).hexdigest()
        for place in units.select("source", "path").unique().iter_rows()
    }
    unit_hashes = [hashes[place] for place in units.select("source", "path").iter_rows()]
    return pl.Series("text_hash", unit_hashes, dtype=pl.String)


def with_layout(
    units: pl.DataFrame, texts: dict[Place, bytes], settings: DatasetSettings
) -> pl.DataFrame:
    """Add ``indent``, the white space before a unit's first line, and ``imports``.

    Args:
        units: ANNOTATED_UNITS or CODE_UNITS.
        texts: The files of the same project.
        settings: Longest prompt; more imports than fit into it are of no use.

    Returns:
        The units, sorted by ``unit_id``; of functions and methods ``imports`` lists the code of the
        imports of the file that stand in no function.
    """
    rows = units if units["unit_id"].is_sorted() else units.sort("unit_id")
    indents = [
        _indent(texts.get((source, path), b""), start)
        for source, path, start in rows.select("source", "path", "start_byte").iter_rows()
    ]
    of_files = [
        (*place, _shown(imports, settings.max_prompt_bytes))
        for place, imports in _imports(units).items()
    ]
    schema: dict[str, Any] = {"source": pl.String, "path": pl.String, "imports": pl.List(pl.String)}
    joined = rows.with_columns(pl.Series("indent", indents, dtype=pl.String)).join(
        pl.DataFrame(of_files, schema=schema, orient="row"),
        on=["source", "path"],
        how="left",
        maintain_order="left",
    )
    shown = pl.when(pl.col("kind").is_in(_WITH_IMPORTS)).then("imports").fill_null([])
    return joined.with_columns(shown.alias("imports"))


def _shown(imports: Sequence[str], most: int) -> list[str]:
    """The first imports that fit."""
    sizes = accumulate(map(len, imports))
    return [text for text, size in zip(imports, sizes, strict=True) if size <= most]


def _imports(units: pl.DataFrame) -> dict[Place, list[str]]:
    holders: dict[Place, list[tuple[int, int]]] = {}
    for source, path, start, end in (
        units.filter(pl.col("kind").is_in(["function", "method"]))
        .select("source", "path", "start_byte", "end_byte")
        .sort("start_byte")
        .iter_rows()
    ):
        holders.setdefault((source, path), []).append((start, end))
    starts = {place: [start for start, _ in spans] for place, spans in holders.items()}
    ends = {
        place: list(accumulate((end for _, end in spans), max)) for place, spans in holders.items()
    }
    by_file: dict[Place, dict[tuple[int, str], str]] = {}
    rows = units.filter(pl.col("kind") == "import").sort("start_byte", "name", "unit_id")
    for source, path, start, code in rows.select(
        "source", "path", "start_byte", "code"
    ).iter_rows():
        place = (source, path)
        before = bisect_right(starts.get(place, []), start)
        if not before or ends[place][before - 1] <= start:
            # One statement that imports several names may be several units.
            by_file.setdefault(place, {})[start, code] = code
    return {place: list(imports.values()) for place, imports in by_file.items()}


def _indent(text: bytes, start: int) -> str:
    before = text[text.rfind(b"\n", 0, start) + 1 : start]
    return "" if before.strip() else before.decode("utf-8", "replace")
