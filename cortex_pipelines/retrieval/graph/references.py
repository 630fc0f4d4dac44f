"""What a file refers to: calls, bases, types of variables, names of imports; by its syntax alone.

What each of these is in a language, ``queries/<language>.scm`` says.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from tree_sitter import Node

from cortex_pipelines.damage import SkipReason, attempt, encodable
from cortex_pipelines.extraction.architecture.facts import NAME, parsed_detail
from cortex_pipelines.extraction.architecture.readers.imports import (
    go_imports,
    java_imports,
    javascript_imports,
    python_imports,
    rust_imports,
)
from cortex_pipelines.extraction.architecture.sourcefile import Captures, Reader, SourceFile, rows_by_file
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, text
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.syntax.grammars import PARSED

_QUERIES = Path(__file__).parent / "queries"
_IMPORTS: dict[str, Reader] = {
    "python": python_imports,
    "javascript": javascript_imports,
    "typescript": javascript_imports,
    "java": java_imports,
    "go": go_imports,
    "rust": rust_imports,
}
_LONGEST = 200  # characters of an expression that is looked at; longer ones are chains of unknown types
_ARGUMENTS = re.compile(r"\([^()]*\)")
_AWAITED = re.compile(r"\bawait\s+(?![.=])|\s*\.\s*await\b")
_SPACED = re.compile(r"\s*(\.|\(\))\s*")
_AROUND = re.compile(r"parenthesized_expression \(|(?:unary|reference)_expression [&*]")
_MADE = ("composite_literal", "struct_expression")
_PASSED_OVER = (".", "await", "?")
_OPERANDS = ("identifier", "self", "crate", "super")
_LITERAL = re.compile(r"[A-Za-z]{0,2}[\"'`\[{]|\d")
_MEMBERS = ("attribute", "property", "field", "name")
_OWNERS = ("object", "operand", "value", "path", "package")
CALLED = "()"  # what follows the part of an expression that is called
UNKNOWN = "?"  # an expression that says nothing

CALL, BASE, IMPLEMENTS, VARIABLE, FIELD, IMPORTED, PACKAGE = (
    *("call", "base", "implements", "variable", "field", "import", "package"),
)
READ, WRITE, DECORATOR, RESULT, YIELD, DEFAULT = "read", "write", "decorator", "result", "yield", "default"
PASSED, LOCAL = "passed", "local"


class Reference(NamedTuple):
    """Something that a file refers to.

    ``name`` is what is called, read or written, the variable or field, the local name of an import,
    the type that implements, the name of the package or of an export (empty: the default one).
    ``about`` is what it is called on, the base, the trait, the type (followed by ``()`` if it is
    what a call gives; empty if not known), what a function returns or yields or a module exports,
    or the name that the imported module gives it. ``arguments`` are those of a call of Java, where
    they choose the overload; else -1.
    """

    kind: str
    name: str
    about: str
    module: str
    start_line: int
    end_line: int
    byte: int
    arguments: int = -1


REFERENCES = pl.Schema(
    {
        **dict.fromkeys(("kind", "name", "about", "module"), pl.String),
        **dict.fromkeys(("start_line", "end_line", "byte", "arguments"), pl.Int64),
    }
)


def read_references(
    files: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None = None,
    project: str = "",
) -> pl.DataFrame:
    """What the parsed files of a project refer to, in the order of source and path.

    Columns ``source``, ``path`` and those of ``REFERENCES``.
    """
    parsed_files = files.filter(pl.col("language").is_in(sorted(PARSED)) & ~pl.col("generated"))
    read = partial(_references, settings=settings, parsing=parsing)
    return rows_by_file(parsed_files, REFERENCES, read, cache, f"references/{project}")


def _references(
    path: str, language: str | None, text: str, settings: ArchitectureSettings, parsing: ExtractionSettings
) -> list[Reference]:
    file = SourceFile(path, language, text, settings, parsing, _QUERIES)
    references = attempt(lambda: [*_import_references(file), *_syntax_references(file)])
    if isinstance(references, SkipReason):
        return []
    in_order = sorted(set(references), key=lambda reference: (reference.byte, reference))
    return _of_closures([captures["closure"][0] for captures in file.captures.get("closure", ())], in_order)


def _of_closures(parameters: list[Node], references: list[Reference]) -> list[Reference]:
    """References in order, with a name of its own for each parameter of a closure, which hides what is outside."""
    offsets = [reference.byte for reference in references]
    for parameter in sorted(parameters, key=lambda node: -node.start_byte):  # the inner ones first
        closure: Node | None = parameter
        while closure is not None and closure.child_by_field_name("body") is None:
            closure = closure.parent
        if closure is not None:
            inside = slice(bisect_left(offsets, closure.start_byte), bisect_left(offsets, closure.end_byte))
            name, unique = text(parameter), f"{text(parameter)}${closure.start_byte}"
            references[inside] = [_renamed(reference, name, unique) for reference in references[inside]]
    return references


def _renamed(reference: Reference, name: str, unique: str) -> Reference:
    kind, qualifier = reference.kind, reference.about
    if reference.name == name and (kind == VARIABLE or (kind == CALL and not qualifier)):
        reference = reference._replace(name=unique)
    is_value = kind not in (VARIABLE, FIELD, BASE, IMPLEMENTS) or qualifier.endswith(CALLED)
    if is_value and re.match(rf"{re.escape(name)}(?![\w$])", qualifier):
        reference = reference._replace(about=unique + qualifier[len(name) :])
    return reference


def _import_references(file: SourceFile) -> Iterator[Reference]:
    for fact in _IMPORTS[file.language or ""](file):
        span = (fact.start_line, fact.end_line, 0)
        if fact.fact == NAME:
            yield Reference(PACKAGE, encodable(fact.object), "", "", *span)
            continue
        detail = parsed_detail(fact.detail)
        pairs = detail.get("names")
        if not pairs and file.language in ("javascript", "typescript"):
            # `import './x'` binds no name; `export * from './x'` passes on all
            passes_on = file.lines[fact.start_line - 1].lstrip().startswith("export")
            pairs = [("*", "*")] if passes_on else []
        elif not pairs:
            pairs = [("", detail.get("path", ""))]
        for exported, local in pairs:
            yield Reference(IMPORTED, local, exported, encodable(fact.object), *span)


def _is_exported(node: Node) -> bool:
    """Whether what is passed is exported, alone or in an object: ``module.exports = { parse }``."""
    outer = node.parent
    while outer is not None and outer.type in ("pair", "object"):
        outer = outer.parent
    target = outer.child_by_field_name("left") if outer is not None and outer.type == "assignment_expression" else None
    return target is not None and text(target).startswith(("module.exports", "exports."))


def _syntax_references(file: SourceFile) -> Iterator[Reference]:
    language = file.language or ""
    for captures in file.captures.get("call", ()):
        yield _reference(CALL, captures["call"][0], plain_type(text(captures["call"][0]), language), "")
    write_ids = {captures[WRITE][0].id for captures in file.captures.get(WRITE, ())}  # and not read
    for kind in (CALL, READ, WRITE, DECORATOR):
        for captures in file.captures.get("member" if kind == CALL else kind, ()):
            node = next(iter(captures.values()))[0]
            if kind != READ or node.id not in write_ids:
                yield from _member_reference(kind, node)
    for captures in file.captures.get(PASSED, ()):
        node = captures[PASSED][0]
        if _is_exported(node):
            continue
        if node.type.endswith("identifier") and not node.named_children:
            yield _reference(PASSED, node, text(node), "")
        else:
            yield from _member_reference(PASSED, node)
    for captures in file.captures.get(LOCAL, ()):
        yield _reference(LOCAL, captures[LOCAL][0], text(captures[LOCAL][0]), "")
    for captures in file.captures.get("macro", ()):
        yield from _macro_reference(captures["macro"][0])
    for captures in file.captures.get("base", ()):
        node = captures["base"][0]
        yield _reference(BASE, node, "", plain_type(text(node), language))
    for captures in file.captures.get("implemented", ()):
        node, trait = captures["implemented"][0], captures["_type"][0]
        yield _reference(IMPLEMENTS, node, plain_type(text(node), language), plain_type(text(trait), language))
    for kind in (VARIABLE, FIELD):
        for captures in file.captures.get(kind, ()):
            yield _typed_reference(kind, captures, language)
    for captures in file.captures.get("taken", ()):
        node, owner = captures["taken"][0], text(captures["_from"][0])
        yield _reference(VARIABLE, node, text(node), f"{owner}.{text(captures.get('_name', [node])[0])}")
    for kind in (RESULT, YIELD, DEFAULT):
        for captures in file.captures.get(kind, ()):
            name = text(captures["_name"][0]) if "_name" in captures else ""
            yield _reference(kind, captures[kind][0], name, expression(captures[kind][0]))


def _member_reference(kind: str, node: Node) -> Iterator[Reference]:
    name, owner = _first(node, _MEMBERS), _first(node, _OWNERS)
    if name is None and node.named_child_count > 1:  # a qualified type of Go or Rust
        owner, name = node.named_children[0], node.named_children[-1]
    if name is None:
        name = node if kind == DECORATOR else None
    if name is None or _LITERAL.match(text(owner)):
        return
    arguments = node.child_by_field_name("arguments") if node.type == "method_invocation" else None
    count = sum(not child.type.endswith("comment") for child in arguments.named_children) if arguments else -1
    yield _reference(kind, name, text(name), expression(owner))._replace(arguments=count)


def _macro_reference(node: Node) -> Iterator[Reference]:
    """A call in a macro of Rust, whose arguments the grammar leaves as tokens."""
    arguments, before, owner = node.next_sibling, node.prev_sibling, list[str]()
    if (before is not None and before.type == "fn") or not text(arguments).startswith("("):
        return
    while before is not None and before.type in (".", "::"):
        operand = before.prev_sibling
        while operand is not None and operand.type in _PASSED_OVER:
            operand = operand.prev_sibling
        called = CALLED if operand is not None and operand.type == "token_tree" else ""
        operand = operand.prev_sibling if operand is not None and called else operand
        owner.append(text(operand) + called if operand is not None and operand.type in _OPERANDS else UNKNOWN)
        before = operand.prev_sibling if operand is not None else None
    yield _reference(CALL, node, text(node), ".".join(reversed(owner)))


def _typed_reference(kind: str, captures: Captures, language: str) -> Reference:
    node = captures[kind][0]
    qualifier, name = "", expression(node)
    if "_type" in captures:
        qualifier = plain_type(text(captures["_type"][0]), language)
    elif "_made" in captures:
        qualifier = expression(captures["_made"][0])
        qualifier = "" if qualifier in ("", UNKNOWN) else qualifier + CALLED
    elif kind == FIELD:  # embedded in Go: called after its type
        qualifier = plain_type(text(node), language)
        name = qualifier.rpartition(".")[2]
    owner, dot, last = name.rpartition(".")
    if dot and owner in ("self", "cls", "this"):
        return _reference(FIELD, node, last, qualifier)
    return _reference(kind, node, name, qualifier)


def _reference(kind: str, node: Node, name: str, qualifier: str) -> Reference:
    lines = (first_line(node), last_line(node))
    return Reference(kind, encodable(name), encodable(qualifier), "", *lines, node.start_byte)


def _first(node: Node, fields: tuple[str, ...]) -> Node | None:
    return next(filter(None, map(node.child_by_field_name, fields)), None)


def expression(node: Node | None) -> str:
    """Dotted names and calls of an expression (``a.b().c``); ``?`` where it is something else."""
    while node is not None and node.named_children and _AROUND.fullmatch(f"{node.type} {node.children[0].type}"):
        node = node.named_children[-1]
    if node is None:
        return ""
    if node.type in _MADE:  # by its type, as by a call in other languages
        type_name = plain_type(text(node.named_children[0]), "")
        return type_name + CALLED if type_name else UNKNOWN
    if node.end_byte - node.start_byte > _LONGEST:
        return UNKNOWN
    source = text(node)
    for _ in range(_LONGEST):
        shorter = _ARGUMENTS.sub("\1", source)
        if shorter == source:
            break
        source = shorter
    source = _AWAITED.sub("", source.replace("\1", CALLED)).replace("::", ".").replace("?.", ".").rstrip("?")
    source = _SPACED.sub(r"\1", source.replace("new ", "").strip().lstrip("*&"))
    return source if re.fullmatch(r"[\w$]+(?:\(\))?(?:\.[\w$]+(?:\(\))?)*", source) else UNKNOWN


_WRAPPED = re.compile(r"^(?:Optional|Type|type|Awaitable)\s*[\[<](.*)[\]>]$")
_WRAPPED_IN_RUST = re.compile(  # by its first argument
    r"^(?:\w+\s*::\s*)*(?:Option|Result|Box|Rc|Arc|Pin|Cell|RefCell|Mutex|RwLock)\s*"
    r"<((?:[^<>(),]|<[^<>]*(?:<[^<>]*>[^<>]*)*>|\([^()]*\))+).*>$",
    re.DOTALL,
)
_NAMED = re.compile(r"(?:[^\W\d]|\$)[\w$]*(?:(?:\.|::)(?:[^\W\d]|\$)[\w$]*)*")
_BEFORE_TYPE = re.compile(r"^(?:&|\*|mut\b|dyn\b|impl\b|const\b|'\w+\s|\s)+")


def plain_type(source: str, language: str) -> str:
    """The name of a type without pointers, generics, ``None`` and errors; empty if it is another form."""
    source = source[:_LONGEST].strip().strip("\"'").strip()
    source = _BEFORE_TYPE.sub("", source)
    parts = [part.strip() for part in source.split("|")] if "[" not in source else [source]
    parts = [part for part in parts if part not in ("None", "null", "undefined")]
    if len(parts) != 1:
        return ""
    wrapped = (_WRAPPED_IN_RUST if language == "rust" else _WRAPPED).match(parts[0])
    if wrapped:
        return plain_type(wrapped[1], language)
    name = _NAMED.match(parts[0])
    if name is None or parts[0][name.end() :].lstrip()[:1] not in ("", "<", "[", "{"):
        return ""
    return name[0].replace("::", ".")


_RESULTS = {  # the type that a function's signature, on one line, says it gives
    "python": re.compile(r"->\s*(.+?)\s*:?$"),
    "rust": re.compile(r"->\s*(.+?)(?:\s+where\b.*)?$"),
    "javascript": re.compile(r"\)\s*:\s*([^()]+)$"),
    "go": re.compile(r"\)\s*\(?\s*(?:\w+\s+)?([*\w.]+)[^()]*\)?$"),
    "java": re.compile(r"([\w.]+)(?:<[^()]*>)?\s+\w+\s*\("),
}


def result_type(family: str, signature: str) -> str:
    """The name of the type that a function gives; empty if its signature does not say it."""
    match = _RESULTS[family].search(signature)
    return plain_type(match[1], family) if match else ""
