"""Data classes: classes without behaviour."""

import re
from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.class_model import CONSTRUCTORS, ClassModel
from cortex_pipelines.annotation.complexity.nodes import bare, child, folded, statements
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence

_MAX_CLASS_BYTES = 200_000
_ACCESS = re.compile(r"^(get|set|is|has)[A-Z_]")


class DataClass(Detector):
    """A class that only stores values with accessors."""

    labels = ("data-class",)
    types: ClassVar = {
        "python": frozenset({"class_definition"}),
        "javascript": frozenset({"class_declaration"}),
        "typescript": frozenset({"class_declaration"}),
        "java": frozenset({"class_declaration"}),
    }

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """The class name, unless it is declared a data class or inherits."""
        decorated = seen.parent is not None and seen.parent.type == "decorated_definition"
        if decorated or seen.node.end_byte - seen.node.start_byte > _MAX_CLASS_BYTES:
            return
        named = child(seen.node, "name")
        if named is not None and _only_keeps(ClassModel(seen.node, place.language)):
            yield evidence("data-class", named)


def _only_keeps(model: ClassModel) -> bool:
    if model.ancestors:
        return False
    others = [
        name
        for name, method in model.methods.items()
        if name not in CONSTRUCTORS and not _is_access(method, name)
    ]
    return not others and _kept_values(model) >= 2


def _is_access(method: Node, name: str) -> bool:
    inside = statements(child(method, "body"))
    if name in ("__repr__", "__eq__", "__str__", "toString", "equals", "hashCode", "__hash__"):
        return True
    plain = len(inside) == 1 and re.fullmatch(
        r"return ((self|this)\.)?\w+;?|((self|this)\.)?\w+ = \w+;?", folded(bare(inside[0]))
    )
    return bool(plain and (_ACCESS.match(name) or folded(method)[:3] in ("get", "set")))


def _kept_values(model: ClassModel) -> int:
    fields = [member for member in model.members if "field" in member.type]
    maker = model.constructor
    if maker is None or model.language == "java":
        return len(fields)
    inside = statements(child(maker, "body"))
    plain = [
        statement
        for statement in inside
        if re.fullmatch(r"(self|this)\.\w+(: [^=]+)? = [\w.\[\]{}\"']*;?", folded(bare(statement)))
    ]
    if len(plain) < len(
        [statement for statement in inside if not folded(statement).startswith(('"', "super"))]
    ):
        return 0
    return len(plain) + len(fields)
