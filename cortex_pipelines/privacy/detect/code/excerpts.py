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
    for cut in _CUTS if low else ():
        cuts = [match.end() for match in cut.finditer(text, low, position)]
        if cuts:
            # the declaration that the character is in; else as much as may be
            return cuts[-1] if cut is _CUTS[0] else cuts[0]
    return low


def _end(text: str, position: int) -> int:
    high = min(len(text), position + _AFTER)
    for cut in _CUTS if high < len(text) else ():
        match = cut.search(text, position, high)
        if match and cut is _CUTS[0]:
            return match.end()
        last = max((found.end() for found in cut.finditer(text, position, high)), default=0)
        if last:
            return last
    return high
