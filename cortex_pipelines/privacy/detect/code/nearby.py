"""Suspicious names near a character, for characters in the order of the text."""

import re
from collections import deque
from collections.abc import Iterator

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.named_values import PASSWORD_NAME

_BEFORE, _AFTER = 600, 300
_REST = re.compile(r"[\w$-]{0,40}")
_NAME_CHARS = 60


class NearbyNames:
    """Reads each name of a text at most once, however many characters are asked about.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
    """

    def __init__(self, text: str, lower: str) -> None:
        self._text, self._lower = text, lower
        self._end = 0
        self._names: deque[tuple[int, bool]] = deque()

    def has_name(self, at: int, of_password: bool) -> bool:
        """Whether a suspicious name is near.

        Args:
            at: A character, not before those asked about earlier.
            of_password: Whether only names of passwords count.
        """
        begin, end = max(self._end, at - _BEFORE), at + _AFTER
        if end > begin:
            self._names.extend(self._suspects(begin, end))
            self._end = end
        while self._names and self._names[0][0] < at - _BEFORE:
            self._names.popleft()
        return any(is_password or not of_password for _, is_password in self._names)

    def _suspects(self, begin: int, end: int) -> Iterator[tuple[int, bool]]:
        done = begin
        for hit in names.SUSPECT.finditer(self._lower, begin, end):
            if hit.start() >= done:
                rest = _REST.match(self._text, hit.end())
                done = rest.end() if rest else hit.end()
                name = self._text[self._start(hit.start()) : done]
                strength = names.suspicion(name)
                if strength:
                    is_password = PASSWORD_NAME.search(name) is not None
                    yield hit.start(), strength == names.STRONG and is_password

    def _start(self, at: int) -> int:
        first = max(0, at - _NAME_CHARS)
        while at > first and (self._text[at - 1].isalnum() or self._text[at - 1] in "_$-"):
            at -= 1
        return at
