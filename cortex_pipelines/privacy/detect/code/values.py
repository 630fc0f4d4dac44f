"""Literals of code with the names that they may reach.

Only a text that has a suspicious name, and near it a literal that could be a secret, is parsed.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.code.tree import CodeTree, excerpts
from cortex_pipelines.privacy.detect.context import ending_of
from cortex_pipelines.privacy.detect.findings import Span
from cortex_pipelines.privacy.detect.named_values import PASSWORD_NAME, NamedValue
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.values import (
    is_garbled,
    is_mixed,
    is_password,
    is_pattern,
    is_reference,
    is_sample,
    is_strong_secret,
)
from cortex_pipelines.syntax.grammars import Grammar, grammar_for

_BEFORE, _AFTER = 600, 300
_REST = re.compile(r"[\w$-]{0,40}")
_START = re.compile(r"[\w$-]*")  # backwards
_NAME_CHARS = 60


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
# What follows a quote, or begins the line after one, up to a blank or the next quote: words have neither digits nor
# signs, and random letters are at least ten. Code between two literals begins and ends with punctuation.
_CANDIDATE = re.compile(
    r"""["'`](?:\\?\r?\n[ \t]*)?(?:(?:Bearer|Basic|Token|Key)[ ])?
    (?![,;:)\]}+?=|&.](?:[^\s"'`]{0,400}+(?<=[=:(\[,+?&|;{}!<>])["'`]|[^\s"'`]{0,400}+\s))
    ((?=[^\s"'`\d!#$%^&*?@~]{0,999}+[\d!#$%^&*?@~]|[A-Za-z]{10})[^\s"'`]{6,1000})""",
    re.VERBOSE,
)
_FALLBACK = re.compile(r"\$\{\s*[\w.-]{1,80}\s*:[-=?]?\s*([^\s{}]{1,400})\}?")
_NOTHING, _CHOSEN, _RANDOM = range(3)
_LEAST_WEAK_CHARS = 8  # half of a value of 16, in two literals


def code_values(indexed: IndexedText, path: str, language: str | None) -> Iterator[NamedValue]:
    """Literals of code that could be secrets, under each name that they may reach."""
    grammar = _grammar(path, language)
    if grammar is None or not indexed.could_assign_secrets:
        return
    candidates = list(_candidates(indexed))
    for excerpt in excerpts(indexed.text, candidates) if candidates else ():
        yield from CodeTree(indexed.text, excerpt, grammar).values()


def outside_syntax(text: str, path: str, language: str | None, spans: Iterable[Span]) -> Iterator[Span]:
    """Those of the spans that line patterns found where a syntax tree sees no names and values.

    That is in comments, inside literals, and where the syntax tree is missing.
    """
    grammar = _grammar(path, language)
    if grammar is None:
        yield from spans
        return
    by_start = {span.start: span for span in spans}
    for excerpt in excerpts(text, sorted(by_start)) if by_start else ():
        tree = CodeTree(text, excerpt, grammar)
        yield from (by_start[start] for start in excerpt.positions if not tree.decides_on(start))


def _grammar(path: str, language: str | None) -> Grammar | None:
    if language not in _LANGUAGES.values():
        language = _LANGUAGES.get(ending_of(path))
    return None if language is None else grammar_for(language, path)


def _candidates(indexed: IndexedText) -> Iterator[int]:
    """Where values begin that could be secrets, near a name whose kind allows it."""
    text, name_end = indexed.text, 0
    strong: list[int] = []
    passwords: list[int] = []
    windows: list[tuple[int, int]] = []
    for position, suspect_end in indexed.suspects:
        if position < name_end:
            continue
        tail, head = _REST.match(text, suspect_end), _START.match(text[max(0, position - _NAME_CHARS) : position][::-1])
        name_end = tail.end() if tail else suspect_end
        name = text[position - (head.end() if head else 0) : name_end]
        strength = names.suspicion(name)
        if not strength:
            continue
        if strength == names.STRONG:
            strong.append(position)
            if PASSWORD_NAME.search(name):
                passwords.append(position)
        start = max(0, position - _AFTER)
        if windows and start <= windows[-1][1]:
            start = windows.pop()[0]
        windows.append((start, min(len(text), position + _BEFORE)))
    for start, end in windows:
        for match in _CANDIDATE.finditer(text, start, end):
            position = match.start(1)
            is_long = match.end() - position >= _LEAST_WEAK_CHARS
            kind = _kind(match[1]) if is_long or _is_near(strong, position) else _NOTHING
            if kind == _RANDOM or (kind == _CHOSEN and _is_near(passwords, position)):
                yield position


def _is_near(positions: list[int], position: int) -> bool:
    index = bisect_left(positions, position - _BEFORE)
    return index < len(positions) and positions[index] < position + _AFTER


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
