"""Passwords in SQL: of users and roles, and in the columns of rows that are inserted."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.names import STRONG, suspicion
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.values import is_default, is_password, is_reference, is_sample

# Matched against the text in lower case: a pattern that begins with a word is fast.
_QUOTED = r"""(?:n?\\?'([^'\n\\]{4,120})\\?'|\\?"([^"\n\\]{4,120})\\?")"""
_IDENTIFIED = re.compile(
    r"identified\s{1,9}(?:with\s{1,9}\S{1,60}\s{1,9})?(?:by|as)\s{1,9}(?:password\s{1,9})?"
    rf"(?:{_QUOTED}|([\w!#$%^*-]{{6,80}})(?![\w.\[]))"
)
_PASSWORD = re.compile(rf"password\s{{0,9}}(?:=\s{{0,9}}|\(\s{{0,9}})?{_QUOTED}")
_ACCOUNT = re.compile(
    r"(?:create|alter|grant)\s{1,9}(?:user|role|login|group|[\w, ]{2,60}\bto)\s[^;]{0,200}\Z"
    r"|set\s{1,9}password\s[^;\n]{0,80}\Z"
)
_BEFORE = 300
_INSERT = re.compile(
    r"insert\s{1,9}(?:ignore\s{1,9})?into\s{1,9}[\w.`\"\[\]]{1,80}\s{0,9}\(([^()]{1,1000})\)"
    r"\s{0,40}values\s{0,40}"
)
_ROW = re.compile(r"\s*,?\s*\(")
_CELL = re.compile(r"\s*(?:N?'((?:[^'\\\n]|\\.|'')*+)'|\"((?:[^\"\\\n]|\\.)*+)\"|([^,()'\"\n]*+(?:\([^()\n]*+\))?))\s*")
_MOST_ROWS = 2000


def stated_secrets(indexed: IndexedText) -> Iterator[Span]:
    """Passwords in statements of SQL."""
    text, lower, vocabulary = indexed.text, indexed.lower, indexed.vocabulary
    for pattern, word in ((_IDENTIFIED, "identified"), (_PASSWORD, "password")):
        if word not in vocabulary:
            continue
        for match in pattern.finditer(lower):
            start, end = match.span(match.lastindex or 0)
            bare = pattern is _IDENTIFIED and match[3] is not None
            sentence = " " in text[start:end]
            if (bare or sentence or pattern is _PASSWORD) and not _is_of_account(lower, match.start()):
                continue
            if _may_be(text[start:end]):
                yield Span(start, end, SECRET, "sql-password", "high")
    if "insert " in vocabulary and "values" in vocabulary:
        for match in _INSERT.finditer(lower):
            yield from _in_rows(text, match)


def _is_of_account(lower: str, position: int) -> bool:
    """Whether a character is inside a statement about a user or role."""
    return _ACCOUNT.search(lower, max(0, position - _BEFORE), position) is not None


def _may_be(value: str) -> bool:
    return not (is_reference(value) or is_sample(value) or is_default(value))


def _in_rows(text: str, insert: re.Match[str]) -> Iterator[Span]:
    columns = [column.strip().strip('`"[]') for column in insert[1].split(",")]
    secret_columns = {index for index, column in enumerate(columns) if suspicion(column) == STRONG}
    position = insert.end()
    for _ in range(_MOST_ROWS if secret_columns else 0):
        row = _ROW.match(text, position)
        if row is None:
            return
        position = row.end()
        for column in range(len(columns)):
            cell = _CELL.match(text, position)
            if cell is None:
                return
            position = cell.end()
            group = cell.lastindex
            if column in secret_columns and group in (1, 2) and _is_stored(cell[group]):
                yield Span(cell.start(group), cell.end(group), SECRET, "sql-password", "high")
            if text[position : position + 1] != ",":
                break
            position += 1
        if text[position : position + 1] != ")":
            return
        position += 1


def _is_stored(value: str) -> bool:
    return len(value) >= 6 and _may_be(value) and is_password(value, quoted=True, in_data=True)
