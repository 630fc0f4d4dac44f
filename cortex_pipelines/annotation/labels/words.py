"""Words of a name, and the intent of a unit in a few of them."""

import re
from functools import lru_cache

_RUNS = re.compile(r"[^\W\d_]+|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s|\n\s*\n|\n\s*(?:[@:]\w|Args:|[-*] )")
_INLINE_TAG = re.compile(r"\{@\w+\s+([^{}]*)\}")
_MARKUP = re.compile(r"<[^<>]{1,40}>|(?::\w+)+:`[.~!]?|[`*]")


def words_of(name: str) -> str:
    """Words of a name in any convention, in lower case: ``getHTTPUrl`` is ``get http url``."""
    return " ".join(part for run in _RUNS.findall(name) for part in _humps(run)).lower()


@lru_cache(maxsize=1 << 16)
def _humps(run: str) -> list[str]:
    """Parts of ``HTTPUrl``: a capital begins one after a small letter, or before one."""
    borders = [
        place
        for place in range(1, len(run))
        if run[place].isupper()
        and (run[place - 1].islower() or run[place + 1 : place + 2].islower())
    ]
    return [run[start:end] for start, end in zip([0, *borders], [*borders, len(run)], strict=True)]


def intent_of(kind: str, name: str, docstring: str | None, max_chars: int) -> str:
    """What a unit does: the first sentence of its documentation, else the words of its name.

    Args:
        kind: Kind of unit.
        name: Its name.
        docstring: Its documentation, without markers.
        max_chars: Where a long sentence is cut, at a word, in characters.
    """
    sentence = _first_sentence(docstring[: 20 * max_chars]) if docstring else ""
    if not sentence:
        sentence = f"import {name}" if kind == "import" else words_of(name) or name
    if len(sentence) <= max_chars:
        return sentence
    return sentence[: max_chars + 1].rpartition(" ")[0] or sentence[:max_chars]


def _first_sentence(text: str) -> str:
    plain = _MARKUP.sub("", _INLINE_TAG.sub(r"\1", text)).strip()
    return " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split()).rstrip(" .:")
