"""Secrets by format: `formats/`, and `providers` by name and shape."""

import re
from collections import defaultdict
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.text.wording import entropy
from cortex_pipelines.privacy.detect.tokens.format import TokenFormat
from cortex_pipelines.privacy.detect.tokens.formats import (
    clouds,
    code_hosting,
    messages_and_money,
    models,
    services,
    structures,
)
from cortex_pipelines.privacy.detect.values import is_reference, longest_run

FORMATS: tuple[TokenFormat, ...] = (
    *code_hosting.FORMATS,
    *clouds.FORMATS,
    *models.FORMATS,
    *messages_and_money.FORMATS,
    *services.FORMATS,
    *structures.FORMATS,
)
_INSIDE = tuple(format for format in FORMATS if format.inside)
_WINDOW = 220
_LETTERS = 3
_SHORT_LETTERS = 2
_SHORTEST_WORD = 14
_LONGEST_RUN = 6
COLOUR = re.compile(r"(?:\x1b|\\(?:x1[bB]|033|e|u001[bB]))\[[0-9;]{0,8}m")
"""What sets a terminal's colour, as a character or as code writes it."""

ESCAPES = ("\x1b[", "\\x1b[", "\\x1B[", "\\033[", "\\e[", "\\u001b[", "\\u001B[")
"""What it begins with."""

_MASKED = re.compile(r"[-_]?([#*.xX])\1\1")
_SAMPLE = re.compile(r"(.)\1{5}|example(?!example)|redacted|x{5}|X{5}|\*{3}", re.IGNORECASE)


def _word_part(start: str) -> str:
    match = re.match(r"\w*", start)
    return match[0] if match else ""


_OF_START: dict[str, list[TokenFormat]] = defaultdict(list)
for _format in FORMATS:
    for _start in _format.starts:
        _OF_START[_start].append(_format)
# A start that goes on after its first word ("sk-ant-") shows by that word alone; one that is a
# word's beginning ("ghp_") by the first letters of a long word.
_BY_WORD: dict[str, list[str]] = defaultdict(list)
_BY_LETTERS: dict[str, list[str]] = defaultdict(list)
for _start in _OF_START:
    if _word_part(_start) == _start:
        _BY_LETTERS[_start[:_LETTERS]].append(_start)
    else:
        _BY_WORD[_word_part(_start)].append(_start)
_LEADING = frozenset(_BY_WORD)


def marked_secrets(text: str, words: set[str]) -> Iterator[Span]:
    """Secrets with a recognisable format.

    Args:
        text: The text.
        words: The distinct runs of ASCII letters, digits and underscores in it.
    """
    for start in sorted(_starts_among(words)):
        for position in _occurrences(text, start):
            if _begins_here(text, position):
                yield from _formats_at(text, position, _OF_START[start])
    for format in _INSIDE:
        for position in _occurrences(text, format.inside):
            before = text[position - 1 : position]
            if not before.isalnum() and before != ".":  # no format has another character there
                continue
            low, high = max(0, position - _WINDOW), position + 2 * _WINDOW
            for match in format.pattern.finditer(text, low, high):
                if match.start() <= position < match.end() and _begins_here(text, match.start()):
                    yield from _accepted(format, match)


def _starts_among(words: set[str]) -> set[str]:
    candidates = set(_BY_WORD[""])
    for word in words & _LEADING:
        candidates.update(_BY_WORD[word])
    for word in words:
        starts = _BY_LETTERS.get(word[:_LETTERS])
        if starts:
            candidates.update(start for start in starts if word.startswith(start))
        if len(word) >= _SHORTEST_WORD:
            candidates.update(_BY_LETTERS.get(word[:_SHORT_LETTERS], ()))
            if word[0] in "nrt":  # may follow an escaped line feed
                candidates.update(_BY_LETTERS.get(word[1 : 1 + _LETTERS], ()))
                candidates.update(_BY_WORD.get(word[1:], ()))
    return candidates


def _occurrences(text: str, literal: str) -> Iterator[int]:
    position = text.find(literal)
    while position >= 0:
        yield position
        position = text.find(literal, position + 1)


def _begins_here(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    if before == ".":  # the ending of a file name, an attribute
        return not text[start - 2 : start - 1].isalnum()
    if not (before.isascii() and before.isalnum()):
        return before != "_"
    escaped = before in "nrt" and text[start - 2 : start - 1] == "\\"
    coloured = before == "m" and _ends_colour(text, start)
    return escaped or coloured or text[max(0, start - 3) : start - 2] == "%"


def _ends_colour(text: str, position: int) -> bool:
    return any(match.end() == position for match in COLOUR.finditer(text, max(0, position - 16), position))


def _formats_at(text: str, position: int, formats: list[TokenFormat]) -> Iterator[Span]:
    for format in formats:
        match = format.pattern.match(text, position)
        if match:
            yield from _accepted(format, match)


def _accepted(format: TokenFormat, match: re.Match[str]) -> Iterator[Span]:
    value = match[0]
    if format.check is not None and not format.check(value):
        return
    if value[0] != "$" and is_reference(value[1:]):  # hashes of passwords begin with a dollar sign
        return
    if _SAMPLE.search(value) or longest_run(value) >= _LONGEST_RUN:
        return
    if entropy(value) < 2.5 or _MASKED.match(match.string, match.end()):
        return
    certain = format.checksum is None or format.checksum(value)
    severity = format.severity if certain else "medium"
    yield Span(match.start(), match.end(), SECRET, format.rule, severity)
