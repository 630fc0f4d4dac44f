"""Calls of a similar but wrong method or function."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere, replace_part, swapping
from cortex_pipelines.augmentation.node_table import NodeTable

_FAMILY: Literal["identifier"] = "identifier"

# Pairs that take the same arguments and give the same type.
_PAIRS = {
    "python": swapping(
        ("startswith", "endswith"),
        ("lower", "upper"),
        ("lstrip", "rstrip"),
        ("split", "rsplit"),
        ("partition", "rpartition"),
        ("find", "rfind"),
        ("ljust", "rjust"),
        ("removeprefix", "removesuffix"),
        ("append", "extend"),
        ("min", "max"),
        ("any", "all"),
        ("keys", "values"),
        ("add", "discard"),
        ("encode", "decode"),
    )
    | {"strip": ("lstrip", "rstrip"), "items": ("keys",)},
    "javascript": swapping(
        ("startsWith", "endsWith"),
        ("toLowerCase", "toUpperCase"),
        ("trimStart", "trimEnd"),
        ("indexOf", "lastIndexOf"),
        ("padStart", "padEnd"),
        ("push", "unshift"),
        ("pop", "shift"),
        ("some", "every"),
        ("min", "max"),
        ("floor", "ceil"),
        ("keys", "values"),
        ("filter", "map"),
    )
    | {"trim": ("trimStart", "trimEnd"), "slice": ("splice",)},
    "java": swapping(
        ("startsWith", "endsWith"),
        ("toLowerCase", "toUpperCase"),
        ("indexOf", "lastIndexOf"),
        ("min", "max"),
        ("anyMatch", "allMatch"),
        ("floor", "ceil"),
        ("addFirst", "addLast"),
        ("containsKey", "containsValue"),
        ("keySet", "values"),
    )
    | {"equals": ("equalsIgnoreCase",), "put": ("putIfAbsent",)},
    "go": swapping(
        ("HasPrefix", "HasSuffix"),
        ("ToLower", "ToUpper"),
        ("TrimLeft", "TrimRight"),
        ("TrimPrefix", "TrimSuffix"),
        ("Index", "LastIndex"),
        ("Min", "Max"),
        ("Floor", "Ceil"),
        ("Lock", "RLock"),
    )
    | {"TrimSpace": ("ToLower",), "Contains": ("HasPrefix",), "Split": ("SplitAfter",)},
    "rust": swapping(
        ("starts_with", "ends_with"),
        ("to_lowercase", "to_uppercase"),
        ("trim_start", "trim_end"),
        ("find", "rfind"),
        ("min", "max"),
        ("any", "all"),
        ("first", "last"),
        ("is_some", "is_none"),
        ("is_ok", "is_err"),
        ("push_back", "push_front"),
        ("pop_back", "pop_front"),
        ("keys", "values"),
    )
    | {"trim": ("trim_start", "trim_end")},
}
_PAIRS["typescript"] = _PAIRS["javascript"]
CALLS = everywhere("call_expression", python="call", java="method_invocation")
"""Node types of calls, by language."""


class SimilarMethod(Operator):
    name = "similar_method"
    error_type = _FAMILY
    weight = 4
    places = CALLS
    explanation = "{wrong} calls {new} where {old} is needed; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name = callee_name(node)
        if name is not None:
            for other in _PAIRS[view.language].get(view.code(name), ()):
                yield replace_part(view, node, name, other)


def callee_name(call: Node) -> Node | None:
    if call.type == "method_invocation":
        return call.child_by_field_name("name")
    function = call.child_by_field_name("function")
    for field in ("attribute", "property", "field"):
        part = function.child_by_field_name(field) if function is not None else None
        if part is not None:
            return part
    return function if function is not None and function.type == "identifier" else None
