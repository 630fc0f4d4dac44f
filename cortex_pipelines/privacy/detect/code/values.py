"""Literals of code with the names that they may reach.

Only a text that has a suspicious name, and near it a literal that could be a secret, is parsed.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.code.tree import CodeTree
from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.values import (
    is_garbled,
    is_password,
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
# A literal, or the first line in one of several, up to a blank; words have neither digits nor
# signs, and random letters are at least ten.
_CANDIDATE = re.compile(
    r"""(?:["'`]|(?:"{3}|'{3}|`)\\?\r?\n[ \t]*)(?:(?:Bearer|Basic|Token|Key)[ ])?
    ((?=[^\s"'`]{0,999}?[\d!#$%^&*?@~]|[A-Za-z]{10})[^\s"'`]{6,1000})""",
    re.VERBOSE,
)
_FALLBACK = re.compile(r"\$\{\s*[\w.-]{1,80}\s*:[-=?]?\s*([^\s{}]{1,400})\}?")
_WORD = re.compile(r"[\w$-]{0,40}")
_BEFORE, _AFTER = 600, 300


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
    candidates = [at for at in _candidates(text) if _is_near_a_name(text, lower, at)]
    if candidates:
        yield from CodeTree(text, grammar_for(language, path)).values(candidates)


def _candidates(text: str) -> Iterator[int]:
    """Where a literal, or a line of one, may be a secret."""
    for match in _CANDIDATE.finditer(text):
        if _is_plausible(match[1]):
            yield match.start(1)


@lru_cache(maxsize=1 << 14)
def _is_plausible(value: str) -> bool:
    """Whether a value could be a secret, or part of one, under the most suspicious name."""
    if is_reference(value):
        fallback = _FALLBACK.search(value)
        return fallback is not None and _is_plausible(fallback[1])
    if not (is_strong_secret(value) or is_garbled(value, True) or is_password(value, True, True)):
        return False
    return not is_sample(value)


def _is_near_a_name(text: str, lower: str, at: int) -> bool:
    """Whether a suspicious name is near a character."""
    end = 0
    for hit in names.SUSPECT.finditer(lower, max(0, at - _BEFORE), at + _AFTER):
        if hit.start() >= end:
            start = hit.start()
            while start and (text[start - 1].isalnum() or text[start - 1] in "_$-"):
                start -= 1
            end = _end_of_word(text, hit.end())
            if names.suspicion(text[start:end]):
                return True
    return False


def _end_of_word(text: str, at: int) -> int:
    word = _WORD.match(text, at)
    return word.end() if word else at
