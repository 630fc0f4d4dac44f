r"""Lines without escapes: quoted JSON, HTML entities, percent encoding, colours of terminals.

A log or a page shows a setting as ``{\"password\": …}``, ``password&#61;…`` or ``password%3D…``;
without the escapes the patterns for plain text match it.
"""

import re
from collections.abc import Iterator
from heapq import merge

from cortex_pipelines.privacy.detect.text.indexed_text import COLOUR, IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText, entities_resolved

# By their first characters, which are quick to find.
_ESCAPES = tuple(
    re.compile(pattern)
    for pattern in (
        r"""\\(?:\\*["'/\\]|u00[2-7][0-9a-fA-F]|x[2-7][0-9a-fA-F]|(?:033|e|u001[bB]|x1[bB])\[)""",
        r"\x1b\[",
        r"&(?:quot|apos|amp|lt|gt|colon|equals|#[xX]?[0-9a-fA-F]{1,6});",
        r"%(?:2[02-9A-Fa-f]|3[A-Fa-f]|40|5[BbDd]|7[BbDd])",
    )
)
_ESCAPES_IN_CODE = tuple(map(re.compile, (r"&(?:quot|#34|#39|#61);", r"%(?:3[Dd]|22)")))
_BACKSLASH = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"'/\\`nrt]))")
_BLANKS = {"n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%([2-7][0-9A-Fa-f])")
_ADDRESS = re.compile(r":(?://|\\+/|%2[fF])|@|%40|&#|\\[ux]")
_MOST_LEVELS = 4
_LONGEST_LINE = 20_000


def unescaped_lines(indexed: IndexedText, code: bool) -> Iterator[MappedText]:
    """Lines with escapes that may hold private values, one text per level of quoting.

    Args:
        indexed: The text.
        code: Whether it is code, whose escapes are resolved by its parser.
    """
    lines = _escaped_lines(indexed, _ESCAPES_IN_CODE if code else _ESCAPES)
    for _ in range(_MOST_LEVELS if lines.text else 0):
        view = _one_level(lines)
        if view.text == lines.text:
            return
        yield view
        lines = view


def _escaped_lines(indexed: IndexedText, patterns: tuple[re.Pattern[str], ...]) -> MappedText:
    text = indexed.text
    source = MappedText.from_source(text)
    parts: list[MappedText] = []
    scanned_end = 0
    may_hide_name = indexed.has_hidden_names
    for escape in merge(*(pattern.finditer(text) for pattern in patterns), key=re.Match.start):
        if escape.start() < scanned_end:
            continue
        start = max(text.rfind("\n", 0, escape.start()) + 1, escape.start() - _LONGEST_LINE, scanned_end)
        end = text.find("\n", escape.end(), escape.end() + _LONGEST_LINE)
        scanned_end = end + 1 if end >= 0 else min(len(text), escape.end() + _LONGEST_LINE)
        if may_hide_name or indexed.has_suspect(start, scanned_end) or _ADDRESS.search(text, start, scanned_end):
            parts.append(source.slice(start, scanned_end))
    return MappedText.concatenate(parts) if parts else source.slice(0, 0)


def _one_level(lines: MappedText) -> MappedText:
    plain = lines.replaced(COLOUR, lambda _: "").replaced(_BACKSLASH, _character)
    return entities_resolved(plain).replaced(_PERCENT, lambda match: chr(int(match[1], 16)))


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _BLANKS.get(match[3], match[3])
