"""Local variables of a Python function, by Python's scoping rules.

Follows "Resolution of names" in the language reference: a name bound anywhere in a function is
local to it unless declared global or nonlocal; a class body is skipped when a nested function looks
a name up; a comprehension has a scope of its own but for its first iterable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.snippets import Snippet, text_of, walk


@dataclass(frozen=True)
class LocalVariable:
    """A local variable of one unit, with the byte spans where it is bound or used, in order."""

    name: str
    places: tuple[tuple[int, int], ...]


# What can see a local variable by its name at run time: where one of these words is used, nothing is renamed.
_SEES_NAMES = split_words("locals vars eval exec dir query sql currentframe _getframe f_locals f_back")
_COMPREHENSIONS = split_words("list_comprehension set_comprehension dictionary_comprehension generator_expression")
_TARGETS = split_words(
    "pattern_list tuple_pattern list_pattern list_splat_pattern as_pattern_target "
    "expression_list parenthesized_expression tuple list list_splat"
)
_FIXING = split_words(
    "import_statement import_from_statement future_import_statement case_pattern dotted_name "
    "type_parameter type_alias_statement"
)


@dataclass(eq=False)
class _Scope:
    kind: str
    parent: "_Scope | None"
    bound: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)

    def fix(self, name: str) -> None:
        self.bound.add(name)
        self.fixed.add(name)

    def owner_of(self, name: str) -> "_Scope | None":
        scope: _Scope | None = self
        while scope is not None:
            if scope is self or scope.kind != "class":
                if name in scope.global_names:
                    return None
                if name in scope.bound and name not in scope.nonlocal_names:
                    return scope
            scope = scope.parent
        return None


@dataclass
class _Names:
    uses: list[tuple[str, Node, _Scope]] = field(default_factory=list)
    pinned: set[str] = field(default_factory=set)

    def bind(self, name: Node, scope: _Scope) -> None:
        scope.bound.add(text_of(name))
        self.uses.append((text_of(name), name, scope))


def python_locals(snippet: Snippet) -> list[LocalVariable]:
    """Local variables that may be renamed, with all their uses.

    Parameters are not among them (a caller may pass them by keyword), nor names of imports,
    nested functions and classes, captures of ``match`` and names that ``f"{x=}"`` prints. A unit
    that could look its variables up by name (``locals``, ``eval``, ...) has none.
    """
    identifiers = [node for node in walk(snippet.tree.root_node) if node.type == "identifier"]
    if any(text_of(node) in _SEES_NAMES for node in identifiers):
        return []
    names = _Names()
    stack = [(snippet.tree.root_node, _Scope("module", None))]
    while stack:
        stack.extend(_enter(*stack.pop(), names))
    occurrences: dict[tuple[int, str], list[Node]] = {}
    for name, node, scope in names.uses:
        owner = scope.owner_of(name)
        if owner is None or owner.kind not in ("function", "lambda", "comprehension"):
            continue
        # names that begin with two underscores are mangled inside a class
        is_plain = not name.startswith("__") and name.strip("_") != ""
        if is_plain and name not in owner.fixed and name not in names.pinned:
            occurrences.setdefault((id(owner), name), []).append(node)
    return [
        LocalVariable(name, tuple(sorted({snippet.span(node) for node in nodes})))
        for (_, name), nodes in occurrences.items()
    ]


def _enter(node: Node, scope: _Scope, names: _Names) -> Iterator[tuple[Node, _Scope]]:
    kind = node.type
    if kind == "identifier":
        names.uses.append((text_of(node), node, scope))
    elif kind in ("function_definition", "lambda"):
        yield from _enter_function(node, scope)
    elif kind == "class_definition":
        yield from _enter_class(node, scope)
    elif kind in _COMPREHENSIONS:
        yield from _enter_comprehension(node, scope, names)
    elif kind in _FIXING:
        _fix_all(node, scope)
    elif kind == "global_statement":
        scope.global_names |= {text_of(name) for name in node.named_children}
    elif kind == "nonlocal_statement":
        for name in node.named_children:
            scope.nonlocal_names.add(text_of(name))
            names.uses.append((text_of(name), name, scope))
    elif kind == "named_expression":
        yield from _parts(node, scope, skip=("name",))
        outer = scope
        while outer.kind == "comprehension" and outer.parent is not None:
            outer = outer.parent
        for target in node.children_by_field_name("name"):
            yield from _bind_targets(target, outer, names)
    elif kind == "assignment" and (
        (annotated := node.child_by_field_name("left")) is not None
        and annotated.type != "identifier"
        and node.child_by_field_name("right") is None
    ):  # ``(x): int`` does not make x local, unlike ``x: int``
        yield from ((part, scope) for part in node.named_children)
    elif kind in ("assignment", "augmented_assignment", "for_statement", "for_in_clause"):
        yield from _parts(node, scope, skip=("left",))
        for target in node.children_by_field_name("left"):
            yield from _bind_targets(target, scope, names)
    elif kind in ("as_pattern_target", "delete_statement"):
        for target in node.named_children:
            yield from _bind_targets(target, scope, names)
    elif kind == "attribute":
        yield from _parts(node, scope, skip=("attribute",))
    elif kind == "keyword_argument":
        yield from _parts(node, scope, skip=("name",))
    else:
        if kind == "interpolation" and any(child.type == "=" for child in node.children):
            names.pinned.update(text_of(n) for n in walk(node) if n.type == "identifier")
        yield from ((child, scope) for child in node.named_children)


def _parts(node: Node, scope: _Scope, skip: tuple[str, ...]) -> Iterator[tuple[Node, _Scope]]:
    skipped = [child for name in skip for child in node.children_by_field_name(name)]
    yield from ((child, scope) for child in node.named_children if child not in skipped)


def _fix_all(node: Node, scope: _Scope) -> None:
    for part in walk(node):
        if part.type == "identifier":
            scope.fix(text_of(part))


def _bind_targets(target: Node, scope: _Scope, names: _Names) -> Iterator[tuple[Node, _Scope]]:
    stack = [target]
    while stack:
        part = stack.pop()
        if part.type == "identifier":
            names.bind(part, scope)
        elif part.type in _TARGETS:
            stack.extend(part.named_children)
        else:  # an attribute or item is assigned to: its parts are only read
            yield part, scope


def _enter_function(node: Node, scope: _Scope) -> Iterator[tuple[Node, _Scope]]:
    inner = _Scope("lambda" if node.type == "lambda" else "function", scope)
    name = node.child_by_field_name("name")
    if name is not None:
        scope.fix(text_of(name))
    for parameters in node.children_by_field_name("parameters"):
        for parameter in parameters.named_children:
            yield from _enter_parameter(parameter, scope, inner)
    for types in node.children_by_field_name("type_parameters"):
        _fix_all(types, inner)
    for annotation in node.children_by_field_name("return_type"):
        yield annotation, scope
    for body in node.children_by_field_name("body"):
        yield body, inner


def _enter_parameter(parameter: Node, scope: _Scope, inner: _Scope) -> Iterator[tuple[Node, _Scope]]:
    # Defaults and annotations are evaluated where the function is defined.
    outside = [part for name in ("value", "type") for part in parameter.children_by_field_name(name)]
    yield from ((part, scope) for part in outside)
    if parameter.type == "identifier":
        inner.fix(text_of(parameter))
    for part in parameter.named_children:
        if part not in outside:
            _fix_all(part, inner)


def _enter_class(node: Node, scope: _Scope) -> Iterator[tuple[Node, _Scope]]:
    inner = _Scope("class", scope)
    for part in node.named_children:
        if part in node.children_by_field_name("name"):
            scope.fix(text_of(part))
        elif part in node.children_by_field_name("type_parameters"):
            _fix_all(part, inner)
        else:
            yield part, inner if part in node.children_by_field_name("body") else scope


def _enter_comprehension(node: Node, scope: _Scope, names: _Names) -> Iterator[tuple[Node, _Scope]]:
    inner = _Scope("comprehension", scope)
    first = next((part for part in node.named_children if part.type == "for_in_clause"), None)
    yield from ((part, inner) for part in node.named_children if part != first)
    if first is not None:
        # The clause binds in the inner scope, but the first iterable is evaluated in the outer one.
        yield from _parts(first, scope, skip=("left",))
        for target in first.children_by_field_name("left"):
            yield from _bind_targets(target, inner, names)
