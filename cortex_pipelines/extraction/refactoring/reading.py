"""Parse a file into functions and types."""

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tree_sitter import Node

from cortex_pipelines.extraction.outline import Definition, Outline, outline
from cortex_pipelines.extraction.refactoring.model import (
    NAMELESS,
    OBJECT,
    WHOLE,
    Function,
    Parameter,
    ParsedFile,
    Statement,
    Type,
    UnitLocation,
)
from cortex_pipelines.extraction.refactoring.statements import (
    StatementReader,
    bound_names,
    called_names,
)
from cortex_pipelines.extraction.refactoring.syntax import FUNCTIONS, RECEIVERS, TYPES
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.syntax.grammars import PARSED, TooManyStepsError, grammar_for
from cortex_pipelines.syntax.unparsable import Unparsed, syntax_tree

_TOKEN = re.compile(r"\w+|[^\w\s]")
_FORM = re.compile(r"\*\*?|\.\.\.")
_PLAIN_HOLDERS = frozenset({"module", "exports", "this", "self", "window", "global"})
_MODULE = ["module", "exports"]
_MAX_DEPTH = 64  # code nests a dozen deep; each level repeats the code inside it


@dataclass(frozen=True)
class _Around:
    """An enclosing definition: its name after those of its holders, and what it is."""

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
    if isinstance(tree, Unparsed):
        return None
    root = tree.root_node
    try:
        definitions = outline(root, grammar, data)
    except TooManyStepsError:
        return None
    return _Reader(path, language, data, definitions).file(root)


