"""Split names into words, and extract the first sentence of documentation."""

import re

from cortex_pipelines.words import split_name

_SENTENCE_END = re.compile(r"(?<=[.!?。])\s|\n\s*\n|\n\s*(?:[@:]\w|Args:|[-*] )")
_INLINE_TAG = re.compile(r"\{@\w+\s+([^{}]*)\}")
_MOST_CHARS = 100
_MARKUP = re.compile(r"<[^<>]{1,40}>|(?::\w+)+:`[.~!]?|[`*]")


def words_of(name: str) -> str:
    """Words of a name in any convention, in lower case: ``getHTTPUrl`` is ``get http url``."""
    return " ".join(split_name(name)).lower()


def first_sentence(docstring: str) -> str:
    """First sentence of documentation without markers, truncated at a word."""
    plain = _MARKUP.sub("", _INLINE_TAG.sub(r"\1", docstring[: 20 * _MOST_CHARS])).strip()
    sentence = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split()).rstrip(" .:")
    if len(sentence) <= _MOST_CHARS:
        return sentence
    return sentence[: _MOST_CHARS + 1].rpartition(" ")[0] or sentence[:_MOST_CHARS]
