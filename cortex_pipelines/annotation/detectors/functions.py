"""Boolean flags and feature envy."""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    FUNCTIONS,
    child,
    folded,
    parameters_of,
    text,
    within,
)
from cortex_pipelines.annotation.complexity.syntax import types_of
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence

_MAX_FUNCTION_BYTES = 20_000
_TRUE = frozenset({"True", "False", "true", "false"})
_BOOLEAN = frozenset({"bool", "boolean", ": boolean", ": bool"})
# Constructors, setters and predicates: their boolean is a value, not a mode.
_STATED = ("__init__", "__new__", "constructor", "set", "is_", "has_", "with", "Set", "With", "New")


def name_of(parameter: Node) -> str:
    """Name of a parameter; empty for a pattern."""
    named = child(parameter, "name", "pattern", "left")
    if named is None and parameter.type == "identifier":
        named = parameter
    if named is None:
        named = next((part for part in parameter.named_children if part.type == "identifier"), None)
    return text(named) if named is not None and named.child_count == 0 else ""


class BooleanFlag(Detector):
    """A boolean parameter that switches a function between two behaviours."""

    labels = ("boolean-flag",)
    types: ClassVar = FUNCTIONS

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Boolean parameters used alone as a branch condition."""
        node = seen.node
        name, body = text(child(node, "name")), child(node, "body")
        if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES:
            return
        if name.startswith(_STATED):
            return
        flags = {
            name_of(parameter): parameter
            for parameter in parameters_of(node)
            if _is_flag(parameter)
        }
        if not flags:
            return
        asked = set()
        for branch in within(body, types_of("if", place.language), FUNCTIONS[place.language]):
            asked.add(folded(child(branch, "condition")).strip("() !").removeprefix("not "))
        for flag, parameter in flags.items():
            if flag and flag in asked:
                yield evidence("boolean-flag", parameter)


def _is_flag(parameter: Node) -> bool:
    value, kind = child(parameter, "value", "right"), child(parameter, "type")
    if kind is not None:
        return folded(kind) in _BOOLEAN
    return text(value) in _TRUE


_ACCESSES = {
    "python": ("attribute", "object", frozenset({"self", "cls"})),
    "javascript": ("member_expression", "object", frozenset({"this"})),
    "typescript": ("member_expression", "object", frozenset({"this"})),
    "java": ("field_access method_invocation", "object", frozenset({"this"})),
    "rust": ("field_expression", "value", frozenset({"self"})),
}


class FeatureEnvy(Detector):
    """A method that uses another object's data far more than its own."""

    labels = ("feature-envy",)
    types: ClassVar = {
        "python": frozenset({"function_definition"}),
        "javascript": frozenset({"method_definition"}),
        "typescript": frozenset({"method_definition"}),
        "java": frozenset({"method_declaration"}),
        "rust": frozenset({"function_item"}),
    }

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Methods that mostly access one parameter's members."""
        node, settings = seen.node, place.settings
        body = child(node, "body")
        if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES:
            return
        names = [name_of(parameter) for parameter in parameters_of(node)]
        code = node.text or b""
        often = [
            candidate
            for candidate in names
            if candidate and code.count(candidate.encode() + b".") >= settings.min_envied
        ]
        if not often or not _is_method(seen, place.language):
            return
        types, owner, selves = _ACCESSES[place.language]
        used: Counter[str] = Counter()
        for candidate in within(body, types.split()):
            object_ = child(candidate, owner)
            if object_ is not None and object_.child_count == 0:
                used[text(object_)] += 1
        own = sum(used[name] for name in selves)
        for name in often:
            envied = name not in selves and used[name] >= settings.min_envied
            if envied and used[name] >= settings.envy_ratio * max(own, 1):
                yield evidence("feature-envy", node)
                return


def _is_method(seen: NodeVisit, language: str) -> bool:
    """Whether a function is an instance method; static methods and constructors are not."""
    if language == "python":
        first = next(iter(parameters_of(seen.node)), None)
        dunder = text(child(seen.node, "name")).startswith("__")
        return first is not None and text(first) == "self" and not dunder
    if language == "rust":
        listed = child(seen.node, "parameters")
        return listed is not None and any(
            parameter.type == "self_parameter" for parameter in listed.named_children
        )
    header = folded(seen.node)[:200].split("(")[0]
    return "static" not in header.split() and text(child(seen.node, "name")) != "constructor"
