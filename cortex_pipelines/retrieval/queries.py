"""Terms of texts, and queries parsed into their terms by weight and what they name exactly.

``getUserByName`` gives the stems of its parts and, as one more term, the whole identifier, so that a query that names
it exactly finds it first while one that describes it finds it too. A run of a script without spaces gives its pairs of
characters and, where it is indexed, its single characters, so that a query of one finds it.

A short query describes or names something. A long one is the text of an issue: its first line says what it is about,
and what it quotes (identifiers, paths, stack traces) is worth more than its prose.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from cortex_pipelines.words import (
    characters_of_word,
    normalise_name,
    parts_of_word,
    split_name,
    split_words,
    word_count,
)

if TYPE_CHECKING:
    import snowballstemmer

EXACT = "="  # what a term begins with that stands for a whole identifier of several parts, or a version


@lru_cache(maxsize=1)
def _stemmer() -> "snowballstemmer.stemmer":
    import snowballstemmer  # all its languages, ten megabytes

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


# Function words of English and of questions; where a query has nothing else they count. "Get", "make" and "try" are
# none: names of functions have them (+.023 NDCG@10 for the 464 docstrings of seven packages with such a verb).
STOP_WORDS = frozenset(
    split_words(
        """
        a about after again all also although am an and any are as at be because been before being
        below between both but by can cannot could did do does doing done down during each either
        else ever every few for from further had has have having he hence her here hers him his how
        however i if in into is it its itself just know let like made may me might more most much
        must my need needed needs no nor not now of off on once one only or other our out over own
        please same see seem seems should since so some still such than that the their them then
        there these they thing this those though through thus to too under until up us use used uses
        using very via want wants was way we well were what when where whether which while who whom
        whose why will with within without would yes yet you your
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


@cache
def stop_terms(*extra: str) -> frozenset[str]:
    return frozenset(term for word in (*STOP_WORDS, *extra) for term in terms_of_word(word))


LONGEST = 1_000_000  # most characters of a query; issue texts of 5,000 words have some 50,000

_LONGEST_MENTION, _MOST_DOTS = 300, 20
"""Characters and dots of a path or dotted name; what has more is data, and costly to look up."""

LONG = 20  # words from which a query is read as the text of an issue; questions to a search have fewer

# Each run of characters is tried once, from its first one: else a long word takes quadratic time.
_PATH = re.compile(r"(?<![\w.\-])[\w.\-]++(?:[/\\][\w.\-]++)+|(?<![\w\-])-*+\w[\w\-]*+\.[a-z]{1,4}\b")
_DOTTED = re.compile(r"\b[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_QUOTED = re.compile(r"`([^`\n]{2,80})`")
_TITLE_WEIGHT, _IDENTIFIER_WEIGHT = 2.0, 1.5  # of an issue's text; a term's count has the power 0.5
_TESTS = frozenset({"test", "unittest", "pytest"})
# What questions about code always say.
_QUESTION = split_words(
    "how what function functions method methods code example examples snippet way program "
    "implement implementation implemented implements"
)
_LANGUAGE_WORDS = ("python", "py", "javascript", "js", "typescript", "ts", "java", "golang", "rust")


class QueryError(ValueError):
    pass


@dataclass(frozen=True)
class ParsedQuery:
    """Weights by term; identifiers, paths and dotted names with how often each is named.

    ``long`` is the text of an issue: files are wanted, not single functions.
    """

    text: str
    weights: dict[str, float]
    names: dict[str, int]
    paths: dict[str, int]
    long: bool
    tests: bool


def parse_query(text: str) -> ParsedQuery:
    """Parse a query.

    Raises:
        QueryError: it is empty, too long, or not text.
    """
    if not text.strip():
        raise QueryError("the query is empty; say in a few words what is looked for")
    if len(text) > LONGEST:
        raise QueryError(
            f"the query has {len(text):,} characters, at most {LONGEST:,} are read; "
            "leave out what is only attached to it"
        )
    if "\0" in text:
        raise QueryError("the query holds NUL bytes, so it is not text; give words or code")
    query_words = split_words(text)
    long = word_count(text) >= LONG
    identifiers = Counter(word for word in query_words if is_identifier(word))
    for quoted in _QUOTED.findall(text):
        identifiers.update(word for word in split_words(quoted) if len(word) > 2)
    name_text = normalise_name(text)
    # the dashes in front are of an option of a command, or a minus
    mentions = [match.lstrip("-").strip("./\\") for match in _PATH.findall(name_text)] + _DOTTED.findall(name_text)
    paths = Counter(name for name in mentions if len(name) <= _LONGEST_MENTION and name.count(".") <= _MOST_DOTS)
    weights: defaultdict[str, float] = defaultdict(float)
    for word, count in Counter(query_words).items():
        weight = count**0.5 * (_IDENTIFIER_WEIGHT if long and word in identifiers else 1.0)
        for term in query_terms_of_word(word):
            weights[term] += weight
    if long:
        title = text.strip().split("\n", 1)[0][:300]
        for term in set(query_terms(title)):
            weights[term] += _TITLE_WEIGHT
    ignored = stop_terms() if long else stop_terms(*_QUESTION, *_LANGUAGE_WORDS)
    weighted = {term: weight for term, weight in weights.items() if term not in ignored} or dict(weights)
    tests = not long and not _TESTS.isdisjoint(weighted)
    return ParsedQuery(text, weighted, dict(identifiers), dict(paths), long, tests)
