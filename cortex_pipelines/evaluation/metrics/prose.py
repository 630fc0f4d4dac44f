"""Similarity of two texts in words, such as two docstrings of the same function."""

import re
from collections import Counter

from cortex_pipelines.words import folded_words

_WORD = re.compile(r"[^\W\d_]+")
_FUNCTION_WORDS = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "if", "in", "into", "is"),
        *("it", "its", "not", "of", "on", "or", "that", "the", "this", "to", "when", "which"),
        *("will", "with"),
    ]
)


def word_f1(written: str, expected: str) -> float:
    """F1 of the words of two texts, 0 to 1, without function words, order, case and signs.

    With function words two unrelated docstrings of a project share an eighth of their words,
    without them a thirtieth. Of six measures (this one with and without function words, ROUGE-L,
    chrF, smoothed BLEU, edit similarity) it tells best whether two docstrings are of functions with
    one name: docs/evaluation.md.
    """
    mine, theirs = (_words(text) for text in (written, expected))
    shared = sum((mine & theirs).values())
    return 2 * shared / (sum(mine.values()) + sum(theirs.values())) if shared else 0.0


def _words(text: str) -> Counter[str]:
    parts = (part for word in folded_words(text) for part in _WORD.findall(word))
    return Counter(part for part in parts if part not in _FUNCTION_WORDS)
