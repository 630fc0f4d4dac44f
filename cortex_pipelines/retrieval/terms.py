"""Words of code and prose as the terms that are matched: split, folded, stemmed.

``getUserByName`` gives the stems of its parts and, as one more term, the whole identifier, so that
a query that names it exactly finds it first while one that describes it finds it too.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_LONGEST = 100
"""Characters of a word that is a word; longer ones are data (keys, encoded bytes)."""

EXACT = "="
"""What a term begins with that stands for a whole identifier of several parts."""


@lru_cache(maxsize=1)
def _stemmer() -> "snowballstemmer.stemmer":
    return snowballstemmer.stemmer("english")


def parts_of_word(word: str) -> list[str]:
    """The parts of an identifier, in small letters; none of what is too long for a word."""
    return [part.lower() for part in _PART.findall(word)] if len(word) <= _LONGEST else []


@lru_cache(maxsize=1 << 18)
def terms_of_word(word: str) -> tuple[str, ...]:
    """The terms of one word: stems of its parts, and the whole if it has several."""
    parts = parts_of_word(word)
    stems = [_stemmer().stemWord(part) for part in parts]
    if len(parts) > 1:
        stems.append(EXACT + "".join(parts))
    return tuple(stems)


def words(text: str) -> list[str]:
    """The words of a text as they are written, in their order."""
    return _WORD.findall(text)


# Function words of English and of questions; where a query has nothing else they count.
STOP_WORDS = frozenset(
    words(
        """
        a about after again all also although am an and any are as at be because been before
        being below between both but by can cannot could did do does doing done down during each
        either else ever every few for from further get gets getting got had has have having he
        hence her here hers him his how however i if in into is it its itself just know let like
        made make makes making may me might more most much must my need needed needs no nor not
        now of off on once one only or other our out over own please same see seem seems should
        since so some still such than that the their them then there these they thing this those
        though through thus to too try trying under until up us use used uses using very via
        want wants was way we well were what when where whether which while who whom whose why
        will with within without would yes yet you your
        """
    )
)


def terms(text: str) -> list[str]:
    """The terms of a text, in the order of its words."""
    return [term for word in words(text) for term in terms_of_word(word)]


def is_identifier(word: str) -> bool:
    """Whether a word is written as only code writes: several parts, or an underscore."""
    return len(word) > 2 and len(_PART.findall(word)) > 1 and not word.isdigit()


def stop_terms(extra: Iterable[str] = ()) -> frozenset[str]:
    """Stop words and others as terms."""
    return frozenset(term for word in (*STOP_WORDS, *extra) for term in terms_of_word(word))
