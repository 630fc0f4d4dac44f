"""Find patterns among the files of a project, or in a folder.

A pattern is a YAML file below a folder called ``patterns``; what lies below one called
``proposed`` waits for a person and counts for nothing. A file there that has the keys of a pattern
and is none is reported, any other is not looked at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cortex_pipelines.extraction.patterns.pattern import Pattern, PatternError, pattern_of
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.schemas.repositories import REPOSITORY_FILES

FOLDER, PROPOSED = "patterns", "proposed"
"""Names of the folder of patterns, and of that in it for those that nobody accepted yet."""

DAMAGED, INVALID, REPEATED = "pattern_damaged", "pattern_invalid", "pattern_repeated"
"""Why a file or an entry of it is no pattern."""

_OF_FILES = ("source", "path", "text")
_MAX_CHARACTERS = 65_536
_MAX_PATTERNS = 200
# At the beginning of a line, or within braces; with or without quotation marks.
_KEY = re.compile(
    r"""(?:^(?:- )? {0,8}|[{,][ \t]*)["']?(name|when|example|counter[-_]example)["']? *:""",
    re.MULTILINE,
)
_LEAST_KEYS = 2
# The parser's own error, and what it lets through on hostile input.
_BROKEN = (YAMLError, ValueError, RecursionError, AssertionError, IndexError, TypeError)


@dataclass(frozen=True)
class PatternFile:
    """A pattern as it was found in a file, or why there is none.

    Args:
        source: Source of the project; empty in a folder.
        path: The file.
        pattern: The pattern.
        why_not: `DAMAGED`, `INVALID` or `REPEATED`; empty where there is one.
        detail: The same in words, with the key.
    """

    source: str
    path: str
    pattern: Pattern | None
    why_not: str = ""
    detail: str = ""

    @property
    def sentence(self) -> str:
        """File and key, and what is wrong."""
        return f"{self.path}: {self.detail}"


def may_hold_patterns() -> pl.Expr:
    """Which rows of REPOSITORY_FILES are looked at."""
    folders = pl.concat_str(pl.col("source").str.replace(":", "/"), pl.lit("/"), pl.col("path"))
    inside = folders.str.contains(f"/{FOLDER}/", literal=True)
    waiting = pl.col("path").str.contains(rf"(?:^|/){PROPOSED}/")
    return (pl.col("language") == "yaml") & inside & ~waiting


def written_patterns(files: pl.DataFrame) -> list[PatternFile]:
    """The patterns in a project's files, in the order of their places.

    Args:
        files: REPOSITORY_FILES with ``language`` and ``text``.
    """
    kept = files.filter(may_hold_patterns()).select(_OF_FILES).sort("source", "path")
    return _each_once(
        found for source, path, text in kept.iter_rows() for found in _found(source, path, text)
    )


def folder_patterns(folder: Path) -> list[PatternFile]:
    """The patterns in a folder of patterns, in the order of their paths.

    Raises:
        PatternError: there is no such folder.
    """
    if not folder.is_dir():
        raise PatternError(
            f"{folder}: no such folder; --folder names one with patterns, --project a project"
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml"))
    own = [path for path in files if PROPOSED not in path.relative_to(folder).parts[:-1]]
    return _each_once(
        found
        for path in own
        for found in _found("", path.as_posix(), path.read_text("utf-8", "replace"))
    )


def project_checks(repository_files: Path) -> PatternChecks:
    """What a project's outputs are held against, from the folder of that asset."""
    read = REPOSITORY_FILES.read(repository_files, "language", *_OF_FILES)
    return PatternChecks(usable(written_patterns(read)))


def usable(written: Iterable[PatternFile]) -> list[Pattern]:
    """Those that are patterns."""
    return [one.pattern for one in written if one.pattern is not None]


def _found(source: str, path: str, text: str) -> list[PatternFile]:
    """What a file holds: patterns, one after the other or in a list."""
    if len({match[1] for match in _KEY.finditer(text)}) < _LEAST_KEYS:
        return []
    if len(text) > _MAX_CHARACTERS:
        return [
            PatternFile(source, path, None, DAMAGED, f"more than {_MAX_CHARACTERS:,} characters")
        ]
    try:
        documents = list(YAML(typ="safe", pure=True).load_all(text))
    except _BROKEN as error:
        return [PatternFile(source, path, None, DAMAGED, f"no YAML: {_words(error)}")]
    entries: list[Any] = []
    for document in documents:
        entries += document if isinstance(document, list) else [document]
    few = entries[:_MAX_PATTERNS]
    made = [_pattern(source, path, entry) for entry in few if entry is not None]
    if len(few) < len(entries):
        detail = f"more than {_MAX_PATTERNS} patterns; the rest is left out"
        made.append(PatternFile(source, path, None, DAMAGED, detail))
    return made


def _words(error: Exception) -> str:
    """What is wrong with YAML, and where."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{error.problem.partition(chr(10))[0]}, line {error.problem_mark.line + 1}"[:200]
    return str(error).partition("\n")[0] or type(error).__name__


def _pattern(source: str, path: str, entry: Any) -> PatternFile:
    name = entry.get("name", "") if isinstance(entry, dict) else ""
    try:
        pattern = pattern_of(entry)
        PatternChecks([pattern])
    except PatternError as error:
        said = f"{name}: " if isinstance(name, str) and name else ""
        return PatternFile(source, path, None, INVALID, f"{said[:70]}{error}")
    return PatternFile(source, path, pattern)


def _each_once(found: Iterable[PatternFile]) -> list[PatternFile]:
    """Of patterns with the same name the first; the others are reported."""
    first: dict[str, PatternFile] = {}
    made: list[PatternFile] = []
    for one in found:
        if one.pattern is None or first.setdefault(one.pattern.name, one) is one:
            made.append(one)
            continue
        name = one.pattern.name
        detail = f"name: {name} is in {PurePosixPath(first[name].path)}, too"
        made.append(PatternFile(one.source, one.path, None, REPEATED, detail))
    return made
