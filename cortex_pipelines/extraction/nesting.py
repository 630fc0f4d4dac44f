"""Turn definitions into units: names, kinds and headers by nesting.

Nothing here recurses: a file may nest as deeply as its size allows.
"""

from bisect import bisect_left
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from tree_sitter import Node

from cortex_pipelines.extraction.chunks import Chunk, chunks_of
from cortex_pipelines.extraction.documentation import comment_text, docstring_text
from cortex_pipelines.extraction.layout import (
    doc_comments,
    end_of_last_statement,
    start_with_attributes,
    without,
)
from cortex_pipelines.extraction.names import DECLARATIONS, constants, names_of, text_of
from cortex_pipelines.extraction.outline import Definition, Outline
from cortex_pipelines.extraction.settings import ExtractionSettings

_TYPES = frozenset({"class", "struct", "trait", "interface", "enum", "type"})
# Headers, each as long as they may be, that a unit repeats of what encloses it.
_MAX_REPEATED = 4


class Unit(NamedTuple):
    """One unit of a file; the columns of ``CODE_UNITS`` without those that name the file.

    ``chunks`` are its parts if it is large, else none.
    """

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
    calls: list[str]
    has_error: bool
    chunks: list[Chunk]


class _Enclosing(NamedTuple):
    """A definition that may enclose others, with the ``path`` and ``context`` it gives them."""

    end: int
    kind: str
    path: str
    context: str


_OUTSIDE = _Enclosing(0, "", "", "")


class _Span(NamedTuple):
    """Extent of a unit and all of it that does not depend on its name."""

    start: int
    end: int
    first_line: int
    last_line: int
    signature: str
    docstring: str | None
    body_start: int | None
    calls: list[str]
    has_error: bool


@dataclass(slots=True)
class _File:
    """A file being turned into units; ``cuts`` are its comments, in order."""

    data: bytes
    outline: Outline
    cuts: list[tuple[int, int]]
    attributes: list[tuple[int, int]]
    settings: ExtractionSettings


def nested_units(data: bytes, file_outline: Outline, settings: ExtractionSettings) -> list[Unit]:
    """The units of a file, in the order of their first bytes, outer ones first.

    Args:
        data: The file's UTF-8 text.
        outline: Definitions, comments and attributes that its queries matched.
        settings: Limits.
    """
    comments = sorted((start, end) for end, start in file_outline.comments.items())
    attributes = sorted((start, end) for end, start in file_outline.attributes.items())
    file = _File(data, file_outline, comments, attributes, settings)
    # two definitions in one stretch (broken code) are one unit
    units: dict[tuple[str, str, int, int], Unit] = {}
    around: list[_Enclosing] = []
    ordered = sorted(map(_placed, file_outline.definitions.values()), key=_outer_first)
    starts = [*(start for start, *_ in ordered), len(data)]
    for (start, below, _, definition), following in zip(ordered, starts[1:], strict=True):
        end = -below
        while around and around[-1].end <= start:
            around.pop()
        if following >= end and (definition.role == "scope" or _is_local(definition, around)):
            continue  # no unit, and nothing is inside
        kind, names = _kind(definition, around), names_of(data, definition, settings)
        home = _home(data, definition, around)
        header = _header(file, definition)
        if _is_unit(definition, around, settings):
            for unit in _units(file, definition, kind, names, header, home):
                units.setdefault((unit.kind, unit.name, unit.start_byte, unit.end_byte), unit)
        # the title of a test case is no name
        name = names[0][0] if names and kind != "test" else ""
        around.append(_enclosing(end, kind, name, header, home, len(around), settings))
    return list(units.values())


def _home(data: bytes, definition: Definition, around: list[_Enclosing]) -> _Enclosing:
    """The enclosing definition; the type that a method names belongs to its path."""
    outer = around[-1] if around else _OUTSIDE
    receiver = definition.first("receiver")
    return outer._replace(path=f"{outer.path}{text_of(data, receiver)}.") if receiver else outer


def _enclosing(
    end: int,
    kind: str,
    name: str,
    header: str,
    home: _Enclosing,
    level: int,
    settings: ExtractionSettings,
) -> _Enclosing:
    if level >= settings.max_nesting:
        # nothing inside is a unit
        return _Enclosing(end, kind, "", "")
    limit = settings.max_header_chars
    path = f"{home.path}{name[:limit]}." if name else home.path
    context = f"{home.context}\n{header[:limit]}" if home.context and header else header[:limit]
    # every unit inside repeats them: long ones of many levels would be gigabytes
    most = _MAX_REPEATED * limit
    return _Enclosing(end, kind, path[:most], (context or home.context)[-most:])


