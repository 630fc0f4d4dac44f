"""Parts of a class, in languages that define methods inside the class body."""

from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import bare, child, normalized_text, statements, text

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
