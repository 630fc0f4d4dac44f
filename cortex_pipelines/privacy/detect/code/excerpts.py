"""Excerpts of a large text that are parsed instead of all of it.

Parsing a whole text costs much more than searching it for names, and a statement does not depend
on distant code. An excerpt begins at a declaration without indentation, else at a line, else
between statements; parsers recover quickly from a start in the middle.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
    """Excerpts of a text around some positions, in order; overlapping ones are merged.

    Args:
        text: The text.
        positions: Characters in it, in order.
    """
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
    if declarations:
        return declarations[-1]
    if not low:
        return low
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
