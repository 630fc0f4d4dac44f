"""Split names into words, and extract the first sentence of documentation."""

import re
from functools import lru_cache

_RUNS = re.compile(r"[^\W\d_]+|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s|\n\s*\n|\n\s*(?:[@:]\w|Args:|[-*] )")
_INLINE_TAG = re.compile(r"\{@\w+\s+([^{}]*)\}")
_MOST_CHARS = 100
_MARKUP = re.compile(r"<[^<>]{1,40}>|(?::\w+)+:`[.~!]?|[`*]")


def words_of(name: str) -> str:
    """Words of a name in any convention, in lower case: ``getHTTPUrl`` is ``get http url``."""
    return " ".join(part for run in _RUNS.findall(name) for part in _humps(run)).lower()


@lru_cache(maxsize=1 << 16)
def _humps(run: str) -> list[str]:
    """Parts of a camel-case name such as ``HTTPUrl``."""
    borders = [
        place
        for place in range(1, len(run))
        if run[place].isupper()
        and (run[place - 1].islower() or run[place + 1 : place + 2].islower())
    ]
    return [run[start:end] for start, end in zip([0, *borders], [*borders, len(run)], strict=True)]


def first_sentence(docstring: str) -> str:
    """First sentence of documentation without markers, truncated at a word."""
    plain = _MARKUP.sub("", _INLINE_TAG.sub(r"\1", docstring[: 20 * _MOST_CHARS])).strip()
    sentence = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split()).rstrip(" .:")
    if len(sentence) <= _MOST_CHARS:
        return sentence
    return sentence[: _MOST_CHARS + 1].rpartition(" ")[0] or sentence[:_MOST_CHARS]
