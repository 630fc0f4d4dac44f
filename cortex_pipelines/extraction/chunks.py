"""Split a large unit at syntactic borders; each chunk keeps its context.

A node that is too large is entered. Of one with a body, what precedes the body (``def f(a):``,
``if x {``) is the head of all chunks of the body; of a list (statements, members, elements)
consecutive small ones form a chunk; of another expression the only large child is entered. So
chunks are whole statements, members or elements, and together with their heads make up the unit.
"""

from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

from cortex_pipelines.extraction.settings import ExtractionSettings

# A deeper node is not entered: each level adds its head to every chunk.
_MAX_DEPTH = 16
# A longer first branch is left out before another one.
_SMALL_BODY = 80
# A shorter one is repeated after the first: a try is invalid without its handler.
_SHORT_BRANCH = 400
# A longer head is a huge expression.
_MAX_HEAD = 2_000
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class Chunk(NamedTuple):
    """A chunk of a unit; its code has the heads of its enclosing nodes and their closing brackets."""

    start_byte: int
    end_byte: int
    code: str


class _Span(NamedTuple):
    node: Node | None
    start: int
    end: int
    depth: int
    heads: tuple[bytes, ...]
    tails: tuple[bytes, ...]


def split_unit(data: bytes, node: Node, start: int, end: int, settings: ExtractionSettings) -> list[Chunk]:
    """The chunks of a unit; empty if it is small or cannot be divided."""
    if end - start <= settings.chunk_bytes:
        return []
    splitter = _Splitter(data, settings.chunk_bytes)
    chunks: list[Chunk] = []
    pending = [_Span(node, start, end, 0, (), ())]
    while pending:
        span = pending.pop()
        kind = span.node.type if span.node else ""
        # a border inside a string or comment is meaningless
        is_divisible = span.depth < _MAX_DEPTH and "string" not in kind and "comment" not in kind
        body = data[span.start : span.end]
        if span.node is not None and len(body) > splitter.limit and is_divisible:
            pending += reversed(splitter.divide(span.node, span))
        elif body.strip():
            first, last = span.end - len(body.lstrip()), span.start + len(body.rstrip())
            code = b"".join([*span.heads, body, *reversed(span.tails)]).decode(errors="replace")
            chunks.append(Chunk(first, last, code.strip("\r\n")))
    return chunks if len(chunks) > 1 else []


@dataclass(frozen=True)
class _Splitter:
    data: bytes
    limit: int

    def divide(self, node: Node, span: _Span) -> list[_Span]:
        """Split an oversized node into its children; text without a node if it has none."""
        body = node.child_by_field_name("body") or node.child_by_field_name("consequence")
        if body is not None:
            return self._split_body(node, body, span)
        children = _children_between(node, span.start, span.end)
        # children of one kind, statements, members or elements, but not of a call, have no names
        positions = {*range(min(4, node.child_count)), node.child_count - 1}
        is_list = len(children) > 1 and "argument" not in node.type and "parameter" not in node.type
        if is_list and all(node.field_name_for_child(position) is None for position in positions):
            return self._split_list(children, span)
        large = [child for child in children if child.end_byte - child.start_byte > self.limit]
        return [self._enter(span, large[0])] if len(large) == 1 else [span._replace(node=None)]

    def _enter(self, span: _Span, child: Node, end: int | None = None) -> _Span:
        start, stop = max(child.start_byte, span.start), min(child.end_byte, span.end)
        heads = (*span.heads, self._text(span.start, start))
        tails = (*span.tails, self._text(stop, span.end if end is None else end))
        return _Span(child, start, stop, span.depth + 1, heads, tails)

    def _split_body(self, node: Node, body: Node, span: _Span) -> list[_Span]:
        """The body with its head, then the nodes after it: another branch, a handler."""
        stop = min(body.end_byte, span.end)
        following = _children_between(node, stop, span.end)
        if not any(child.is_named for child in following):
            return [self._enter(span, body)]
        # a branch needs one to branch from
        first_branch = self._text(body.start_byte, stop)
        if len(first_branch) > _SMALL_BODY:
            first_branch = b"{ }" if first_branch.startswith(b"{") else b"pass"
        heads = (*span.heads, self._text(span.start, body.start_byte), first_branch)
        remainder = _Span(None, stop, span.end, span.depth + 1, heads, span.tails)
        short = span.end - stop <= _SHORT_BRANCH
        body_span = self._enter(span, body, span.end if short else stop)
        return [body_span, *self._group(following, remainder)]

    def _split_list(self, children: list[Node], span: _Span) -> list[_Span]:
        heads, tails, start, end = span.heads, span.tails, span.start, span.end
        if children[0].type in _OPENING:
            heads = (*heads, self._text(start, children[0].end_byte))
            start = children[0].end_byte
            children = children[1:]
        if children and children[-1].type in _CLOSING:
            inner_end = children[-2].end_byte if len(children) > 1 else start
            tails, end = (*tails, self._text(inner_end, end)), inner_end
            children = children[:-1]
        return self._group(children, _Span(None, start, end, span.depth + 1, heads, tails))

    def _group(self, children: list[Node], span: _Span) -> list[_Span]:
        groups: list[_Span] = []
        group_start = previous_end = span.start
        for child in children:
            stop = min(child.end_byte, span.end)
            if stop - max(child.start_byte, span.start) > self.limit:
                if group_start < previous_end:
                    groups.append(span._replace(start=group_start, end=previous_end))
                groups.append(span._replace(node=child, start=previous_end, end=stop))
                group_start = stop
            elif "comment" in child.type:
                # a comment belongs to the next node
                continue
            elif child.is_named and group_start < previous_end and stop - group_start > self.limit:
                # a separator stays with the element before it
                groups.append(span._replace(start=group_start, end=previous_end))
                group_start = previous_end
            previous_end = stop
        if group_start < span.end:
            groups.append(span._replace(start=group_start))
        return groups

    def _text(self, start: int, end: int) -> bytes:
        return self.data[start : min(end, start + _MAX_HEAD)]


def _children_between(node: Node, start: int, end: int) -> list[Node]:
    return [child for child in node.children if child.start_byte < end and child.end_byte > start]
