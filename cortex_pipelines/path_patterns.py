"""Patterns of paths, read like a line of ``.gitignore``, everywhere in the project.

``*`` and ``?`` stay within a folder, ``**`` goes over folders or none, a pattern without a slash
matches at any depth, one with a slash from the root, and a folder includes everything in it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import polars as pl
from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern
from pydantic import AfterValidator, Field

_MAX_CHARS = 1_000
_MAX_BACKTRACKING_STARS = 2
"""Up to which Python's backtracking is quick on any path; polars' engine is linear with more."""

_CLASS = re.compile(r"\[[!^]?\]?[^\]]*\]")
_SET_OPERATION = re.compile(r".\[|&&|~~|--", re.DOTALL)
"""Constructs within brackets that Python and polars interpret differently."""

_LITERAL = re.compile(r"\[([][*?])\]")


class PathPatternError(ValueError):
    """A text is not a pattern of paths; the message says what to write."""


@dataclass(frozen=True)
class PathPattern:
    """A pattern of paths, and the regular expression to search in a path, valid in Python and polars."""

    text: str
    regex: str

    def matches(self, path: str) -> bool:
        """Whether a file's path, relative to the root, matches; case counts."""
        path = path.removeprefix("./")
        if self.text.count("*") <= _MAX_BACKTRACKING_STARS:
            return re.search(self.regex, path) is not None
        return bool(self.match_all(pl.Series([path]))[0])

    def match_all(self, paths: pl.Series, *, any_case: bool = False) -> pl.Series:
        return paths.str.contains(f"(?i){self.regex}" if any_case else self.regex)


@lru_cache(maxsize=1024)
def path_pattern(text: str) -> PathPattern:
    """Read a pattern as in ``.gitignore`` without escapes and negation, ``./`` is the root; PathPatternError."""
    try:
        _check(text)
        segments = text.strip().split("/")
        names = [
            segment if segment == "**" else _LITERAL.sub(r"\\\1", re.sub(r"\*{2,}", "*", segment))
            for segment in segments
            if segment not in ("", ".")
        ]
        if not names:
            raise PathPatternError(f"{text!r} names no file or folder; write ** for everything")
        anchored = segments[0] in ("", ".") or len(names) > 1
        folder = segments[-1] in ("", ".")
        if folder and names[-1] == "**":
            names.append("*")  # the folders below, not the files next to them
        joined_path = "/".join(names)
        escaped = f"\\{joined_path}" if joined_path[0] in "!#" and not anchored else joined_path
        regex, _ = GitIgnoreSpecPattern.pattern_to_regex("/" * (anchored and names[0] != "**") + escaped + "/" * folder)
        if regex is not None:
            # as in git, no class matches a slash
            regex = re.sub(r"(?<!\\)\[\^(?!/)", "[^/", regex)
            pl.Series([""]).str.contains(regex)
            re.compile(regex)
            return PathPattern(text, regex)
    except (GitIgnorePatternError, re.error, pl.exceptions.ComputeError):
        pass
    raise PathPatternError(
        f"{text!r} is not a pattern of paths: a bracket is not closed or holds a wrong range; "
        "write [[] for a bracket itself"
    )


def _valid(text: str) -> str:
    path_pattern(text)
    return text


PathPatternText = Annotated[str, Field(min_length=1), AfterValidator(_valid)]  # A pattern in ``params.yaml``


def _check(text: str) -> None:
    problem = None
    if "\\" in text:
        problem = "write / between folders, and [*], [?] or [[] for a sign itself"
    elif re.match(r"\s*(?:[A-Za-z]:[/]|~)", text) or ".." in text.strip().split("/"):
        problem = "it leaves the root; write the path relative to the root, such as src/**/*.py"
    elif len(text) > _MAX_CHARS or re.search(r"[\x00-\x1f\x7f]", text):
        problem = f"it has control characters, or more than {_MAX_CHARS:,} of all"
    elif any(map(_is_ambiguous, _CLASS.findall(_LITERAL.sub("", text)))):
        problem = "brackets hold single characters and ranges such as [a-z0-9_]"
    if problem is not None:
        raise PathPatternError(f"{text!r} is not a pattern of paths: {problem}")


def _is_ambiguous(bracket: str) -> bool:
    """Whether brackets are read differently by git, Python and polars."""
    if _SET_OPERATION.search(bracket) or bracket[1:3] in ("!]", "^]"):
        return True
    try:
        return bracket[1] not in "!^" and re.match(bracket, "/") is not None
    except re.error:
        return True
