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
    """Finds suspicious names near positions; reads each name of a text at most once.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
    """

    def __init__(self, text: str, lower: str) -> None:
        self._text, self._lower = text, lower
        self._end = 0
        self._names: deque[tuple[int, bool]] = deque()

    def has_name(self, position: int, of_password: bool) -> bool:
        """Whether a suspicious name is near.

        Args:
            position: Character index; must not decrease from call to call.
            of_password: Whether only names of passwords count.
        """
        begin, end = max(self._end, position - _BEFORE), position + _AFTER
        if end > begin:
            self._names.extend(self._suspects(begin, end))
            self._end = end
        while self._names and self._names[0][0] < position - _BEFORE:
            self._names.popleft()
        return any(is_password or not of_password for _, is_password in self._names)

    def _suspects(self, begin: int, end: int) -> Iterator[tuple[int, bool]]:
        name_end = begin
        for hit in names.SUSPECT.finditer(self._lower, begin, end):
            if hit.start() >= name_end:
                name_tail = _REST.match(self._text, hit.end())
                name_end = name_tail.end() if name_tail else hit.end()
                name = self._text[self._start(hit.start()) : name_end]
                strength = names.suspicion(name)
                if strength:
                    is_password = PASSWORD_NAME.search(name) is not None
                    yield hit.start(), strength == names.STRONG and is_password

    def _start(self, position: int) -> int:
        first = max(0, position - _NAME_CHARS)
        while position > first and (self._text[position - 1].isalnum() or self._text[position - 1] in "_$-"):
            position -= 1
        return position
