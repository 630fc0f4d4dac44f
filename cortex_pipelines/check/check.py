"""Check one text by all sources of findings."""

from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

import polars as pl

from cortex_pipelines.check.checked_file import CheckedFile, read_checked, suppression_filter
from cortex_pipelines.check.checked_file import NotCheckedError as NotCheckedError
from cortex_pipelines.check.conventions import find_broken_conventions
from cortex_pipelines.check.dependencies import find_forbidden_imports
from cortex_pipelines.check.existing_functions import find_existing_functions
from cortex_pipelines.check.findings import Finding
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.check.rules import DEFAULT
from cortex_pipelines.check.smells import find_smells
from cortex_pipelines.extraction.patterns.pattern_files import may_hold_patterns, read_patterns, valid_patterns
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks

_PATTERN = "pattern"


def find_broken_patterns(file: CheckedFile, project: ProjectFacts, rules: Collection[str]) -> Iterator[Finding]:
    """Counter-examples of the team's patterns (docs/guides/patterns.md)."""
    path = project.table("repository_files", "files.parquet")
    if _PATTERN not in rules or path is None:
        return
    checks = _pattern_checks(path)
    if file.language not in checks.languages:
        return
    for match in checks.find_matches(file.data.decode(errors="replace"), file.language, file.source_path):
        yield file.line_finding(match.line, f"{_PATTERN}/{match.name}", match.when)


@lru_cache(maxsize=8)
def _pattern_checks(path: Path) -> PatternChecks:
    columns = ("source", "path", "language", "text")
    return PatternChecks(
        valid_patterns(read_patterns(pl.scan_parquet(path).filter(may_hold_patterns()).select(columns).collect()))
    )


_PROJECT_SOURCES = (find_broken_conventions, find_existing_functions, find_forbidden_imports, find_broken_patterns)


def check_text(
    path: str, text: str, project: ProjectFacts | None = None, rules: Collection[str] = DEFAULT
) -> list[Finding]:
    """Findings in a text by position, without those that a comment suppresses.

    ``path``: where the text is, or will be saved. ``project``: facts of its project; None for smells alone.
    Raises NotCheckedError: its language is not supported, or it cannot be parsed.
    """
    return check_file(read_file(path, text, project), project, rules)


def read_file(path: str, text: str, project: ProjectFacts | None) -> CheckedFile:
    return read_checked(path, text.removeprefix("\ufeff"), project.relative(path) if project else path)


def check_file(file: CheckedFile, project: ProjectFacts | None, rules: Collection[str]) -> list[Finding]:
    findings = [*find_smells(file, rules)]
    if project is not None:
        findings += [finding for find in _PROJECT_SOURCES for finding in find(file, project, rules)]
    is_suppressed = suppression_filter(file)
    return sorted((finding for finding in findings if not is_suppressed(finding)), key=lambda finding: finding.order)
