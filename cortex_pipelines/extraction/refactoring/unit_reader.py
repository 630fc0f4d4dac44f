"""Parse a file into functions and types."""

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from tree_sitter import Node

from cortex_pipelines.damage import SkipReason
from cortex_pipelines.extraction.enclosing import remove_spans
from cortex_pipelines.extraction.outline import Definition, Outline, outline
from cortex_pipelines.extraction.refactoring.model import (
    MODULE_EXPORT,
    NAMELESS,
    OBJECT,
    Function,
    Parameter,
    ParsedFile,
    Signature,
    Type,
    UnitLocation,
)
from cortex_pipelines.extraction.refactoring.statements import FUNCTIONS, RECEIVERS, TYPES, StatementReader, bound_names
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.syntax.grammars import PARSED, Grammar, TooManyStepsError, grammar_for
from cortex_pipelines.syntax.unparsable import syntax_tree

_TOKEN = re.compile(r"\w+|[^\w\s]")
_FORM = re.compile(r"\*\*?|\.\.\.")
_PLAIN_HOLDERS = frozenset({"module", "exports", "this", "self", "window", "global"})
_MODULE = ["module", "exports"]
_MAX_DEPTH = 64  # code nests a dozen deep; each level repeats the code inside it


@dataclass(frozen=True)
class _EnclosingDefinition:
    end: int
    names: tuple[str, ...]
    kind: str
    type: Type | None


def read_file(path: str, text: str, max_bytes: int) -> ParsedFile | None:
    """The functions and types of a file; None if it is not parsed or is hostile."""
    language = language_of(path, text)
    data = text.encode(errors="replace")
    if language not in PARSED:
        return None
    grammar = grammar_for(language, path)
    tree = syntax_tree(data, grammar, max_bytes)
    if isinstance(tree, SkipReason):
        return None
    root = tree.root_node
    try:
        definitions = outline(root, grammar, data)
    except TooManyStepsError:
        return None
    return _Reader(path, language, data, grammar, definitions).file(root)


