"""Indentation of a unit in its file: the first line lacks it, the other lines still have it."""

from cortex_pipelines.augmentation.node_table import NodeTable

_CLOSING = ("}", ")", "]")


def closing_indent(code: str) -> str | None:
    last = code.rstrip().rpartition("\n")[2]
    bare = last.lstrip()
    closes = len(code.split("\n")) > 1 and bare.startswith(_CLOSING)
    return last[: len(last) - len(bare)] if closes else None


def own_indent(view: NodeTable) -> str | None:
    """Indentation of a unit's first line in its file; None where the other lines do not show it.

    In Python the body is one level deeper; nested blocks show the width of a level.
    """
    if view.language != "python":
        return closing_indent(view.snippet.code.decode("utf-8", "replace"))
    prefix_indent = view.snippet.prefix.rpartition(b"\n")[2].decode()
    if prefix_indent:
        return prefix_indent
    indents = (_indent_before(node.start_byte, view.text) for node in view.by_type.get("block", ()))
    blocks = [indent for indent in indents if indent]
    if not blocks:
        return None
    body = blocks[0]
    nested = [indent for indent in blocks if indent.startswith(body) and indent != body]
    level = min(map(len, nested), default=0) - len(body)
    return body[: len(body) - level] if 0 < level <= len(body) else None


def _indent_before(offset: int, text: bytes) -> str:
    before = text[text.rfind(b"\n", 0, offset) + 1 : offset]
    return "" if before.strip() else before.decode()
