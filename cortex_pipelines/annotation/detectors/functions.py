"""Boolean flags, feature envy and other findings about declarations."""

import re
from collections import Counter
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    FUNCTIONS,
    IFS,
    child,
    descendants,
    normalized_text,
    parameters_of,
    statements,
    text,
)
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence

_MAX_FUNCTION_BYTES = 20_000
_TRUE = frozenset({"True", "False", "true", "false"})
_BOOLEAN = frozenset({"bool", "boolean", ": boolean", ": bool"})
# Constructors, setters, predicates and assertions: their boolean is a value, not a mode.
_STATED = ("__init__", "__new__", "constructor", "set", "is_", "has_", "with", "Set", "With", "New", "assert", "Assert")


def name_of(parameter: Node) -> str:
    name_node = child(parameter, "name", "pattern", "left")
    if name_node is None and parameter.type == "identifier":
        name_node = parameter
    if name_node is None:
        name_node = next((part for part in parameter.named_children if part.type == "identifier"), None)
    return text(name_node) if name_node is not None and name_node.child_count == 0 else ""


@detector("boolean-flag", types=FUNCTIONS)
def boolean_flag(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    node = visit.node
    name, body = text(child(node, "name")), child(node, "body")
    if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES or name.startswith(_STATED):
        return
    flags = {}
    for parameter in parameters_of(node):
        value, kind = child(parameter, "value", "right"), child(parameter, "type")
        if text(value) in _TRUE if kind is None else normalized_text(kind) in _BOOLEAN:
            flags[name_of(parameter)] = parameter
    branches = descendants(body, IFS[context.language], FUNCTIONS[context.language]) if flags else ()
    conditions = {normalized_text(child(branch, "condition")).strip("() !").removeprefix("not ") for branch in branches}
    for flag, parameter in flags.items():
        if flag and flag in conditions:
            yield evidence("boolean-flag", parameter)


_ACCESSES = {
    "python": ("attribute", "object", frozenset({"self", "cls"})),
    "javascript": ("member_expression", "object", frozenset({"this"})),
    "typescript": ("member_expression", "object", frozenset({"this"})),
    "java": ("field_access method_invocation", "object", frozenset({"this"})),
    "rust": ("field_expression", "value", frozenset({"self"})),
}


@detector(
    "feature-envy",
    python="function_definition",
    script="method_definition",
    java="method_declaration",
    rust="function_item",
)
def feature_envy(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    node, settings = visit.node, context.settings
    body = child(node, "body")
    if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES:
        return
    names = [name_of(parameter) for parameter in parameters_of(node)]
    code = node.text or b""
    often = [
        candidate for candidate in names if candidate and code.count(candidate.encode() + b".") >= settings.min_envied
    ]
    if not often or not _is_method(visit, context.language):
        return
    types, owner, selves = _ACCESSES[context.language]
    used: Counter[str] = Counter()
    for candidate in descendants(body, types.split()):
        object_ = child(candidate, owner)
        if object_ is not None and object_.child_count == 0:
            used[text(object_)] += 1
    own_accesses = sum(used[name] for name in selves)
    for name in often:
        envied = name not in selves and used[name] >= settings.min_envied
        if envied and used[name] >= settings.envy_ratio * max(own_accesses, 1):
            yield evidence("feature-envy", node)
            return


def _is_method(visit: NodeVisit, language: str) -> bool:
    if language == "python":
        first = next(iter(parameters_of(visit.node)), None)
        dunder = text(child(visit.node, "name")).startswith("__")
        return first is not None and text(first) == "self" and not dunder
    if language == "rust":
        parameter_list = child(visit.node, "parameters")
        return parameter_list is not None and any(
            parameter.type == "self_parameter" for parameter in parameter_list.named_children
        )
    header = normalized_text(visit.node)[:200].split("(")[0]
    return "static" not in header.split() and text(child(visit.node, "name")) != "constructor"


_PASSED_ON = re.compile(r"(?<![\w.])(\w+)(?:\.apply|\.call|\.ServeHTTP)?\(\s*(?:\*|\.\.\.|\w+, \*|this|w, r|arg)")


@detector(
    "decorator", python="function_definition", script="arrow_function function_declaration", go="function_declaration"
)
def wrapping_function(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    node = visit.node
    body = child(node, "body")
    if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES or visit.function is not None:
        return
    parameter_names = {
        text(identifier) for identifier in descendants(child(node, "parameters") or node, {"identifier"})
    }
    inner = _returned_function(body, context.language, parameter_names)
    if inner is None:
        return
    code = normalized_text(child(inner, "body"))
    if any(passed[1] in parameter_names for passed in _PASSED_ON.finditer(code)):
        yield evidence("decorator", inner)


_METHOD_OF = re.compile(r"return\s+\(*(\w+)\s*\??\.")


def _returned_function(body: Node, language: str, parameters: set[str]) -> Node | None:
    """The function that is returned, as it is or wrapped (``http.HandlerFunc(func…)``), but no callback of a method of
    what came in (``keys.map(key => …)``)."""
    if language == "python":
        inner = {
            text(child(definition, "name")): definition
            for raw in body.named_children
            for definition in [child(raw, "definition") or raw]
            if definition.type == "function_definition"
        }
        last = statements(body)[-1:] or [body]
        return inner.get(normalized_text(last[0]).removeprefix("return "))
    functions = {"arrow_function", "function_expression", "func_literal"}
    if body.type in functions:
        return body
    last = statements(body)[-1:]
    if not last or last[0].type != "return_statement":
        return None
    is_callback = _METHOD_OF.match(text(last[0]))
    return None if is_callback and is_callback[1] in parameters else next(descendants(last[0], functions), None)


@detector("return-in-finally", python="finally_clause", script="finally_clause", java="finally_clause")
def return_in_finally(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    body = child(visit.node, "body") or next((part for part in visit.node.named_children if not part.is_extra), None)
    for statement in statements(body):
        if statement.type == "return_statement":
            yield evidence("return-in-finally", statement)


@detector("var-declaration", script="variable_declaration")
def var_declaration(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    around = {outer.type for outer in (visit.parent, visit.grandparent) if outer is not None}
    # only `var` declares a global that stands elsewhere
    if not around & {"ambient_declaration", "module"} and text(visit.node).startswith("var"):
        yield evidence("var-declaration", visit.node)
