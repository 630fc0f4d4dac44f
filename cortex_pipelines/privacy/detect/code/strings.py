"""String literals of six languages: spans and values of their contents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code.roles import INTERPOLATIONS

_OPENING = re.compile(rb"([A-Za-z]{0,3}#{0,255})(\"\"\"|'''|[\"'`])")
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(\r?\n)|(.))", re.DOTALL
)
_LINE = re.compile(r"[^\r\n]+")
_NAMED_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}
_MOST_LINES = 200


@dataclass(frozen=True)
class StringSegment:
    """Contents of a literal, or of it up to the next interpolation: byte span and value."""

    start: int
    end: int
    text: str
    is_raw: bool

    @property
    def value(self) -> str:
        """Value of the contents; several lines are joined without line ends and indentation."""
        return "".join(self._resolved(text) for _, text in self._lines())

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Byte span of each line that is not blank."""
        return [(start, start + len(text.encode("utf-8", "replace"))) for start, text in self._lines()]

    def _lines(self) -> Iterator[tuple[int, str]]:
        if "\n" not in self.text:
            yield self.start, self.text
            return
        for number, line in enumerate(_LINE.finditer(self.text)):
            text = line[0].rstrip("\\" if not self.is_raw else "").strip()
            if text and number < _MOST_LINES:
                before = self.text[: line.start()] + line[0][: line[0].index(text)]
                yield self.start + len(before.encode("utf-8", "replace")), text

    def _resolved(self, text: str) -> str:
        return text if self.is_raw or "\\" not in text else _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    braced, short, byte, octal, line, other = escape.groups()
    if braced or short or byte:
        number = int(braced or short or byte, 16)
        return chr(number) if number < 0x110000 else ""
    if octal:
        return chr(int(octal, 8))
    return "" if line else _NAMED_ESCAPES.get(other, other)


def segments_of(literal: Node, data: bytes) -> list[StringSegment]:
    """The contents of a literal, divided where code is interpolated.

    Args:
        literal: A node of one literal.
        data: The text of the tree.
    """
    opening = _OPENING.match(data, literal.start_byte, literal.end_byte)
    if opening is None:
        return []
    prefix, quote = opening.groups()
    end = literal.end_byte - len(quote) - prefix.count(b"#")
    is_raw = b"r" in prefix.lower() or literal.type == "raw_string_literal"
    holes = [node for node in literal.named_children if node.type in INTERPOLATIONS]
    starts = [opening.end(), *(hole.end_byte for hole in holes)]
    ends = [*(hole.start_byte for hole in holes), end]
    return [
        StringSegment(start, stop, data[start:stop].decode("utf-8", "replace"), is_raw)
        for start, stop in zip(starts, ends, strict=True)
        if start < stop
    ]


def text_of(literal: Node, data: bytes) -> str | None:
    """Value of a literal; None if code is interpolated."""
    segments = segments_of(literal, data)
    is_constant = len(segments) == 1 and not any(node.type in INTERPOLATIONS for node in literal.named_children)
    return segments[0].value if is_constant else None