class _Reader:
    def __init__(self, path: str, language: str, data: bytes, grammar: Grammar, file_outline: Outline) -> None:
        self._path, self._language, self._data, self._outline = path, language, data, file_outline
        units = {
            file_outline.widest(definition.node)
            for definition in file_outline.definitions.values()
            if definition.role == "definition" and definition.kind in FUNCTIONS | TYPES
        } | {
            definition.node
            for definition in file_outline.definitions.values()
            if definition.kind in ("method", "type") and "name" in definition.captures
        }
        self._statements = StatementReader(data, grammar, units)

    def file(self, root: Node) -> ParsedFile:
        file = ParsedFile(self._path, self._language, root.has_error, len(self._data))
        scopes: list[_EnclosingDefinition] = []
        for definition in sorted(self._outline.definitions.values(), key=Definition.outer_first):
            while scopes and scopes[-1].end <= definition.node.start_byte:
                scopes.pop()
            if len(scopes) > _MAX_DEPTH or definition.kind in ("variable", "constant", "import"):
                continue
            scopes.append(self._enter(file, definition, scopes))
        if self._language == "typescript":
            _drop_overloads(file)
        location = UnitLocation(self._path, self._language, (), None, None, 1, 1, root.end_point[0] + 1, "")
        body, line = self._statements.body(root), root.start_point[0] + 1
        file.functions.append(Function("", "module", location, Signature, body, "", line))
        return file

    def _enter(
        self, file: ParsedFile, definition: Definition, scopes: list[_EnclosingDefinition]
    ) -> _EnclosingDefinition:
        name, kind, new_type = self._name(definition), definition.kind, None
        body, full_name = definition.first("body"), self._full_name(definition, name)
        if name and kind in FUNCTIONS:
            line = body.start_point[0] + 1 if body is not None else 0
            location, read_signature = self._location(definition, scopes), partial(self._signature, definition)
            function_body = self._statements.body(body) if body is not None else None
            if location.owner and not location.enclosing_function:
                kind = "method"  # Python has one syntax for both
            function = Function(name, kind, location, read_signature, function_body, full_name, line)
            file.functions.append(function)
            owner = next((unit.type for unit in reversed(scopes) if unit.kind != "module"), None)
            if _enclosing_object(definition.node) is not None:
                owner = self._object(file, function)
            if owner is not None:
                owner.methods.append(function)
        elif name and kind in TYPES and definition.role == "definition":
            fields = self._statements.body(body) if body is not None else None
            end = body.start_byte if body is not None else definition.node.end_byte
            header = self._data[definition.node.start_byte : end].decode(errors="replace").split()
            new_type = Type(name, kind, self._location(definition, scopes), tuple(header), fields)
            file.types.append(new_type)
        is_container = name != "" and kind != "test"
        if kind in FUNCTIONS:
            is_container = full_name not in ("", MODULE_EXPORT)
        names = (*self._holders(definition), name) if is_container else ()
        return _EnclosingDefinition(definition.node.end_byte, names, kind, new_type)

    def _object(self, file: ParsedFile, member: Function) -> Type | None:
        *enclosing, name = member.location.enclosing_names
        if name == NAMELESS:
            return None
        namesakes = (kind for kind in reversed(file.types) if kind.kind == OBJECT and kind.name == name)
        existing = next((kind for kind in namesakes if kind.location.enclosing_names == tuple(enclosing)), None)
        if existing is None:
            location = replace(member.location, enclosing_names=tuple(enclosing), code="")
            existing = Type(name, OBJECT, location, (), None)
            file.types.append(existing)
        return existing

    def _name(self, definition: Definition) -> str:
        node = definition.first("name")
        if node is None:
            return ""
        text = self._spaced(node)
        default = _is_default(definition)
        if default or self._target(definition) == _MODULE:
            # a file that imports it by its path calls it by the file's name
            stem = PurePosixPath(self._path).name.partition(".")[0]
            unnamed = stem if default or definition.kind in TYPES else MODULE_EXPORT
            return self._inner_name(definition) or unnamed
        return text[1:-1] if text[:1] in ("'", '"', "`") else text

    def _inner_name(self, definition: Definition) -> str:
        """Name that an assigned expression has itself: ``f`` of ``a.b = function f() {}``."""
        if "name" in definition.settings:
            return ""
        body = definition.first("body")
        return self._text(body.parent.child_by_field_name("name") if body and body.parent else None)

    def _signature(self, definition: Definition) -> Signature:
        body = definition.first("body")
        callable_node = body.parent if body is not None and body.parent else definition.node
        return Signature(self._parameters(callable_node), self._head(definition, callable_node, body))

    def _head(self, definition: Definition, callable_node: Node, body: Node | None) -> tuple[str, ...]:
        widest = self._outline.widest(definition.node)
        end = body.start_byte if body is not None else widest.end_byte
        excluded = [callable_node.child_by_field_name(field) for field in ("parameters", "parameter")]
        excluded.append(definition.first("name"))
        cuts = sorted((node.start_byte, node.end_byte) for node in excluded if node)
        text = remove_spans(self._data, widest.start_byte, end, cuts).decode(errors="replace")
        return tuple(_TOKEN.findall(text))

    def _full_name(self, definition: Definition, name: str) -> str:
        parts = self._target(definition)
        if name and (parts == _MODULE or _is_default(definition)):
            return self._inner_name(definition) or MODULE_EXPORT
        on_holder = "_prototype" in definition.captures or self._inner_name(definition) == name
        if on_holder or len(parts) < 2:
            return name
        while len(parts) > 1 and parts[0] in _PLAIN_HOLDERS:
            parts = parts[1:]
        return ".".join(parts)

    def _target(self, definition: Definition) -> list[str]:
        node = definition.node
        target = node.child_by_field_name("left") if node.type == "assignment_expression" else None
        return "".join(self._text(target).split()).split(".") if target is not None else []

    def _parameters(self, node: Node) -> tuple[Parameter, ...]:
        parameters: list[Parameter] = []
        for field in ("parameters", "parameter"):
            for group in node.children_by_field_name(field):
                single = field == "parameter" or group.type == "identifier"
                for child in [group] if single else group.named_children:
                    kind = self._spaced(child.child_by_field_name("type"))
                    default = self._spaced(child.child_by_field_name("value") or child.child_by_field_name("right"))
                    match, declaration = _FORM.match(self._text(child)), self._spaced(child)
                    parameters += [
                        Parameter(
                            self._text(name),
                            kind,
                            default,
                            variadic_marker=match[0] if match else "",
                            declaration=declaration,
                            line=name.start_point[0] + 1,
                        )
                        for name in bound_names(child)
                    ]
        if parameters and parameters[0].name in RECEIVERS:
            parameters = parameters[1:]
        return tuple(parameters)

    def _location(self, definition: Definition, scopes: list[_EnclosingDefinition]) -> UnitLocation:
        widest = self._outline.widest(definition.node)
        line_node = definition.first("keyword") or definition.first("name") or widest
        holders = self._holders(definition)
        types = [unit.names[-1] for unit in scopes if unit.names and unit.kind in TYPES]
        functions = [unit.names[-1] for unit in scopes if unit.names and unit.kind in FUNCTIONS]
        if "receiver" in definition.captures:
            types += holders
        names = [name for unit in scopes for name in unit.names] + holders
        owner, function = types[-1] if types else None, functions[-1] if functions else None
        start, end = widest.start_point[0] + 1, widest.end_point[0] + 1
        before = self._data[self._data.rfind(b"\n", 0, widest.start_byte) + 1 : widest.start_byte]
        indent = "" if before.strip() else before.decode()
        line, code = line_node.start_point[0] + 1, indent + self._text(widest)
        return UnitLocation(self._path, self._language, tuple(names), owner, function, line, start, end, code)

    def _holders(self, definition: Definition) -> list[str]:
        """The holders of a member: a receiver, a prototype or object literals, outermost first."""
        receiver = definition.first("receiver")
        if receiver is not None:
            return [self._text(receiver)]
        prototype = definition.first("_prototype")
        if prototype is not None:
            return [self._last_name(prototype.parent)]
        names: list[str] = []
        node = _enclosing_object(definition.node)
        while node is not None and node.parent is not None:
            names.append(self._holder(node.parent))
            node = _enclosing_object(node.parent)
        return names[::-1]

    def _holder(self, node: Node) -> str:
        """Variable, key or class that an object literal is given to: ``A`` of ``var A = B.extend({})``."""
        if node.type == "arguments" and node.parent is not None:
            node = node.parent.parent or node
        if node.type == "export_statement":
            return MODULE_EXPORT
        field = {"pair": "key", "variable_declarator": "name", "assignment_expression": "left"}
        name = node.child_by_field_name(field.get(node.type, "name"))
        return NAMELESS if node.type not in field or name is None else self._last_name(name)

    def _last_name(self, node: Node | None) -> str:
        return self._text(node).removesuffix(".prototype").rpartition(".")[2].strip("'\"`")

    def _text(self, node: Node | None) -> str:
        return self._data[node.start_byte : node.end_byte].decode(errors="replace") if node is not None else ""

    def _spaced(self, node: Node | None) -> str:
        return " ".join(self._text(node).split())


def _is_default(definition: Definition) -> bool:
    """Whether a definition is exported as its file's default and may have no name."""
    return definition.node.type == "export_statement" or definition.settings.get("name") == "default"


def _drop_overloads(file: ParsedFile) -> None:
    implemented = {
        (function.location.enclosing_names, function.name) for function in file.functions if function.has_body
    }
    for functions in (file.functions, *(kind.methods for kind in file.types)):
        functions[:] = [
            candidate
            for candidate in functions
            if candidate.has_body or (candidate.location.enclosing_names, candidate.name) not in implemented
        ]


def _enclosing_object(node: Node) -> Node | None:
    parent = node.parent if node.type in ("pair", "method_definition") else None
    return parent if parent is not None and parent.type == "object" else None
