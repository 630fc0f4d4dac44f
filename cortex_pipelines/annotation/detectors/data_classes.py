import re
from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.class_model import CONSTRUCTORS, ClassModel
from cortex_pipelines.annotation.complexity.nodes import bare, child, normalized_text, statements
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence

_MAX_CLASS_BYTES = 200_000
_ACCESS = re.compile(r"^(get|set|is|has)[A-Z_]")


class DataClass(Detector):
    labels = ("data-class",)
    types: ClassVar = {
        "python": frozenset({"class_definition"}),
        "javascript": frozenset({"class_declaration"}),
        "typescript": frozenset({"class_declaration"}),
        "java": frozenset({"class_declaration"}),
    }

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        decorated = visit.parent is not None and visit.parent.type == "decorated_definition"
        if decorated or visit.node.end_byte - visit.node.start_byte > _MAX_CLASS_BYTES:
            return
        name_node = child(visit.node, "name")
        if name_node is not None and _only_keeps(ClassModel(visit.node, context.language)):
            yield evidence("data-class", name_node)


def _only_keeps(model: ClassModel) -> bool:
    if model.ancestors:
        return False
    other_members = [
        name for name, method in model.methods.items() if name not in CONSTRUCTORS and not _is_access(method, name)
    ]
    return not other_members and _kept_values(model) >= 2


def _is_access(method: Node, name: str) -> bool:
    inside = statements(child(method, "body"))
    if name in ("__repr__", "__eq__", "__str__", "toString", "equals", "hashCode", "__hash__"):
        return True
    plain = len(inside) == 1 and re.fullmatch(
        r"return ((self|this)\.)?\w+;?|((self|this)\.)?\w+ = \w+;?", normalized_text(bare(inside[0]))
    )
    return bool(plain and (_ACCESS.match(name) or normalized_text(method)[:3] in ("get", "set")))


def _kept_values(model: ClassModel) -> int:
    fields = [member for member in model.members if "field" in member.type]
    maker = model.constructor
    if maker is None or model.language == "java":
        return len(fields)
    inside = statements(child(maker, "body"))
    plain = [
        statement
        for statement in inside
        if re.fullmatch(r"(self|this)\.\w+(: [^=]+)? = [\w.\[\]{}\"']*;?", normalized_text(bare(statement)))
    ]
    if len(plain) < len(
        [statement for statement in inside if not normalized_text(statement).startswith(('"', "super"))]
    ):
        return 0
    return len(plain) + len(fields)
