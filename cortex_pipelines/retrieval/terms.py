"""The terms that are matched: words (``cortex_pipelines.words``) split, folded, stemmed.

``getUserByName`` gives the stems of its parts and, as one more term, the whole identifier, so that
a query that names it exactly finds it first while one that describes it finds it too. A run of a
script without spaces gives its pairs of characters and, where it is indexed, its single characters,
so that a query of one finds it.
"""

from collections.abc import Iterable
from functools import lru_cache

import snowballstemmer

from cortex_pipelines.words import characters_of_word, parts_of_word, split_name, split_words

EXACT = "="
"""What a term begins with that stands for a whole identifier of several parts, or a version."""


@lru_cache(maxsize=1)
def _stemmer() -> "snowballstemmer.stemmer":
    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=1 << 18)
def terms_of_word(word: str) -> tuple[str, ...]:
    """The terms of one word: stems of its parts, and the whole if it has several."""
    return (*query_terms_of_word(word), *characters_of_word(word))


@lru_cache(maxsize=1 << 16)
def query_terms_of_word(word: str) -> tuple[str, ...]:
    """The same without the single characters of a longer run, which would find too much."""
    parts = parts_of_word(word)
    stems = [_stemmer().stemWord(part) if part.isascii() else part for part in parts]
    if "." in word and len(parts) > 1:
        stems.append(EXACT + ".".join(part for part in parts if part.isdigit()))
    elif len(parts) > 1 and not characters_of_word(word):
        stems.append(EXACT + "".join(parts))
    return tuple(stems)


# Function words of English and of questions; where a query has nothing else they count.
STOP_WORDS = frozenset(
    split_words(
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
    return [term for word in split_words(text) for term in terms_of_word(word)]


def query_terms(text: str) -> list[str]:
    return [term for word in split_words(text) for term in query_terms_of_word(word)]


def is_identifier(word: str) -> bool:
    """Whether a word is written as only code writes: several parts, or an underscore."""
    if len(word) < 3 or word.isdigit() or "." in word:
        return False
    return len(split_name(word)) > 1 and not characters_of_word(word)


def stop_terms(extra: Iterable[str] = ()) -> frozenset[str]:
    return frozenset(term for word in (*STOP_WORDS, *extra) for term in terms_of_word(word))
