"""Split a large unit at syntactic borders; each chunk keeps its context.

A node that is too large is entered. Of one with a body, what precedes the body (``def f(a):``,
``if x {``) is the head of all parts of the body; of a list (statements, members, elements) small
ones that stand together are a part; of another expression the only large child is entered. So
parts are whole statements, members or elements, and with their heads they are the unit.
"""

from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

from cortex_pipelines.extraction.settings import ExtractionSettings

# A deeper node is not entered: each level adds its head to every part.
_MAX_DEPTH = 16
# A longer first branch is left out before another one.
_SMALL_BODY = 80
# A shorter one is repeated behind the first: a try is none without its handler.
_SHORT_REST = 400
# A longer head is some huge expression.
_MAX_HEAD = 2_000
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class Chunk(NamedTuple):
    """A part of a unit.

    Args:
        start_byte: Where it begins in the file's text.
        end_byte: Byte after its last one.
        code: The part between the heads of what encloses it and their closing brackets.
    """

    start_byte: int
    end_byte: int
    code: str


class _Part(NamedTuple):
    node: Node | None
    start: int
    end: int
    depth: int
    heads: tuple[bytes, ...]
    tails: tuple[bytes, ...]


def chunks_of(
    data: bytes, node: Node, start: int, end: int, settings: ExtractionSettings
) -> list[Chunk]:
    """The parts of a unit; none if it is small, or cannot be divided.

    Args:
        data: The file's text.
        node: The unit's widest node.
        start: First byte of the unit; what lies before the node (attributes) is part of its head.
        end: Byte after the unit.
        settings: ``chunk_bytes`` is the size that a part has at most if there is a border.
    """
    if end - start <= settings.chunk_bytes:
        return []
    parts = _Splitter(data, settings.chunk_bytes).parts(node, start, end)
    parts = [part for part in parts if data[part.start : part.end].strip()]
    return [_chunk(data, part) for part in parts] if len(parts) > 1 else []


def _chunk(data: bytes, part: _Part) -> Chunk:
    inside = data[part.start : part.end]
    code = b"".join([*part.heads, inside, *reversed(part.tails)])
    start, end = part.end - len(inside.lstrip()), part.start + len(inside.rstrip())
    return Chunk(start, end, code.decode(errors="replace").strip("\r\n"))


@dataclass(frozen=True)
class _Splitter:
    data: bytes
    limit: int

    def parts(self, node: Node, start: int, end: int) -> list[_Part]:
        """Parts of a node in order, depth first, without recursion."""
        done: list[_Part] = []
        waiting = [_Part(node, start, end, 0, (), ())]
        while waiting:
            part = waiting.pop()
            if part.node is None or part.end - part.start <= self.limit or not _is_entered(part):
                done.append(part)
            else:
                waiting += reversed(self._divided(part.node, part))
        return done

    def _divided(self, node: Node, part: _Part) -> list[_Part]:
        """Split an oversized node into its children; text without a node if it has none."""
        body = node.child_by_field_name("body") or node.child_by_field_name("consequence")
        if body is not None:
            return self._with_body(node, body, part)
        children = _between(node, part.start, part.end)
        if _is_list(node, children):
            return self._of_list(children, part)
        large = [child for child in children if child.end_byte - child.start_byte > self.limit]
        return [self._entered(part, large[0])] if len(large) == 1 else [part._replace(node=None)]

    def _entered(self, part: _Part, child: Node, end: int | None = None) -> _Part:
        """Split a child: preceding text joins its head, following text its tail."""
        start, stop = max(child.start_byte, part.start), min(child.end_byte, part.end)
        heads = (*part.heads, self._text(part.start, start))
        tails = (*part.tails, self._text(stop, part.end if end is None else end))
        return _Part(child, start, stop, part.depth + 1, heads, tails)

    def _with_body(self, node: Node, body: Node, part: _Part) -> list[_Part]:
        """The body with its head, then what follows it: another branch, a handler."""
        stop = min(body.end_byte, part.end)
        others = _between(node, stop, part.end)
        if not any(child.is_named for child in others):
            return [self._entered(part, body)]
        # a branch needs one to branch from
        first = self._text(body.start_byte, stop)
        if len(first) > _SMALL_BODY:
            first = b"{ }" if first.startswith(b"{") else b"pass"
        heads = (*part.heads, self._text(part.start, body.start_byte), first)
        rest = _Part(None, stop, part.end, part.depth + 1, heads, part.tails)
        short = part.end - stop <= _SHORT_REST
        inside = self._entered(part, body, part.end if short else stop)
        return [inside, *self._grouped(others, rest)]

    def _of_list(self, children: list[Node], part: _Part) -> list[_Part]:
        heads, tails, start, end = part.heads, part.tails, part.start, part.end
        if children[0].type in _OPENING:
            heads = (*heads, self._text(start, children[0].end_byte))
            start = children[0].end_byte
            children = children[1:]
        if children and children[-1].type in _CLOSING:
            before = children[-2].end_byte if len(children) > 1 else start
            tails, end = (*tails, self._text(before, end)), before
            children = children[:-1]
        return self._grouped(children, _Part(None, start, end, part.depth + 1, heads, tails))

    def _grouped(self, children: list[Node], part: _Part) -> list[_Part]:
        """Group small children; each large child stands alone."""
        groups: list[_Part] = []
        here = last = part.start
        for child in children:
            stop = min(child.end_byte, part.end)
            if stop - max(child.start_byte, part.start) > self.limit:
                if here < last:
                    groups.append(part._replace(start=here, end=last))
                groups.append(part._replace(node=child, start=last, end=stop))
                here = stop
            elif "comment" in child.type:
                # a comment belongs to what follows it
                continue
            elif child.is_named and here < last and stop - here > self.limit:
                # what separates elements stays with the one before
                groups.append(part._replace(start=here, end=last))
                here = last
            last = stop
        if here < part.end:
            groups.append(part._replace(start=here))
        return groups

    def _text(self, start: int, end: int) -> bytes:
        return self.data[start : min(end, start + _MAX_HEAD)]


def _is_entered(part: _Part) -> bool:
    kind = part.node.type if part.node else ""
    # a border inside of a text says nothing
    return part.depth < _MAX_DEPTH and "string" not in kind and "comment" not in kind


def _between(node: Node, start: int, end: int) -> list[Node]:
    return [child for child in node.children if child.start_byte < end and child.end_byte > start]


def _is_list(node: Node, children: list[Node]) -> bool:
    """Whether the children are alike: statements, members or elements, not call arguments."""
    if "argument" in node.type or "parameter" in node.type or len(children) < 2:
        return False
    places = {*range(min(4, node.child_count)), node.child_count - 1}
    return all(node.field_name_for_child(place) is None for place in places)
