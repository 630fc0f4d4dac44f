"""Text extracted from another text, with the source position of each character."""

import html
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class MappedText:
    """A text and the positions of its characters in the source.

    Attributes:
        text: The text, with escapes resolved.
        starts: For each character, the index in the source at which it begins.
        ends: For each character, the index in the source after it. An escape is one character
            here and several there.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def from_source(cls, text: str) -> Self:
        """The source itself."""
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
        """The characters from ``start`` to ``end``."""
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

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Start and end in the source of the characters from ``start`` to ``end``, one or more."""
        return self.starts[start], self.ends[end - 1]

    def source_parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """Start and end in the source of each run of characters in one line, without its blanks."""
        parts: list[tuple[int, int]] = []
        for index in range(start, end):
            if self.text[index] in " \t\r\n" and (not parts or self._is_last(index, end)):
                continue
            first, last = self.starts[index], self.ends[index]
            if parts and (first == parts[-1][1] or first < parts[-1][1]):
                parts[-1] = parts[-1][0], max(last, parts[-1][1])
            else:
                parts.append((first, last))
        return parts

    def _is_last(self, index: int, end: int) -> bool:
        line_tail = self.text[index:end].partition("\n")[0]
        return not line_tail.strip()


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
    """XML or HTML text without character references."""
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
