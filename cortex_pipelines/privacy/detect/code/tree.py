"""Syntax trees of parts of a text: their literals, under the names that they may reach."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.expressions import names_in, segments_of, whole_value
from cortex_pipelines.privacy.detect.code.naming import reached_names
from cortex_pipelines.privacy.detect.named_values import SCHEME, NamedValue, name_strength
from cortex_pipelines.privacy.detect.names import STRONG
from cortex_pipelines.privacy.detect.values import is_strong_secret
from cortex_pipelines.syntax.grammars import Grammar, TooManyStepsError, parse_counted
from cortex_pipelines.syntax.unparsable import skip_reason

# A text of that many characters is parsed as it is.
_SMALL = 6_000
_BEFORE, _AFTER = 5_000, 2_000
_LONGEST = 20_000
# In a line of minified code.
_BEFORE_IN_LINE, _AFTER_IN_LINE = 1_500, 700
_DECLARATION = re.compile(r"\n(?=[A-Za-z@#\"'])")
_STATEMENT = re.compile(r"[;{},]")


@dataclass(frozen=True)
class Excerpt:
    """An excerpt of a text: start, end, and the positions of interest in it."""

    start: int
    end: int
    positions: tuple[int, ...]


def excerpts(text: str, positions: list[int]) -> Iterator[Excerpt]:
    """Excerpts of a text around some positions, in order; overlapping ones are merged."""
    if len(text) <= _SMALL:
        yield Excerpt(0, len(text), tuple(positions))
        return
    start = end = 0
    inside: list[int] = []
    for position in positions:
        if inside and (position >= end or end - start > _LONGEST):
            yield Excerpt(start, end, tuple(inside))
            inside = []
        if not inside:
            start = _start(text, position)
        end = max(end, _end(text, position))
        inside.append(position)
    if inside:
        yield Excerpt(start, end, tuple(inside))


def _start(text: str, position: int) -> int:
    low = max(0, position - _BEFORE)
    declarations = [match.end() for match in _DECLARATION.finditer(text, low, position)]
    if declarations or not low:
        return declarations[-1] if declarations else 0
    line = text.find("\n", low, position)
    if line >= 0:
        return line + 1
    search_start = max(low, position - _BEFORE_IN_LINE)
    statement = _STATEMENT.search(text, search_start, position)
    return statement.end() if statement else search_start


def _end(text: str, position: int) -> int:
    high = min(len(text), position + _AFTER)
    if high == len(text):
        return high
    declaration = _DECLARATION.search(text, position, high)
    if declaration:
        return declaration.end()
    line = text.rfind("\n", position, high)
    return line + 1 if line >= 0 else min(high, position + _AFTER_IN_LINE)


_MAX_BYTES = 4_000_000
_NEAR = 4
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# What stands in for a setting, in the text of a literal: ${name:…}, ?: '…' in Spring's, and the default in a tag of Go.
_FALLBACKS = (
    re.compile(r"\$\{\s*(?P<name>[\w.-]{1,80})\s*:[-=?]?\s*(?P<value>[^\s{}]{1,400})\}"),
    re.compile(r"(?P<name>[\w.-]{1,80})['\"\])}]{0,4}\s*\?:\s*'(?P<value>[^'\n]{1,400})'"),
    re.compile(r'\b(?P<name>\w{0,20}[dD]efault):"(?P<value>[^"\n]{1,400})"'),
)
# Several lines are a value if they are a key.
_KEY = re.compile(r"[A-Za-z0-9+/=_-]+")


class CodeTree:
    def __init__(self, text: str, excerpt: Excerpt, grammar: Grammar) -> None:
        self._text = text[excerpt.start : excerpt.end]
        self._first, self._positions = excerpt.start, excerpt.positions
        self._root: Node | None = None
        # a letter for each other character, so that bytes of the tree are characters of the text
        data = _NOT_ASCII.sub("x", self._text.replace("\ufeff", " ")).encode()
        if skip_reason(data, grammar, _MAX_BYTES) is None:
            with suppress(TooManyStepsError):
                self._root = parse_counted(data, grammar).tree.root_node

    def values(self) -> Iterator[NamedValue]:
        """The literals, under each name that they may reach."""
        visited_ids: set[int] = set()
        for position in self._positions:
            node = self._node_at(position)
            while node is not None and node.type not in roles.STRINGS:
                node = node.parent
            if node is not None and node.id not in visited_ids:
                expression, literals, are_all = whole_value(node, self._text)
                visited_ids.update(each.id for each in literals)
                yield from self._of_expression(expression, literals, are_all)

    def decides_on(self, position: int) -> bool:
        """Whether a value that begins at a character is code or a whole literal, not part of prose."""
        node = self._node_at(position)
        if node is None:
            return False
        literal, ancestors = None, [node]
        while node.parent is not None:
            node = node.parent
            ancestors.append(node)
        for ancestor in ancestors:
            if ancestor.type in roles.PROSE:
                return False
            if ancestor.type in roles.INTERPOLATIONS:
                break
            if ancestor.type in roles.STRINGS:
                literal = ancestor
                break
        near = ancestors[: _NEAR + (ancestors.index(literal) if literal is not None else 0)]
        if any(ancestor.type == "ERROR" for ancestor in near) or near[-1].has_error:
            return False  # further away, it is an excerpt that begins in the middle
        if literal is None:
            return True
        first = next(iter(segments_of(literal, self._text)), None)
        is_whole = first is None or self._first + first.start == position
        is_statement = literal.parent is not None and literal.parent.type == roles.STATEMENT
        return is_whole and not is_statement and whole_value(literal, self._text)[0] == literal

    def _node_at(self, position: int) -> Node | None:
        start = position - self._first
        return self._root.descendant_for_byte_range(start, start + 1) if self._root is not None else None

    def _of_expression(self, expression: Node, literals: list[Node], are_all: bool) -> Iterator[NamedValue]:
        """The literals of an expression: one value if it consists of literals, else one each."""
        by_literal = [segments_of(literal, self._text) for literal in literals]
        is_whole = are_all and all(len(group) == 1 for group in by_literal)
        reached = dict.fromkeys(reached_names(expression, self._text, is_whole))
        segments = [segment for group in by_literal for segment in group]
        for group in [segments] if is_whole else [[segment] for segment in segments]:
            if all(len(segment.spans) == 1 or _KEY.fullmatch(segment.value) for segment in group):
                value = "".join(segment.value for segment in group)
                parts = [(self._first + a, self._first + b) for segment in group for a, b in segment.spans]
                scheme = SCHEME.match(value)
                is_random = is_strong_secret(value[scheme.end() :] if scheme else value)
                for name in reached:
                    if parts and (name.is_certain or (is_random and name_strength(name.name) == STRONG)):
                        several = tuple(parts) if len(parts) > 1 else ()
                        yield NamedValue(name.name, value, parts[0][0], parts[-1][1], quoted=True, parts=several)
        names = [name.name for name in reached]
        field = expression.parent
        if field is not None and field.type == "field_declaration":  # a tag of Go
            names += names_in(field.child_by_field_name("name"), self._text)
        for segment, pattern in product(segments, _FALLBACKS):
            first = self._first + segment.start
            for match in pattern.finditer(segment.text):
                start, end = match.span("value")
                for owner in (match["name"], *names):
                    yield NamedValue(owner, match["value"], first + start, first + end, quoted=True)
