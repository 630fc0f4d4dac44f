"""Missing wrappers: ``await``, checks, locks, copies, handlers."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    on,
    reindented,
    remove_statement,
    replace_node,
    replace_span,
)
from cortex_pipelines.augmentation.mutation.operators.calls import CALLS, callee_name
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_FAMILY: Literal["removal"] = "removal"


def unwrapped(node: Node, inner: Node, view: NodeTable) -> TextEdit:
    return replace_node(view, node, view.code(inner))


class RemovedAwait(Operator):
    name = "removed_await"
    error_type = _FAMILY
    weight = 3
    places = on(python="await", javascript="await_expression", typescript="await_expression", rust="await_expression")
    explanation = "{wrong} is not waited for; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        awaited = next((part for part in node.named_children if part.type not in COMMENTS), None)
        if awaited is not None:
            yield unwrapped(node, awaited, view)


class RemovedOptionalChain(Operator):
    name = "removed_optional_chain"
    error_type = _FAMILY
    weight = 3
    places = on(
        javascript="member_expression call_expression subscript_expression",
        typescript="member_expression call_expression subscript_expression",
    )
    explanation = "{wrong} fails where the value is missing; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        for part in node.children:
            if part.type in ("optional_chain", "?."):
                other = "." if node.type == "member_expression" else ""
                yield replace_span(view, node, part.start_byte, part.end_byte, other)


class RemovedErrorPropagation(Operator):
    name = "removed_error_propagation"
    error_type = _FAMILY
    weight = 2
    places = on(rust="try_expression")
    explanation = "an error is not passed on by {wrong}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        inner = node.children[0]
        yield unwrapped(node, inner, view)
        yield replace_span(view, node, inner.end_byte, node.end_byte, ".unwrap()")


class RemovedFallback(Operator):
    name = "removed_fallback"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="call",
        javascript="binary_expression",
        typescript="binary_expression",
        java="method_invocation",
        rust="call_expression",
    )
    explanation = "{wrong} has no value where there is none; {old} gives one: write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if node.type == "binary_expression":
            value, sign = node.child_by_field_name("left"), node.child_by_field_name("operator")
            if value is not None and sign is not None and sign.type == "??":
                yield replace_span(view, node, value.end_byte, node.end_byte, "")
            return
        name, arguments = callee_name(node), node.child_by_field_name("arguments")
        if name is None or arguments is None:
            return
        parts = [part for part in arguments.named_children if part.type not in COMMENTS]
        shorter = _FALLBACKS.get((view.language, view.code(name), len(parts)))
        if shorter is None:
            return
        if view.language == "python":
            start = parts[-2].end_byte
            change = replace_span(view, node, start, parts[-1].end_byte, "")
            lost = view.code(parts[-1])
            yield TextEdit(start, parts[-1].end_byte, "", change.right, change.wrong, lost, "")
        else:
            start = name.start_byte
            first = view.code(parts[0]) if view.language == "java" and len(parts) == 2 else ""
            yield replace_span(view, node, start, node.end_byte, f"{shorter}({first})")


_FALLBACKS = {
    ("python", "get", 2): "get",
    ("python", "getattr", 3): "getattr",
    ("python", "pop", 2): "pop",
    ("python", "next", 2): "next",
    ("java", "getOrDefault", 2): "get",
    ("java", "orElse", 1): "get",
    ("java", "orElseGet", 1): "get",
    ("rust", "unwrap_or", 1): "unwrap",
    ("rust", "unwrap_or_else", 1): "unwrap",
    ("rust", "unwrap_or_default", 0): "unwrap",
}


class RemovedConversion(Operator):
    name = "removed_conversion"
    error_type = _FAMILY
    weight = 3
    places = CALLS
    explanation = "{wrong} is used as it is, without {old}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name, arguments = callee_name(node), node.child_by_field_name("arguments")
        if name is None or arguments is None or view.parent_type(node) == "expression_statement":
            return
        parts = [part for part in arguments.named_children if part.type not in COMMENTS]
        text = view.code(name)
        receiver = node.child_by_field_name("object")
        function = node.child_by_field_name("function")
        if function is not None and function.id != name.id:
            receiver = function.named_children[0]
        if receiver is None and len(parts) == 1 and text in _CONVERTERS[view.language]:
            if parts[0].type in _VALUES:
                yield _naming(unwrapped(node, parts[0], view), text)
        elif receiver is not None and not parts and text in _CLEANERS[view.language]:
            yield _naming(unwrapped(node, receiver, view), text)
        elif receiver is not None and len(parts) == 1 and _is_go_cleaner(receiver, text, view):
            yield _naming(unwrapped(node, parts[0], view), text)


def _is_go_cleaner(receiver: Node, name: str, view: NodeTable) -> bool:
    return view.language == "go" and view.code(receiver) == "strings" and name in _CLEANERS["go"]


def _naming(change: TextEdit, name: str) -> TextEdit:
    return TextEdit(change.start, change.end, change.replacement, change.right, change.wrong, name, change.new)


_VALUES = split_words(
    "identifier attribute call subscript member_expression call_expression subscript_expression "
    "selector_expression index_expression field_expression string binary_operator"
)
_CONVERTERS = {
    "python": split_words("int str float bool list tuple set sorted reversed abs len bytes dict round"),
    "javascript": split_words("Number String parseInt parseFloat Boolean"),
    "typescript": split_words("Number String parseInt parseFloat Boolean"),
    "java": split_words(""),
    "go": split_words("len string int int64 float64"),
    "rust": split_words("Some Ok Box"),
}
_CLEANERS = {
    "python": split_words("strip lower upper copy lstrip rstrip decode encode casefold items"),
    "javascript": split_words("trim toLowerCase toUpperCase toString slice reverse sort flat"),
    "typescript": split_words("trim toLowerCase toUpperCase toString slice reverse sort flat"),
    "java": split_words("trim toLowerCase toUpperCase strip toString clone"),
    "go": split_words("TrimSpace ToLower ToUpper"),
    "rust": split_words("clone trim abs to_lowercase to_uppercase rev unwrap"),
}


class RemovedWrapper(Operator):
    name = "removed_wrapper"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="with_statement try_statement",
        javascript="try_statement",
        typescript="try_statement",
        java="try_statement synchronized_statement",
        go="defer_statement go_statement",
        rust="unsafe_block",
    )
    explanation = "the code runs without {old} around it; put it back: {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        head = view.code(node).partition("\n")[0]
        if view.language == "go":
            word = node.children[0]
            start, end = word.start_byte, node.named_children[0].start_byte
            following = view.between(end, node.end_byte)
            yield TextEdit(start, end, "", view.code(node), following, word.type, "")
            return
        body = node.child_by_field_name("body")
        if body is None:
            body = next((part for part in node.named_children if part.type == "block"), None)
        if body is None or (view.language == "python" and _binds(node)):
            return
        old = head.partition("{")[0].rstrip(": ")
        text = _block_text(node, body, view)
        if text is not None:
            yield TextEdit(node.start_byte, node.end_byte, text, view.code(node), text, old, text)


def _binds(node: Node) -> bool:
    return node.type == "with_statement" and any(
        item.named_children and item.named_children[0].type == "as_pattern"
        for clause in node.named_children
        if clause.type == "with_clause"
        for item in clause.named_children
    )


def _block_text(node: Node, body: Node, view: NodeTable) -> str | None:
    if view.language != "python":
        return view.code(body)
    lines = view.text.rfind(b"\n", 0, node.start_byte) + 1
    inner = view.text.rfind(b"\n", 0, body.start_byte) + 1
    outside, inside = view.between(lines, node.start_byte), view.between(inner, body.start_byte)
    if outside.strip() or inside.strip() or '"""' in view.code(body) or "'''" in view.code(body):
        return None  # on one line, or a string whose lines must not move
    return reindented(view, view.code(body), inside, outside)


class RemovedCleanup(Operator):
    name = "removed_cleanup"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="finally_clause",
        javascript="finally_clause",
        typescript="finally_clause",
        java="finally_clause",
        go="defer_statement",
    )
    explanation = "{right} is missing, so nothing is cleaned up after an error; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if node.type == "defer_statement":
            yield from remove_statement(view, node)
            return
        parent = view.parent(node)
        if parent is None or not any(part.type in ("except_clause", "catch_clause") for part in parent.named_children):
            return
        text = view.code(node)
        start = len(view.text[: node.start_byte].rstrip())
        yield TextEdit(start, node.end_byte, "", text, "", text, "")
