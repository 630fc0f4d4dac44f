"""Suspicious names near a literal of code."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.named_values import PASSWORD_NAME
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText

_BEFORE, _AFTER = 600, 300
_REST = re.compile(r"[\w$-]{0,40}")
_START = re.compile(r"[\w$-]*")  # backwards
_NAME_CHARS = 60


class NearbyNames:
    """The suspicious names of a text: of passwords, strong, and weak ones."""

    def __init__(self, indexed: IndexedText) -> None:
        self._length = len(indexed.text)
        self._weak: list[int] = []
        self._strong: list[int] = []
        self._of_passwords: list[int] = []
        for position, strength, is_password in _names(indexed):
            self._weak.append(position)
            if strength == names.STRONG:
                self._strong.append(position)
                if is_password:
                    self._of_passwords.append(position)

    def windows(self) -> Iterator[tuple[int, int]]:
        """Start and end of the parts of the text that are near a name."""
        start = end = 0
        for position in self._weak:
            if position - _AFTER > end:
                if end:
                    yield start, end
                start = max(0, position - _AFTER)
            end = min(self._length, position + _BEFORE)
        if end:
            yield start, end

    def is_near(self, position: int) -> bool:
        """Whether a strong name is near, under which a value of few characters may be a secret."""
        return _has_between(self._strong, position)

    def is_near_password(self, position: int) -> bool:
        """Whether a name of a password is near, whose value a person may have chosen."""
        return _has_between(self._of_passwords, position)


def _has_between(positions: list[int], position: int) -> bool:
    index = bisect_left(positions, position - _BEFORE)
    return index < len(positions) and positions[index] < position + _AFTER


def _names(indexed: IndexedText) -> Iterator[tuple[int, int, bool]]:
    """Position and strength of each suspicious name, and whether it is a password's."""
    text, end = indexed.text, 0
    for start, suspect_end in indexed.suspects:
        if start >= end:
            tail = _REST.match(text, suspect_end)
            end = tail.end() if tail else suspect_end
            head = _START.match(text[max(0, start - _NAME_CHARS) : start][::-1])
            name = text[start - (head.end() if head else 0) : end]
            strength = names.suspicion(name)
            if strength:
                yield start, strength, PASSWORD_NAME.search(name) is not None