def _placed(definition: Definition) -> tuple[int, int, int, Definition]:
    node = definition.node
    return node.start_byte, -node.end_byte, definition.pattern, definition


_outer_first = itemgetter(0, 1, 2)


def _is_unit(
    definition: Definition, around: list[_Enclosing], settings: ExtractionSettings
) -> bool:
    if definition.role == "scope" or len(around) > settings.max_nesting:
        return False
    return not _is_local(definition, around)


def _is_local(definition: Definition, around: list[_Enclosing]) -> bool:
    """Whether it declares a local variable."""
    return definition.kind in DECLARATIONS and _nearest(around) in ("function", "method")


def _kind(definition: Definition, around: list[_Enclosing]) -> str:
    kind = definition.kind
    if kind == "function" and _nearest(around) in _TYPES:
        return "method"
    return "constant" if kind == "variable" and "constant" in definition.pieces else kind


def _nearest(around: list[_Enclosing]) -> str | None:
    """Kind of the innermost enclosing type, function or module."""
    for unit in reversed(around):
        if unit.kind not in DECLARATIONS:
            return unit.kind
    return None


def _units(
    file: _File,
    definition: Definition,
    kind: str,
    names: list[tuple[str, Node]],
    header: str,
    home: _Enclosing,
) -> list[Unit]:
    """One unit per name; only declarations have more than one."""
    if not any(name for name, _ in names):
        return []
    whole = file.outline.widest(definition.node)
    span = _span(file, definition, whole, "" if kind == "import" else header)
    code = file.data[span.start : span.end].decode(errors="replace")
    chunks = []
    # a table of numbers is not worth its parts
    if kind not in DECLARATIONS:
        chunks = chunks_of(file.data, whole, span.start, span.end, file.settings)
    constant = constants(definition.settings.get("constant", "")) if kind == "variable" else None
    mark = definition.node if kind == "import" else definition.first("keyword")
    return [
        Unit(
            "constant" if constant and constant.match(name) else kind,
            name, home.path + name, span.start, span.end, span.first_line,
            span.last_line, (mark or node).start_point[0] + 1, span.signature, span.docstring,
            code, span.body_start, home.context, span.calls, span.has_error, chunks,
        )
        for name, node in names
        if name
    ]  # fmt: skip


def _span(file: _File, definition: Definition, whole: Node, signature: str) -> _Span:
    data, first, last = file.data, whole.start_byte, whole.end_byte
    start, doc_end = start_with_attributes(data, first, file.outline)
    end = end_of_last_statement(data, start, last, file.outline)
    docstring, body_start = _documentation(file, definition, doc_end)
    return _Span(
        start, end,
        whole.start_point[0] + 1 - data.count(b"\n", start, first),
        whole.end_point[0] + 1 - data.count(b"\n", end, last),
        signature, docstring, body_start, _calls(file, start, end), whole.has_error,
    )  # fmt: skip


def _calls(file: _File, start: int, end: int) -> list[str]:
    calls = file.outline.calls
    inside = calls[bisect_left(calls, (start,)) : bisect_left(calls, (end,))]
    return sorted({name for _, name in inside}) if inside else []


def _documentation(
    file: _File, definition: Definition, doc_end: int | None
) -> tuple[str | None, int | None]:
    """Documentation, and where the implementation starts."""
    body = definition.first("body")
    inside = file.outline.documented.get(body.id) if body else None
    if inside:
        rest = inside.get("implementation")
        literal = inside["docstring"][0]
        text = docstring_text(
            file.data[literal.start_byte : literal.end_byte].decode(errors="replace")
        )
        return text, rest[0].start_byte if rest else None
    start = body.start_byte if body else None
    if doc_end is None:
        return None, start
    comments = doc_comments(file.data, doc_end, file.outline)
    return comment_text(comments.decode(errors="replace")), start


def _header(file: _File, definition: Definition) -> str:
    """Signature from the first modifier to the body, without decorators and comments."""
    names = definition.pieces.get("name")
    if names is None or definition.kind in ("import", "test"):
        return ""
    whole, body = file.outline.widest(definition.node), definition.first("body")
    start, end = whole.start_byte, body.start_byte if body else whole.end_byte
    name = names[0].start_byte
    # an annotation before the name decorates the unit; one behind it, a parameter
    cuts = [*_within(file.attributes, start, name), *_within(file.cuts, start, end)]
    cuts.sort()
    text = without(file.data, start, end, cuts) if cuts else file.data[start:end]
    return " ".join(text.decode(errors="replace").split()).rstrip("; ")


def _within(stretches: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    first = bisect_left(stretches, (start,))
    return stretches[first : bisect_left(stretches, (end,), first)]
