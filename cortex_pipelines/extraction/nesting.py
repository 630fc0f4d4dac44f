"""Turn definitions into units: names and kinds by nesting.

Nothing here recurses: a file may nest as deeply as its size allows. Extents are found by neighbouring
bytes only, so a file with a million comments costs no more than its length.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

from cortex_pipelines.extraction.documentation import comment_text, docstring_text
from cortex_pipelines.extraction.enclosing import EnclosingBlocks
from cortex_pipelines.extraction.outline import DECLARATIONS, Definition, Outline, defined_names, name_text
from cortex_pipelines.extraction.settings import ExtractionSettings

_BLANK = b" \t\r\n\x0c"


def start_with_attributes(data: bytes, start: int, file_outline: Outline) -> tuple[int, int | None]:
    """First byte of a unit with its attributes, and the end of its doc comment.

    Attributes and comments may follow each other in any order; comments above the first attribute
    stay outside of the unit.

    Returns:
        The first byte; the end of the nearest doc comment, None without one.
    """
    first, position, doc_end = start, start, None
    while (end := _end_before(data, position)) is not None:
        if end in file_outline.attributes:
            first = position = file_outline.attributes[end]
        elif end in file_outline.comments and (
            _begins_line(data, file_outline.comments[end])
            or _end_on_line(data, file_outline.comments[end]) in file_outline.attributes
        ):
            if doc_end is None and end in file_outline.docs:
                doc_end = end
            position = file_outline.comments[end]
        else:
            break
    return first, doc_end


def end_of_last_statement(data: bytes, start: int, end: int, file_outline: Outline) -> int:
    while True:
        while end > start and data[end - 1] in _BLANK:
            end -= 1
        comment_start = file_outline.comments.get(end, file_outline.trailing.get(end))
        if comment_start is None or comment_start <= start:
            return end
        end = comment_start


def _end_before(data: bytes, start: int) -> int | None:
    """End of what precedes ``start`` with at most one line break between; else None."""
    end = _last_before(data, start)
    return end if end and data.count(b"\n", end, start) <= 1 else None


def _last_before(data: bytes, start: int) -> int:
    while start and data[start - 1] in _BLANK:
        start -= 1
    return start


def _begins_line(data: bytes, start: int) -> bool:
    end = _end_on_line(data, start)
    return end == 0 or data[end - 1] in b"\r\n"


def _end_on_line(data: bytes, start: int) -> int:
    while start and data[start - 1] in b" \t":
        start -= 1
    return start


_TYPES = frozenset({"class", "struct", "trait", "interface", "enum", "type"})
# Names of full length that the path of a unit repeats at most.
_MAX_REPEATED = 4


class Unit(NamedTuple):
    """One unit of a file; the columns of ``CODE_UNITS`` without those that name the file."""

    kind: str
    name: str
    qualified_name: str
    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    name_line: int
    signature: str
    docstring: str | None
    code: str
    body_start_byte: int | None
    context: str
    has_error: bool


class _EnclosingScope(NamedTuple):
    end: int
    kind: str
    path: str


_MODULE_SCOPE = _EnclosingScope(0, "", "")


@dataclass(slots=True)
class _File:
    data: bytes
    outline: Outline
    blocks: EnclosingBlocks
    settings: ExtractionSettings


def nested_units(data: bytes, root: Node, file_outline: Outline, settings: ExtractionSettings) -> list[Unit]:
    """The units of a file, in the order of their first bytes, outer ones first."""
    file = _File(data, file_outline, EnclosingBlocks(data, root, file_outline, settings), settings)
    # two definitions with one span (broken code) are one unit
    units: dict[tuple[str, str, int, int], Unit] = {}
    scopes: list[_EnclosingScope] = []
    by_position = sorted(file_outline.definitions.values(), key=Definition.outer_first)
    starts = [*(definition.node.start_byte for definition in by_position), len(data)]
    for definition, next_start in zip(by_position, starts[1:], strict=True):
        start, end = definition.node.start_byte, definition.node.end_byte
        while scopes and scopes[-1].end <= start:
            scopes.pop()
        is_local = definition.kind in DECLARATIONS and _nearest(scopes) in ("function", "method")
        if next_start >= end and (definition.role == "scope" or is_local):
            continue  # no unit, and nothing is inside
        kind, names = definition.kind, defined_names(data, definition, settings)
        if kind == "function" and _nearest(scopes) in _TYPES:
            kind = "method"
        elif kind == "variable" and "constant" in definition.captures:
            kind = "constant"
        parent = scopes[-1] if scopes else _MODULE_SCOPE
        holder = definition.first("receiver") or definition.first("holder")
        if holder is not None:  # the type that a method names, or what it is assigned to, belongs to its path
            parent = parent._replace(path=f"{parent.path}{name_text(data, holder)}.")
        if definition.role != "scope" and len(scopes) <= settings.max_nesting and not is_local:
            for unit in _units(file, definition, kind, names, parent):
                units.setdefault((unit.kind, unit.name, unit.start_byte, unit.end_byte), unit)
        # the title of a test case is not a name
        name = names[0][0] if names and kind != "test" else ""
        scopes.append(_scope(end, kind, name, parent, len(scopes), settings))
    return list(units.values())


def _scope(
    end: int, kind: str, name: str, parent: _EnclosingScope, level: int, settings: ExtractionSettings
) -> _EnclosingScope:
    if level >= settings.max_nesting:
        # nothing inside is a unit
        return _EnclosingScope(end, kind, "")
    limit = settings.max_header_chars
    path = f"{parent.path}{name[:limit]}." if name else parent.path
    # every unit inside repeats them: long ones of many levels would be gigabytes
    return _EnclosingScope(end, kind, path[: _MAX_REPEATED * limit])


def _nearest(scopes: list[_EnclosingScope]) -> str | None:
    return next((unit.kind for unit in reversed(scopes) if unit.kind not in DECLARATIONS), None)


def _units(
    file: _File, definition: Definition, kind: str, names: list[tuple[str, Node]], parent: _EnclosingScope
) -> list[Unit]:
    if not any(name for name, _ in names):
        return []
    data, widest = file.data, file.outline.widest(definition.node)
    first, last = widest.start_byte, widest.end_byte
    start, doc_end = start_with_attributes(data, first, file.outline)
    if doc_end is None and kind not in (*DECLARATIONS, "import"):
        before = _last_before(data, start)
        if before in file.outline.apart and _begins_line(data, file.outline.docs[before]):
            doc_end = before
    end = end_of_last_statement(data, start, last, file.outline)
    start_line = widest.start_point[0] + 1 - data.count(b"\n", start, first)
    end_line = widest.end_point[0] + 1 - data.count(b"\n", end, last)
    docstring, body_start = _documentation(file, definition, doc_end)
    code = data[start:end].decode(errors="replace")
    constant = definition.settings.get("constant") if kind == "variable" else None
    context = file.blocks.around(definition.node)
    line_node = definition.node if kind == "import" else definition.first("keyword")
    return [
        Unit(
            "constant" if constant and re.match(constant, name) else kind, name, parent.path + name, start, end,
            start_line, end_line, (line_node or node).start_point[0] + 1, _header(file, definition),
            docstring, code, body_start, context, widest.has_error,
        )
        for name, node in names
        if name
    ]  # fmt: skip


def _documentation(file: _File, definition: Definition, doc_end: int | None) -> tuple[str | None, int | None]:
    body = definition.first("body")
    documented = file.outline.documented.get(body.id) if body else None
    if documented:
        implementation = documented.get("implementation")
        literal = documented["docstring"][0]
        text = docstring_text(file.data[literal.start_byte : literal.end_byte].decode(errors="replace"))
        return text, implementation[0].start_byte if implementation else None
    start = body.start_byte if body else None
    if doc_end is None:
        return None, start
    # consecutive doc comments
    first, comment_start = doc_end, file.outline.docs.get(doc_end)
    while comment_start is not None and (first == doc_end or _begins_line(file.data, comment_start)):
        first = comment_start
        comment_end = _end_before(file.data, first)
        comment_start = file.outline.docs.get(comment_end) if comment_end is not None else None
    return comment_text(file.data[first:doc_end].decode(errors="replace")), start


def _header(file: _File, definition: Definition) -> str:
    if "name" not in definition.captures or definition.kind in ("import", "test"):
        return ""
    body = definition.first("body")
    end = body.start_byte if body else file.outline.widest(definition.node).end_byte
    return file.blocks.header(definition, end).rstrip("; ")
