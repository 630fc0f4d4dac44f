"""Literals of code with the names that they may reach.

Only a text that has a suspicious name, and near it a literal that could be a secret, is parsed.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from cortex_pipelines.privacy.detect.code.excerpts import excerpts
from cortex_pipelines.privacy.detect.code.nearby import NearbyNames
from cortex_pipelines.privacy.detect.code.tree import CodeTree
from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.values import (
    is_garbled,
    is_mixed,
    is_password,
    is_pattern,
    is_reference,
    is_sample,
    is_strong_secret,
)
from cortex_pipelines.syntax.grammars import grammar_for

_LANGUAGES = {
    ending: language
    for language, endings in {
        "python": "py pyi pyw",
        "javascript": "js jsx mjs cjs",
        "typescript": "ts tsx mts cts",
        "java": "java",
        "go": "go",
        "rust": "rs",
    }.items()
    for ending in endings.split()
}
# What follows a quote, or begins the line after one, up to a blank or the next quote: words have
# neither digits nor signs, and random letters are at least ten.
_CANDIDATE = re.compile(
    r"""["'`](?:\\?\r?\n[ \t]*)?(?:(?:Bearer|Basic|Token|Key)[ ])?"""
    r"""((?=[^\s"'`]{0,999}?[\d!#$%^&*?@~]|[A-Za-z]{10})[^\s"'`]{6,1000})"""
)
_FALLBACK = re.compile(r"\$\{\s*[\w.-]{1,80}\s*:[-=?]?\s*([^\s{}]{1,400})\}?")
_NOTHING, _CHOSEN, _RANDOM = range(3)


def code_values(text: str, lower: str, path: str, language: str | None) -> Iterator[NamedValue]:
    """Literals of code that could be secrets, under each name that they may reach.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
        path: Its path, whose ending tells the language if that is not known.
        language: Its language, if known.
    """
    ending = PurePosixPath(path).suffix[1:].lower()
    if language not in _LANGUAGES.values():
        language = _LANGUAGES.get(ending)
    if language is None:
        return
    nearby = NearbyNames(text, lower)
    candidates = [
        position for position, kind in _candidates(text) if nearby.has_name(position, of_password=kind == _CHOSEN)
    ]
    grammar = grammar_for(language, path)
    for excerpt in excerpts(text, candidates) if candidates else ():
        yield from CodeTree(text, excerpt, grammar).values()


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    """Where a literal, or a line of one, may be a secret, and how."""
    for match in _CANDIDATE.finditer(text):
        kind = _kind(match[1])
        if kind:
            yield match.start(1), kind


@lru_cache(maxsize=1 << 14)
def _kind(value: str) -> int:
    """How a value, or part of one, could be a secret; `_NOTHING` if it could not."""
    if is_reference(value):
        fallback = _FALLBACK.search(value)
        return _kind(fallback[1]) if fallback else _NOTHING
    if is_sample(value) or is_pattern(value):
        return _NOTHING
    if is_strong_secret(value) or is_garbled(value, True) or is_mixed(value):
        return _RANDOM
    return _CHOSEN if is_password(value, True, True) else _NOTHING
