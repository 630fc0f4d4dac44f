"""Decorator functions, and returns that swallow exceptions."""

import re
from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import child, descendants, normalized_text, statements, text
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence

_MAX_FUNCTION_BYTES = 20_000
_PASSED_ON = re.compile(r"(?<![\w.])(\w+)(?:\.apply|\.call|\.ServeHTTP)?\(\s*(?:\*|\.\.\.|\w+, \*|this|w, r|arg)")


class WrappingFunction(Detector):
    labels = ("decorator",)
    types: ClassVar = {
        "python": frozenset({"function_definition"}),
        "javascript": frozenset({"function_declaration", "arrow_function"}),
        "typescript": frozenset({"function_declaration", "arrow_function"}),
        "go": frozenset({"function_declaration"}),
    }

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        node = visit.node
        body = child(node, "body")
        if body is None or node.end_byte - node.start_byte > _MAX_FUNCTION_BYTES or visit.function is not None:
            return
        parameter_names = {
            text(identifier) for identifier in descendants(child(node, "parameters") or node, {"identifier"})
        }
        inner = _returned_function(body, context.language)
        if inner is None:
            return
        code = normalized_text(child(inner, "body"))
        if any(passed[1] in parameter_names for passed in _PASSED_ON.finditer(code)):
            yield evidence("decorator", inner)


def _returned_function(body: Node, language: str) -> Node | None:
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
    return next(descendants(last[0], functions), None)


class ReturnInFinally(Detector):
    labels = ("return-in-finally",)
    types: ClassVar = {
        language: frozenset({"finally_clause"}) for language in ("python", "javascript", "typescript", "java")
    }

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        body = child(visit.node, "body") or next(
            (part for part in visit.node.named_children if not part.is_extra), None
        )
        for statement in statements(body):
            if statement.type == "return_statement":
                yield evidence("return-in-finally", statement)
