"""Text extracted from another text, with the source position of each character."""

import html
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Self

from cortex_pipelines.privacy.detect.text.indexed_text import COLOUR, IndexedText


@dataclass(frozen=True, slots=True)
class MappedText:
    """A text without escapes, and where each of its characters begins and ends in the source."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def from_source(cls, text: str) -> Self:
        return cls(text, range(len(text)), range(1, len(text) + 1))

    @classmethod
    def concatenate(cls, parts: Iterable["MappedText"]) -> Self:
        """Several texts of one source, one after the other."""
        texts: list[str] = []
        starts, ends = array("q"), array("q")
        for part in parts:
            texts.append(part.text)
            starts.extend(part.starts)
            ends.extend(part.ends)
        return cls("".join(texts), starts, ends)

    def slice(self, start: int, end: int) -> "MappedText":
        return MappedText(self.text[start:end], self.starts[start:end], self.ends[start:end])

    def stripped(self, characters: str | None = None) -> "MappedText":
        """The text without blanks, or given characters, around it."""
        start = len(self.text) - len(self.text.lstrip(characters))
        return self.slice(start, max(start, len(self.text.rstrip(characters))))

    def replaced(self, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> "MappedText":
        """The text with a replacement for each match; itself if nothing matches."""
        parts: list[MappedText] = []
        position = 0
        for match in pattern.finditer(self.text):
            new = replacement(match)
            first, last = self.starts[match.start()], self.ends[match.end() - 1]
            parts += (self.slice(position, match.start()), MappedText(new, (first,) * len(new), (last,) * len(new)))
            position = match.end()
        return MappedText.concatenate([*parts, self.slice(position, len(self.text))]) if parts else self

    def source_parts(self) -> list[tuple[int, int]]:
        """Start and end in the source of each run of characters in one line, without blanks."""
        parts: list[tuple[int, int]] = []
        for index in range(len(self.text)):
            if self.text[index] in " \t\r\n":
                line_tail = self.text[index:].partition("\n")[0]
                if not parts or not line_tail.strip():
                    continue
            first, last = self.starts[index], self.ends[index]
            if parts and first <= parts[-1][1]:
                parts[-1] = parts[-1][0], max(last, parts[-1][1])
            else:
                parts.append((first, last))
        return parts


_BACKSLASH = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})"
    r"|\r?\n[ \t]*|(.))",
    re.DOTALL,
)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "e": "\x1b", "a": ""}
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,20});")


def backslashes_resolved(text: MappedText) -> MappedText:
    r"""A string's contents without backslash escapes; lines that end in one are joined."""
    return text.replaced(_BACKSLASH, _resolved) if "\\" in text.text else text


def entities_resolved(text: MappedText) -> MappedText:
    if "&" not in text.text:
        return text
    return text.replaced(_ENTITY, lambda match: html.unescape(match[0]))


def _resolved(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3] or match[4]
    if code:
        number = int(code, 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    letter: str | None = match[5]
    return _CONTROLS.get(letter, letter) if letter else ""


# By their first characters, which are quick to find.
_ESCAPES = tuple(
    re.compile(pattern)
    for pattern in (
        r"""\\(?:\\*["'/\\]|u00[2-7][0-9a-fA-F]|x[2-7][0-9a-fA-F]|(?:033|e|u001[bB]|x1[bB])\[)""",
        r"\x1b\[",
        r"&(?:quot|apos|amp|lt|gt|colon|equals|#[xX]?[0-9a-fA-F]{1,6});",
        r"%(?:2[02-9A-Fa-f]|3[A-Fa-f]|40|5[BbDd]|7[BbDd])",
    )
)
_ESCAPES_IN_CODE = tuple(map(re.compile, (r"&(?:quot|#34|#39|#61);", r"%(?:3[Dd]|22)")))
# A backslash at the end of a literal goes with its escape: it would escape the quote that closes the literal.
_ESCAPE_SIGN = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|\\(?=[\"'`])|([\"'/\\`nrt]))")
_BLANKS = {"n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%([2-7][0-9A-Fa-f])")
_ADDRESS = re.compile(r":(?://|\\+/|%2[fF])|@|%40|&#|\\[ux]")
_MOST_LEVELS = 4
_LONGEST_LINE = 20_000


def unescaped_lines(indexed: IndexedText, code: bool) -> Iterator[MappedText]:
    """Lines with escapes that may hold private values, one text per level of quoting; parsers know most of code's."""
    lines = _escaped_lines(indexed, _ESCAPES_IN_CODE if code else _ESCAPES)
    for _ in range(_MOST_LEVELS if lines.text else 0):
        plain = lines.replaced(COLOUR, lambda _: "").replaced(_ESCAPE_SIGN, _character)
        view = entities_resolved(plain).replaced(_PERCENT, lambda match: chr(int(match[1], 16)))
        if view.text == lines.text:
            return
        yield view
        lines = view


def _escaped_lines(indexed: IndexedText, patterns: tuple[re.Pattern[str], ...]) -> MappedText:
    text = indexed.text
    source = MappedText.from_source(text)
    parts: list[MappedText] = []
    scanned_end = 0
    may_hide_name = indexed.has_hidden_names
    for escape in merge(*(pattern.finditer(text) for pattern in patterns), key=re.Match.start):
        if escape.start() < scanned_end:
            continue
        start = max(text.rfind("\n", 0, escape.start()) + 1, escape.start() - _LONGEST_LINE, scanned_end)
        end = text.find("\n", escape.end(), escape.end() + _LONGEST_LINE)
        scanned_end = end + 1 if end >= 0 else min(len(text), escape.end() + _LONGEST_LINE)
        if may_hide_name or indexed.has_suspect(start, scanned_end) or _ADDRESS.search(text, start, scanned_end):
            parts.append(source.slice(start, scanned_end))
    return MappedText.concatenate(parts) if parts else source.slice(0, 0)


def _character(match: re.Match[str]) -> str:
    code, letter = match[1] or match[2], match[3] or ""
    return chr(int(code, 16)) if code else _BLANKS.get(letter, letter)


_MOST = 40
_LITERAL = re.compile(r"""(["'`])((?:\\.|(?!\1)[^\\\n]){0,1000})\1""")
_PLUS = re.compile(r"\s{0,80}(?:[+.&]|\.\.|<>|\\(?=\r?\n))\s{0,80}(?=[\"'`])|\s{1,80}(?=[\"'`])")

_KEY_LINE = re.compile(r"\s{0,40}([A-Za-z0-9+/_-]{4,200}={0,2})[ \t]*(?=[\r\n\"'`]|\Z)")
_LEAST_KEY, _MOST_LINES = 32, 200


def key_lines(text: str, position: int) -> list[tuple[int, int]]:
    """Start and end of the lines of a key in base64 that begins there; none if it is one line."""
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
    """Start and end of the contents of the literals concatenated to one that ends there."""
    for _ in range(_MOST):
        between = _PLUS.match(text, end)
        literal = _LITERAL.match(text, between.end()) if between else None
        if literal is None:
            return
        yield literal.span(2)
        end = literal.end()
