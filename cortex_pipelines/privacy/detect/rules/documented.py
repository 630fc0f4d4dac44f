"""Passwords that documents tell people: in a sentence, in the column of a table."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.context import ending_of, is_code
from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.values import is_default, is_mixed, is_password, is_reference, is_sample

# Matched against the text in lower case.
_NAME = r"(?:pass(?:word|phrase|wd)|pwd)"
_BARE = r"(?P<bare>[^\s`'\"()\[\]{}<>,;/|]{6,80}?)(?=[.,;:)]?(?:[\s`'\"]|$))"
# "the password is `harbour42`"
_SENTENCE = re.compile(
    rf"(?<![\w-]){_NAME}(?:\s{{1,20}}(?:is|was|of))?\s{{1,20}}"
    rf"(?:(?P<quote>[`'\"]{{1,2}})(?P<quoted>[^\s`'\"]{{6,80}})(?P=quote)|{_BARE})"
)
# "credentials: admin / harbour42"
_ACCOUNT = re.compile(
    r"\b(?:credentials?|log(?:ged)?[ ]?in|sign(?:ed)?[ ]?in|accounts?)\b[^\n]{0,40}?"
    rf"(?<![\w./:@-])[`'\"]?[\w@-]{{3,40}}[`'\"]?[ ]?/[ ]?[`'\"]?{_BARE}"
)
_RULE_OFF = frozenset(" \t|:-\r")  # what the line below a table's head is made of
_COLUMN = re.compile(rf"(?:\w+[ _-]?)?{_NAME}")
_DIVIDERS = {"csv": ",", "tsv": "\t"}
_MARKUP = " \t`*_\"'\r"
_MOST_ROWS = 2000


def documented_secrets(indexed: IndexedText, path: str) -> Iterator[Span]:
    """Passwords in sentences, and in tables of Markdown, CSV or TSV under the head of their column."""
    has_name = "pass" in indexed.vocabulary or "pwd" in indexed.vocabulary
    for pattern, is_possible in ((_SENTENCE, has_name), (_ACCOUNT, "/" in indexed.text)):
        for match in pattern.finditer(indexed.lower) if is_possible else ():
            start, end = match.span("bare" if match["bare"] else "quoted")
            value = indexed.text[start:end]
            if (not match["bare"] or is_mixed(value)) and _is_told(value):  # few words have digits and capitals
                yield Span(start, end, SECRET, "password", "medium")
    if has_name and not is_code(path):
        yield from _in_tables(indexed, _DIVIDERS.get(ending_of(path), "|"))


def _is_told(value: str) -> bool:
    is_made_up = is_reference(value) or is_sample(value) or is_default(value)
    return any(map(str.isdigit, value)) and not is_made_up and is_password(value, quoted=True, in_data=True)


def _is_ruled_off(cells: list[str], below: list[str]) -> bool:
    return len(cells) > 1 and any("-" in line and _RULE_OFF.issuperset(line) for line in below)


def _in_tables(indexed: IndexedText, divider: str) -> Iterator[Span]:
    lines = indexed.text.split("\n")
    columns: set[int] = set()  # of passwords, in the table that is read
    line_start = head = 0
    for number, line in enumerate(lines):
        cells = line.split(divider)
        if _is_ruled_off(cells, lines[number + 1 : number + 2]) if divider == "|" else number == 0:
            head = number
            columns = {i for i, cell in enumerate(cells) if _COLUMN.fullmatch(cell.strip(_MARKUP).lower())}
        elif len(cells) == 1 or number - head > _MOST_ROWS:
            columns = set()
        elif columns:
            start = line_start
            for index, cell in enumerate(cells):
                value = cell.strip(_MARKUP)
                if index in columns and len(value) >= 6 and _is_told(value):
                    first = start + cell.index(value)
                    yield Span(first, first + len(value), SECRET, "password", "high")
                start += len(cell) + 1
        line_start += len(line) + 1
