"""Values split over several literals or lines: concatenations, joined lists, wrapped keys."""

import re
from collections.abc import Iterator

_MOST = 40
_LITERAL = re.compile(r"""(["'`])((?:\\.|(?!\1)[^\\\n]){0,1000})\1""")
_PLUS = re.compile(r"\s{0,80}(?:[+.&]|\.\.|<>|\\(?=\r?\n))\s{0,80}(?=[\"'`])|\s{1,80}(?=[\"'`])")

_KEY_LINE = re.compile(r"\s{0,40}([A-Za-z0-9+/_-]{4,200}={0,2})[ \t]*(?=[\r\n\"'`]|\Z)")
_LEAST_KEY, _MOST_LINES = 32, 200


def key_lines(text: str, position: int) -> list[tuple[int, int]]:
    """Start and end of the lines of a key in base64 that begins there; none if it is one line.

    Args:
        text: The text.
        position: Possible start of the first line, including blanks.
    """
    lines: list[tuple[int, int]] = []
    while len(lines) < _MOST_LINES and (line := _KEY_LINE.match(text, position)) is not None:
        if len(line[1]) < _LEAST_KEY and not lines:
            break
        lines.append(line.span(1))
        position = line.end()
        if len(line[1]) < _LEAST_KEY:
            break
    return lines if len(lines) > 1 else []


def pieces_after(text: str, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of the contents of the literals concatenated to a literal.

    Args:
        text: The text.
        end: After the closing quote of the first literal.
    """
    return _chain(text, end, _PLUS)


def _chain(text: str, end: int, link: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for _ in range(_MOST):
        between = link.match(text, end)
        literal = _LITERAL.match(text, between.end()) if between else None
        if literal is None:
            return
        yield literal.span(2)
        end = literal.end()
