"""Uniform access to the syntax nodes of six grammars."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.syntax import node_types, types_of
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_LONG = 4000  # bytes
BLOCKS = frozenset({"block", "statement_block", "constructor_body", "statement_list"})
LEAVING = node_types(
    "return_statement raise_statement throw_statement break_statement continue_statement return_expression "
    "break_expression continue_expression goto_statement"
)
_PARAMETERS = node_types(
    "identifier typed_parameter default_parameter typed_default_parameter required_parameter optional_parameter "
    "assignment_pattern formal_parameter parameter_declaration parameter"
)
STRINGS = {language: types_of("literal", language) - {"regex"} for language in LANGUAGES}
FUNCTIONS, IFS, TERNARIES, COMMENTS = (
    {language: types_of(role, language) for language in LANGUAGES} for role in ("function", "if", "ternary", "skip")
)


def text(node: Node | None) -> str:
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def child(node: Node, *fields: str) -> Node | None:
    for field in fields:
        field_child = node.child_by_field_name(field)
        if field_child is not None:
            return field_child
    return None


def statements(node: Node | None) -> list[Node]:
    """Statements of a block without comments; a single statement counts as a block."""
    if node is None:
        return []
    while node.type in BLOCKS or node.type == "else_clause":
        inside = [statement for statement in node.named_children if not statement.is_extra]
        # blocks of Go hold a list of statements
        if len(inside) == 1 and inside[0].type in BLOCKS:
            node = inside[0]
        else:
            return inside
    return [node]


def bare(statement: Node) -> Node:
    """A statement without its ``expression_statement`` wrapper or parentheses."""
    while statement.type in ("expression_statement", "parenthesized_expression"):
        inside = [part for part in statement.named_children if not part.is_extra]
        if len(inside) != 1:
            break
        statement = inside[0]
    return statement


def leaves(statement: Node | None) -> bool:
    """Whether a statement always exits its block: return, raise, break, continue."""
    return statement is not None and bare(statement).type in LEAVING


def descendants(node: Node, types: Collection[str], barred: Collection[str] = ()) -> Iterator[Node]:
    pending = list(reversed(node.named_children))
    while pending:
        descendant = pending.pop()
        if descendant.type in types:
            yield descendant
        if descendant.type not in barred:
            pending += reversed(descendant.named_children)


def normalized_text(node: Node | None) -> str:
    """Node text with white space collapsed, for comparison; empty for long text.

    Nested nodes are each asked for their text: without a limit the cost would be quadratic.
    """
    if node is None or node.end_byte - node.start_byte > _LONG:
        return ""
    return " ".join(text(node).split())


def parameters_of(function: Node) -> list[Node]:
    """Parameters in order, without separators and comments."""
    parameter_list = child(function, "parameters")
    candidates = parameter_list.named_children if parameter_list is not None else []
    return [parameter for parameter in candidates if parameter.type in _PARAMETERS]


METHODS = frozenset({"function_definition", "method_definition", "method_declaration", "function_item"})
CONSTRUCTORS = frozenset({"__init__", "constructor", "new"})


@dataclass(frozen=True)
class ClassModel:
    """A class with its name, members, direct methods and ancestors."""

    node: Node
    language: str

    @cached_property
    def name(self) -> str:
        return text(child(self.node, "name", "type"))

    @cached_property
    def members(self) -> list[Node]:
        body = child(self.node, "body")
        inside = body.named_children if body is not None else []
        return [child(member, "definition") or member for member in inside if not member.is_extra]

    @cached_property
    def methods(self) -> dict[str, Node]:
        return {text(child(method, "name")): method for method in self.members if method.type in METHODS}

    @cached_property
    def constructor(self) -> Node | None:
        constructors = [member for member in self.members if member.type == "constructor_declaration"]
        by_name = [self.methods[name] for name in sorted(CONSTRUCTORS & set(self.methods))]
        return (constructors + by_name or [None])[0]  # type: ignore[list-item]

    @cached_property
    def ancestors(self) -> str:
        """Source text of base classes and interfaces."""
        clauses = [child(self.node, "superclasses", "superclass"), child(self.node, "interfaces")]
        heritage = [clause for clause in self.node.named_children if clause.type == "class_heritage"]
        return " ".join(normalized_text(clause) for clause in [*clauses, *heritage] if clause is not None)


def last_statement(method: Node) -> Node | None:
    inside = statements(child(method, "body"))
    return bare(inside[-1]) if inside else None
