"""Find patterns among the files of a project, or in a folder.

A pattern is a YAML file below a folder called ``patterns``. Files below ``proposed`` wait for a
person and are ignored. A file with the keys of a pattern that is not valid is reported; other files
are ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from cortex_pipelines.extraction.patterns.pattern import Pattern, PatternError, parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES

FOLDER, PROPOSED = "patterns", "proposed"
"""Names of the folder of patterns, and of its subfolder for those not accepted yet."""

DAMAGED, INVALID, REPEATED = "pattern_damaged", "pattern_invalid", "pattern_repeated"
"""Reasons for rejecting a file or one of its entries."""

_FILE_COLUMNS = ("source", "path", "text")
_MAX_CHARACTERS = 65_536
_MAX_PATTERNS = 200
# At the beginning of a line, or within braces; with or without quotation marks.
_KEY = re.compile(r"""(?:^(?:- )? {0,8}|[{,][ \t]*)["']?(name|when|example|counter[-_]example)["']? *:""", re.MULTILINE)
_MIN_KEYS = 2
# The parser's own error, and others that hostile input raises.
_PARSE_ERRORS = (YAMLError, ValueError, RecursionError, AssertionError, IndexError, TypeError)


@dataclass(frozen=True)
class PatternFile:
    """A pattern read from a file, or ``why_not`` (`DAMAGED`, `INVALID` or `REPEATED`) with an explanation.

    The source is empty in a folder.
    """

    source: str
    path: str
    pattern: Pattern | None
    why_not: str = ""
    detail: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.path}: {self.detail}"


def may_hold_patterns() -> pl.Expr:
    folders = pl.concat_str(pl.col("source").str.replace(":", "/"), pl.lit("/"), pl.col("path"))
    in_folder = folders.str.contains(f"/{FOLDER}/", literal=True)
    is_proposed = pl.col("path").str.contains(rf"(?:^|/){PROPOSED}/")
    return (pl.col("language") == "yaml") & in_folder & ~is_proposed


def read_patterns(files: pl.DataFrame) -> list[PatternFile]:
    pattern_rows = files.filter(may_hold_patterns()).select(_FILE_COLUMNS).sort("source", "path")
    return _without_repeats(pattern_rows.iter_rows())


def folder_patterns(folder: Path) -> list[PatternFile]:
    """The patterns in a folder of patterns, in the order of their paths; PatternError without the folder."""
    if not folder.is_dir():
        raise PatternError(f"{folder}: no such folder; --folder names one with patterns, --project a project")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml"))
    accepted = [path for path in files if PROPOSED not in path.relative_to(folder).parts[:-1]]
    return _without_repeats(("", path.as_posix(), path.read_text("utf-8", "replace")) for path in accepted)


def project_checks(repository_files: Path) -> PatternChecks:
    """Checks for a project's outputs, from the folder of its repository files."""
    files = REPOSITORY_FILES.read(repository_files, "language", *_FILE_COLUMNS)
    return PatternChecks(valid_patterns(read_patterns(files)))


def valid_patterns(entries: Iterable[PatternFile]) -> list[Pattern]:
    return [entry.pattern for entry in entries if entry.pattern is not None]


def _read_entries(source: str, path: str, text: str) -> list[PatternFile]:
    if len({match[1] for match in _KEY.finditer(text)}) < _MIN_KEYS:
        return []
    if len(text) > _MAX_CHARACTERS:
        return [PatternFile(source, path, None, DAMAGED, f"more than {_MAX_CHARACTERS:,} characters")]
    try:
        documents = list(YAML(typ="safe", pure=True).load_all(text))
    except _PARSE_ERRORS as error:
        detail = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
            detail = f"{error.problem.partition(chr(10))[0]}, line {error.problem_mark.line + 1}"[:200]
        return [PatternFile(source, path, None, DAMAGED, f"no YAML: {detail}")]
    entries: list[Any] = []
    for document in documents:
        entries += document if isinstance(document, list) else [document]
    limited = entries[:_MAX_PATTERNS]
    results = [_pattern(source, path, entry) for entry in limited if entry is not None]
    if len(limited) < len(entries):
        detail = f"more than {_MAX_PATTERNS} patterns; the rest is left out"
        results.append(PatternFile(source, path, None, DAMAGED, detail))
    return results


def _pattern(source: str, path: str, entry: Any) -> PatternFile:
    name = entry.get("name", "") if isinstance(entry, dict) else ""
    try:
        pattern = parse_pattern(entry)
        PatternChecks([pattern])
    except PatternError as error:
        prefix = f"{name}: " if isinstance(name, str) and name else ""
        return PatternFile(source, path, None, INVALID, f"{prefix[:70]}{error}")
    return PatternFile(source, path, pattern)


def _without_repeats(files: Iterable[tuple[str, str, str]]) -> list[PatternFile]:
    """The patterns in files, given source, path and text; the first of each name is valid."""
    first_by_name: dict[str, PatternFile] = {}
    results: list[PatternFile] = []
    for entry in (entry for file in files for entry in _read_entries(*file)):
        if entry.pattern is None or first_by_name.setdefault(entry.pattern.name, entry) is entry:
            results.append(entry)
            continue
        name = entry.pattern.name
        detail = f"name: {name} is in {PurePosixPath(first_by_name[name].path)}, too"
        results.append(PatternFile(entry.source, entry.path, None, REPEATED, detail))
    return results
