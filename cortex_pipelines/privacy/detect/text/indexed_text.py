"""A text with what rules look up before they search it: most texts have nothing that a rule needs."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property, lru_cache

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.text.wording import lexical_share

COLOUR = re.compile(r"(?:\x1b|\\(?:x1[bB]|033|e|u001[bB]))\[[0-9;]{0,8}m")
"""What sets a terminal's colour, as a character or as code writes it."""

_COLOUR_STARTS = ("\x1b[", "\\x1b[", "\\x1B[", "\\033[", "\\e[", "\\u001b[", "\\u001B[")
_WORD_BYTES = bytes(c if (chr(c).isalnum() and c < 128) or c == 95 else 32 for c in range(256))
_HIDDEN = ("\\u00", "\\x", "&#")
_ESCAPED_BLANKS = "nrt"
_MOST_SEARCHES = 60
_LEAST_VALUE = 6


class IndexedText:
    """A text, its lower case, its distinct words, and where its suspicious names are.

    Every suspicious name contains a word (a run of ASCII letters, digits and underscores) that is
    suspicious by itself, so a text is searched for names only if one of its words is. ``vocabulary``
    is the distinct words in lower case, between blanks.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower = text.lower()
        if len(self.lower) != len(text):  # a few capital letters have lower forms of two characters
            self.lower = "".join(c.lower() if c.isascii() else c for c in text)
        self.words = _ascii_words(text)
        if any(start in text for start in _COLOUR_STARTS):
            self.words |= _ascii_words(COLOUR.sub(" ", text))
        self._words = f" {' '.join(self.words)} "
        self.vocabulary = self._words.lower()

    @cached_property
    def suspicious_words(self) -> dict[str, int]:
        """The words that suggest a secret, also without the letter of an escaped line feed."""
        strengths: dict[str, int] = {}
        end, is_escaped, is_encoded = 0, "\\" in self.text, "%" in self.text
        for hit in names.SUSPECT.finditer(self.vocabulary):
            if hit.start() > end:
                start, end = self.vocabulary.rfind(" ", 0, hit.start()) + 1, self.vocabulary.find(" ", hit.end())
                word = self._words[start:end]
                strength = names.suspicion(word)
                if is_escaped and word[0] in _ESCAPED_BLANKS:
                    strength = max(strength, names.suspicion(word[1:]))
                if is_encoded and word[0] in "234567":  # %3Dtoken
                    strength = max(strength, names.suspicion(word[2:]))
                if strength:
                    strengths[word] = strength
        return strengths

    @cached_property
    def has_hidden_names(self) -> bool:
        """Whether escapes of characters may hide a name."""
        return any(escape in self.text for escape in _HIDDEN)

    @cached_property
    def could_assign_secrets(self) -> bool:
        """Whether there is a suspicious name, and under a weak one a word of a random value."""
        if names.STRONG in self.suspicious_words.values():
            return True
        return bool(self.suspicious_words) and self.has_dense_word

    @cached_property
    def has_dense_word(self) -> bool:
        """Whether a word may be a part of a random value of more than a dozen characters."""
        return any(map(_is_dense, [word for word in self.words if len(word) >= _LEAST_VALUE]))

    @cached_property
    def suspects(self) -> list[tuple[int, int]]:
        """Start and end of each `names.SUSPECT` within a suspicious word, in order."""
        spans = {
            hit.span() for start, end in self._occurrences() for hit in names.SUSPECT.finditer(self.lower, start, end)
        }
        return sorted(spans)

    def has_suspect(self, start: int, end: int) -> bool:
        return bisect_left(self.suspects, (start, 0)) < bisect_left(self.suspects, (end + 1, 0))

    def _occurrences(self) -> Iterator[tuple[int, int]]:
        if len(self.suspicious_words) > _MOST_SEARCHES:
            yield from (run.span() for run in _RUN.finditer(self.text) if run[0] in self.suspicious_words)
            return
        for word in self.suspicious_words:
            start = self.text.find(word)
            while start >= 0:
                end = start + len(word)
                if not _RUN.search(self.text[start - 1 : start] + self.text[end : end + 1]):
                    yield start, end
                start = self.text.find(word, end)


_RUN = re.compile(r"[A-Za-z0-9_]+")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")


def longest_word(mark: str) -> str:
    """The longest word of a mark, in lower case, which the vocabulary of a text with it contains."""
    return max(_RUN.findall(mark), key=len, default="").lower()


def _ascii_words(text: str) -> set[str]:
    return set(text.encode("latin-1", "replace").translate(_WORD_BYTES).decode().split())


@lru_cache(maxsize=1 << 16)
def _is_dense(word: str) -> bool:
    return lexical_share(word) < 0.6 or _HEX.fullmatch(word) is not None