class _Reader:
    def __init__(self, path: str, language: str, data: bytes, file_outline: Outline) -> None:
        self._path, self._language, self._data, self._outline = path, language, data, file_outline
        self._units = {
            file_outline.widest(definition.node).id
            for definition in file_outline.definitions.values()
            if definition.role == "definition" and definition.kind in FUNCTIONS | TYPES
        } | {
            definition.node.id
            for definition in file_outline.definitions.values()
            if definition.kind in ("method", "type") and "name" in definition.pieces
        }
        self._statements = StatementReader(data, lambda node: node.id in self._units)

    def file(self, root: Node) -> ParsedFile:
        file = ParsedFile(self._path, self._language, root.has_error)
        around: list[_Around] = []
        for definition in sorted(self._outline.definitions.values(), key=_outer_first):
            while around and around[-1].end <= definition.node.start_byte:
                around.pop()
            if len(around) > _MAX_DEPTH or definition.kind in ("variable", "constant", "import"):
                continue
            around.append(self._enter(file, definition, around))
        if self._language == "typescript":
            _drop_overloads(file)
        file.functions.append(self._module(root))
        return file

    def _enter(self, file: ParsedFile, definition: Definition, around: list[_Around]) -> _Around:
        name = self._name(definition)
        kind, made = definition.kind, None
        if name and kind in FUNCTIONS:
            function = self._function(definition, name, around)
            file.functions.append(function)
            owner = next((unit.type for unit in reversed(around) if unit.kind != "module"), None)
            if _object_around(definition.node) is not None:
                owner = self._object(file, function)
            if owner is not None:
                owner.methods.append(function)
        elif name and kind in TYPES and definition.role == "definition":
            made = self._type(definition, name, around)
            file.types.append(made)
        names = (*self._holders(definition), name) if self._contains(definition, name) else ()
        return _Around(definition.node.end_byte, names, kind, made)

    def _object(self, file: ParsedFile, member: Function) -> Type | None:
        """The named object literal that contains a function."""
        *around, name = member.place.around
        if name == NAMELESS:
            return None
        known = (kind for kind in reversed(file.types) if kind.kind == OBJECT and kind.name == name)
        same = next((kind for kind in known if kind.place.around == tuple(around)), None)
        if same is None:
            place = replace(member.place, around=tuple(around), code="")
            same = Type(name, OBJECT, place, (), [])
            file.types.append(same)
        return same

    def _name(self, definition: Definition) -> str:
        node = definition.first("name")
        if node is None:
            return ""
        text = " ".join(self._text(node).split())
        default = text == "default" and definition.node.type == "export_statement"
        if default or self._target(definition) == _MODULE:
            # a file that imports it by its path calls it by the file's name
            stem = PurePosixPath(self._path).name.partition(".")[0]
            unnamed = stem if default or definition.kind in TYPES else WHOLE
            return self._own_name(definition) or unnamed
        return text[1:-1] if text[:1] in ("'", '"', "`") else text

    def _contains(self, definition: Definition, name: str) -> bool:
        """Whether it is a container by its name, which a test's title is not."""
        if definition.kind in FUNCTIONS:
            return self._full_name(definition, name) not in ("", WHOLE)
        return name != "" and definition.kind != "test"

    def _own_name(self, definition: Definition) -> str:
        """Name that an assigned expression has itself: ``f`` of ``a.b = function f() {}``."""
        body = definition.first("body")
        node = body.parent.child_by_field_name("name") if body and body.parent else None
        return self._text(node) if node else ""

    def _function(self, definition: Definition, name: str, around: list[_Around]) -> Function:
        body = definition.first("body")
        statements = self._statements.read(body) if body is not None else []
        callable_node = body.parent if body is not None and body.parent else definition.node
        parameters = self._parameters(callable_node)
        place = self._place(definition, around)
        calls = called_names(statements)
        return Function(
            name,
            definition.kind,
            place,
            parameters,
            statements,
            body is not None,
            calls,
            self._head(definition, callable_node, body),
            self._full_name(definition, name),
        )

    def _head(
        self, definition: Definition, callable_node: Node, body: Node | None
    ) -> tuple[str, ...]:
        whole = self._outline.widest(definition.node)
        end = body.start_byte if body is not None else whole.end_byte
        cuts = [callable_node.child_by_field_name(field) for field in ("parameters", "parameter")]
        cuts.append(definition.first("name"))
        parts, here = [], whole.start_byte
        for cut in sorted((cut for cut in cuts if cut), key=lambda cut: cut.start_byte):
            if here <= cut.start_byte <= end:
                parts.append(self._data[here : cut.start_byte])
                here = cut.end_byte
        text = b" ".join([*parts, self._data[here:end]]).decode(errors="replace")
        return tuple(_TOKEN.findall(text))

    def _full_name(self, definition: Definition, name: str) -> str:
        """Name with its assignment target, unless that is the module, this object or a holder."""
        parts = self._target(definition)
        if name and (parts == _MODULE or definition.node.type == "export_statement"):
            return self._own_name(definition) or WHOLE
        held = "_prototype" in definition.pieces or self._own_name(definition) == name
        if held or len(parts) < 2:
            return name
        while len(parts) > 1 and parts[0] in _PLAIN_HOLDERS:
            parts = parts[1:]
        return ".".join(parts)

    def _target(self, definition: Definition) -> list[str]:
        """The parts of what a definition is assigned to."""
        node = definition.node
        left = node.child_by_field_name("left") if node.type == "assignment_expression" else None
        return "".join(self._text(left).split()).split(".") if left is not None else []

    def _parameters(self, node: Node) -> tuple[Parameter, ...]:
        parameters: list[Parameter] = []
        for field in ("parameters", "parameter"):
            for group in node.children_by_field_name(field):
                single = field == "parameter" or group.type == "identifier"
                for child in [group] if single else group.named_children:
                    parameters += self._bound(child)
        if parameters and parameters[0].name in RECEIVERS:
            parameters = parameters[1:]
        return tuple(parameters)

    def _bound(self, node: Node) -> list[Parameter]:
        kind = node.child_by_field_name("type")
        default = node.child_by_field_name("value") or node.child_by_field_name("right")
        form = _FORM.match(self._text(node))
        return [
            Parameter(
                self._text(name),
                " ".join(self._text(kind).split()) if kind else "",
                " ".join(self._text(default).split()) if default else "",
                form[0] if form else "",
                name.start_point[0] + 1,
            )
            for name in bound_names(node)
        ]

    def _type(self, definition: Definition, name: str, around: list[_Around]) -> Type:
        body = definition.first("body")
        statements = self._statements.read(body) if body is not None else []
        end = body.start_byte if body is not None else definition.node.end_byte
        header = self._data[definition.node.start_byte : end].decode(errors="replace").split()
        return Type(
            name, definition.kind, self._place(definition, around), tuple(header), statements
        )

    def _place(self, definition: Definition, around: list[_Around]) -> UnitLocation:
        whole = self._outline.widest(definition.node)
        mark = definition.first("keyword") or definition.first("name") or whole
        holders = self._holders(definition)
        types = [unit.names[-1] for unit in around if unit.names and unit.kind in TYPES]
        functions = [unit.names[-1] for unit in around if unit.names and unit.kind in FUNCTIONS]
        if "receiver" in definition.pieces:
            types += holders
        names = [name for unit in around for name in unit.names] + holders
        return UnitLocation(
            path=self._path,
            language=self._language,
            around=tuple(names),
            owner=types[-1] if types else None,
            inside=functions[-1] if functions else None,
            line=mark.start_point[0] + 1,
            start_line=whole.start_point[0] + 1,
            end_line=whole.end_point[0] + 1,
            code=self._text(whole),
        )

    def _holders(self, definition: Definition) -> list[str]:
        """What holds a member from outside: a receiver, a prototype or objects, outermost first."""
        receiver = definition.first("receiver")
        if receiver is not None:
            return [self._text(receiver)]
        prototype = definition.first("_prototype")
        if prototype is not None:
            return [self._last_name(prototype.parent)]
        names = []
        node = _object_around(definition.node)
        while node is not None and node.parent is not None:
            names.append(self._holder(node.parent))
            node = _object_around(node.parent)
        return names[::-1]

    def _holder(self, node: Node) -> str:
        """Name of the variable, key or class that an object literal is given to.

        That of ``var A = B.extend({})`` is ``A``.
        """
        if node.type == "arguments" and node.parent is not None:
            node = node.parent.parent or node
        if node.type == "export_statement":
            return WHOLE
        field = {"pair": "key", "variable_declarator": "name", "assignment_expression": "left"}
        name = node.child_by_field_name(field.get(node.type, "name"))
        return NAMELESS if node.type not in field or name is None else self._last_name(name)

    def _last_name(self, node: Node | None) -> str:
        """Last name of a path, before ``prototype``."""
        text = self._text(node) if node is not None else ""
        return text.removesuffix(".prototype").rpartition(".")[2].strip("'\"`")

    def _module(self, root: Node) -> Function:
        statements: list[Statement] = self._statements.read(root)
        line = root.end_point[0] + 1
        place = UnitLocation(self._path, self._language, (), None, None, 1, 1, line, "")
        calls = called_names(statements)
        return Function("", "module", place, (), statements, True, calls, (), "")

    def _text(self, node: Node) -> str:
        return self._data[node.start_byte : node.end_byte].decode(errors="replace")


def _drop_overloads(file: ParsedFile) -> None:
    """Leave out the signatures that stand for a function's overloads beside the function itself."""
    whole = {(one.place.around, one.name) for one in file.functions if one.has_body}
    for functions in (file.functions, *(kind.methods for kind in file.types)):
        functions[:] = [
            one for one in functions if one.has_body or (one.place.around, one.name) not in whole
        ]


def _object_around(node: Node) -> Node | None:
    """The object literal that a node is a member of."""
    around = node.parent if node.type in ("pair", "method_definition") else None
    return around if around is not None and around.type == "object" else None


def _outer_first(definition: Definition) -> tuple[int, int, int]:
    return definition.node.start_byte, -definition.node.end_byte, definition.pattern
