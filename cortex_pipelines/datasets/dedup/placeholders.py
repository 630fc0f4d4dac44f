"""Protect parts of a text from later replacements."""

import re

_PLACEHOLDER = re.compile("\x01(\\d+)\x02")
_ADJACENT = re.compile("(?:\x01\\d+\x02\\s*){2,}")


class Placeholders:
    """Replaces texts by numbered placeholders, and restores them."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def store(self, text: str) -> str:
        self._texts.append(text)
        return f"\x01{len(self._texts) - 1}\x02"

    def restore(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._text, _ADJACENT.sub(self._join_strings, text))

    def _text(self, match: re.Match[str]) -> str:
        return self._texts[int(match[1])]

    def _join_strings(self, match: re.Match[str]) -> str:
        texts = [self._texts[int(number)] for number in _PLACEHOLDER.findall(match[0])]
        if all(len(text) > 1 and text[0] == text[-1] == '"' for text in texts):
            return self.store('"' + "".join(text[1:-1] for text in texts) + '"')
        return match[0]
