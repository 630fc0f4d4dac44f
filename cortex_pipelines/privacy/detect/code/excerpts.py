"""Parts of a large text that are parsed in its place.

Parsing all of a text costs ten times as much as looking for names in it. A statement needs
nothing of what is far from it, and a parser finds its way soon where a part begins within others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A text of that many characters is parsed as it is.
_SMALL = 6_000
_BEFORE, _AFTER = 5_000, 2_000
_LONGEST = 20_000
# Where a part may begin or end, the best first: before a declaration that is not indented, at the
# end of a line, between statements of a minified line.
_CUTS = tuple(map(re.compile, (r"\n(?=[A-Za-z@#\"'])", r"\n", r"[;{},]")))


@dataclass(frozen=True)
class Excerpt:
    """A part of a text: where it begins and ends, and the characters in it that are of interest."""

    start: int
    end: int
    positions: tuple[int, ...]


def excerpts(text: str, positions: list[int]) -> Iterator[Excerpt]:
    """Parts of a text around some characters, in order; those that overlap are one.

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
    if not low:
        return low
    declarations = [match.end() for match in _CUTS[0].finditer(text, low, position)]
    if declarations:
        return declarations[-1]
    for cut in _CUTS[1:]:
        first = cut.search(text, low, position)
        if first:
            return first.end()
    return low


def _end(text: str, position: int) -> int:
    high = min(len(text), position + _AFTER)
    if high == len(text):
        return high
    declaration = _CUTS[0].search(text, position, high)
    if declaration:
        return declaration.end()
    line = text.rfind("\n", position, high)
    return line + 1 if line >= 0 else high
