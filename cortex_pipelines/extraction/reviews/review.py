"""A reviewer's remark on code, with the code before and after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

DAMAGED = "review_damaged"
NO_CODE = "review_without_code"
NO_REMARK = "review_without_remark"
NO_CODE_AFTER = "review_without_result"

_MOST_LINES = 3000
_SWALLOWED = 12
_SUGGESTION = re.compile(r"(`{3,})suggestion(?::-(\d{1,3})\+(\d{1,3}))?")
# Whom a remark addresses, which is nobody's name in the data; `@decorator` stays as it is.
_ADDRESSED = re.compile(r"^\s*@[A-Za-z0-9][\w-]{0,38}[,:]?\s+")
_MENTION = re.compile(r"(?<![\w@/`.])@[A-Za-z0-9][\w-]{0,38}(?![\w/(])")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Review:
    """One remark on a passage of code.

    Args:
        path: File that it is about, as the review names it.
        before: The passage, as the reviewer saw it.
        remark: What was said, in one line, without names of those it was said to.
        after: The passage as it was then suggested or written.
        why_not: What of this is missing (`NO_CODE` and others), else empty.
    """

    path: str
    before: str
    remark: str
    after: str
    why_not: str = ""


@dataclass(frozen=True)
class ReviewSuggestion:
    """A block of a remark that says how its lines should read.

    Args:
        above: Lines above the one that the remark stands at which it replaces too.
        below: Likewise below.
        text: The new lines.
    """

    above: int
    below: int
    text: str


def review_of(path: str, before: Sequence[str], said: str, after: Sequence[str] | None) -> Review:
    """A review, with what it lacks.

    Args:
        path: The file.
        before: Lines of the passage.
        said: The remark as it was written.
        after: Lines of the passage afterwards; None if that is not known.
    """
    path, remark = _writable(path), _writable(remark_of(said))
    old, new = _writable("\n".join(before)), _writable("\n".join(after or ()))
    why_not = ""
    if not old.strip():
        why_not = NO_CODE
    elif not remark:
        why_not = NO_REMARK
    elif not new.strip():
        why_not = NO_CODE_AFTER
    return Review(path, old, remark, new, why_not)


def _writable(text: str) -> str:
    """A text without half a surrogate pair, which JSON may hold and no file can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def remark_of(said: str) -> str:
    """A remark in one line, without suggestions and without those whom it addresses."""
    text = _ADDRESSED.sub("", _told_apart(said)[0])
    return " ".join(_MENTION.sub("someone", text).split())


def suggestions_of(said: str) -> list[ReviewSuggestion]:
    """The blocks of a remark that suggest code, in its order."""
    return _told_apart(said)[1]


def _told_apart(said: str) -> tuple[str, list[ReviewSuggestion]]:
    """What a remark says besides its suggestions, and these; one that has no end is none."""
    rest: list[str] = []
    made: list[ReviewSuggestion] = []
    opened: re.Match[str] | None = None
    begin = 0
    lines = said.split("\n")
    for at, line in enumerate(lines):
        word = line.strip()
        if opened is None:
            opened, begin = _SUGGESTION.fullmatch(word), at
            if opened is None:
                rest.append(line)
        elif len(word) >= len(opened[1]) and not word.strip("`"):
            text = "\n".join(lines[begin + 1 : at]).rstrip("\r\n")
            made.append(ReviewSuggestion(int(opened[2] or 0), int(opened[3] or 0), text))
            opened = None
    if opened is not None:
        rest += lines[begin:]
    return "\n".join(rest), made


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
    """A passage and what a later version has in its place; None if it was not changed.

    Args:
        before: Lines of the version that was looked at.
        first: First line of the passage, from 0.
        last: The line after it.
        after: Lines of the later version.
    """
    if len(before) > _MOST_LINES or len(after) > _MOST_LINES:
        return None
    low, high = first, last
    start = end = None
    changed = False
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, False).get_opcodes():
        inside = i1 < last and i2 > first if i1 < i2 else first < i1 < last
        if not inside:
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
    if end - start > 2 * (high - low) + _SWALLOWED:  # the matcher took what follows for it
        return None
    return list(before[low:high]), list(after[start:end])
