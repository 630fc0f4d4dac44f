"""A reviewer's remark on code, with the code before and after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

DAMAGED = "review_damaged"
NO_CODE = "review_without_code"
NO_REMARK = "review_without_remark"
NO_CODE_AFTER = "review_without_result"

_MAX_LINES = 3000
_MAX_GROWTH = 12
_SUGGESTION = re.compile(r"(`{3,})suggestion(?::-(\d{1,3})\+(\d{1,3}))?")
# Addressees are removed from remarks; `@decorator` is kept.
_ADDRESSEE = re.compile(r"^\s*@[A-Za-z0-9][\w-]{0,38}[,:]?\s+")
_MENTION = re.compile(r"(?<![\w@/`.])@[A-Za-z0-9][\w-]{0,38}(?![\w/(])")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Review:
    """One remark on a passage of code: as the reviewer saw it, and as it was then suggested or written.

    The remark is one line without the names of addressees; ``why_not`` is the missing part.
    """

    path: str
    before: str
    remark: str
    after: str
    why_not: str = ""


@dataclass(frozen=True)
class ReviewSuggestion:
    """A suggested replacement: of the commented line with so many above and below."""

    above: int
    below: int
    text: str


def review_of(path: str, before: Sequence[str], comment: str, after: Sequence[str] | None) -> Review:
    path, remark = _writable(path), _writable(remark_of(comment))
    old, new = _writable("\n".join(before)), _writable("\n".join(after or ()))
    parts = ((old.strip(), NO_CODE), (remark, NO_REMARK), (new.strip(), NO_CODE_AFTER))
    return Review(path, old, remark, new, next((reason for part, reason in parts if not part), ""))


def _writable(text: str) -> str:
    """Replace lone surrogates, which JSON may hold but a file cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def remark_of(comment: str) -> str:
    """A remark in one line, without suggestions and addressees."""
    text = _ADDRESSEE.sub("", _split_comment(comment)[0])
    return " ".join(_MENTION.sub("someone", text).split())


def suggestions_of(comment: str) -> list[ReviewSuggestion]:
    """The blocks of a remark that suggest code, in its order."""
    return _split_comment(comment)[1]


def _split_comment(comment: str) -> tuple[str, list[ReviewSuggestion]]:
    prose: list[str] = []
    suggestions: list[ReviewSuggestion] = []
    opening: re.Match[str] | None = None
    begin = 0
    lines = comment.split("\n")
    for number, line in enumerate(lines):
        word = line.strip()
        if opening is None:
            opening, begin = _SUGGESTION.fullmatch(word), number
            if opening is None:
                prose.append(line)
        elif len(word) >= len(opening[1]) and not word.strip("`"):
            text = "\n".join(lines[begin + 1 : number]).rstrip("\r\n")
            suggestions.append(ReviewSuggestion(int(opening[2] or 0), int(opening[3] or 0), text))
            opening = None
    if opening is not None:
        prose += lines[begin:]
    return "\n".join(prose), suggestions


def new_side(diff: str) -> dict[int, str]:
    """The lines of a unified diff that the new version has, by their number in its file."""
    lines: dict[int, str] = {}
    number = 0
    for line in diff.splitlines():
        hunk = _HUNK.match(line)
        if hunk:
            number = int(hunk[1])
        elif number and line[:1] in ("+", " ", ""):
            lines[number] = line[1:]
            number += 1
    return lines


def changed_later(
    before: Sequence[str], first: int, last: int, after: Sequence[str]
) -> tuple[list[str], list[str]] | None:
    """A passage and its replacement in a later version; None if it was not changed."""
    if len(before) > _MAX_LINES or len(after) > _MAX_LINES:
        return None
    low, high = first, last
    start = end = None
    changed = False
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, False).get_opcodes():
        overlaps = i1 < last and i2 > first if i1 < i2 else first < i1 < last
        if not overlaps:
            continue
        if tag == "equal":
            i_low, i_high = max(first, i1), min(last, i2)
            j1, j2 = j1 + i_low - i1, j1 + i_high - i1
        else:
            changed = True
            low, high = min(low, i1), max(high, i2)
        start, end = j1 if start is None else start, j2
    if not changed or start is None or end is None:
        return None
    if end - start > 2 * (high - low) + _MAX_GROWTH:  # the matcher included the lines that follow
        return None
    return list(before[low:high]), list(after[start:end])
