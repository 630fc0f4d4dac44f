"""A value written in pieces: concatenated literals, lists that are joined, wrapped lines."""

import re
from collections.abc import Iterator

_MOST = 40
_LITERAL = re.compile(r"""(["'`])((?:\\.|(?!\1)[^\\\n]){0,1000})\1""")
_PLUS = re.compile(r"\s{0,80}(?:[+.&]|\.\.|<>|\\(?=\r?\n))\s{0,80}(?=[\"'`])|\s{1,80}(?=[\"'`])")
_COMMA = re.compile(r"\s{0,80},\s{0,80}(?=[\"'`])")
_JOINED = re.compile(r"""\s{0,40},?\s{0,40}\]\s{0,10}\.join\(\s?(?:''|"")""")


def pieces_after(text: str, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of the contents of the literals that a literal is concatenated with.

    Args:
        text: The text.
        end: After the closing quote of the first literal.
    """
    return _chain(text, end, _PLUS)


def joined_pieces(text: str, end: int) -> list[tuple[int, int]]:
    """The further elements of a list of literals that is joined with nothing between."""
    parts = list(_chain(text, end, _COMMA))
    return parts if parts and _JOINED.match(text, parts[-1][1] + 1) else []


def _chain(text: str, end: int, link: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for _ in range(_MOST):
        between = link.match(text, end)
        literal = _LITERAL.match(text, between.end()) if between else None
        if literal is None:
            return
        yield literal.span(2)
        end = literal.end()
