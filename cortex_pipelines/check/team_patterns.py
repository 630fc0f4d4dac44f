"""Counter-examples of the team's patterns (docs/guides/patterns.md)."""

from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

import polars as pl

from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.extraction.patterns.pattern_files import may_hold_patterns, read_patterns, valid_patterns
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks

RULE = "pattern"


def find_broken_patterns(file: CheckedFile, project: ProjectFacts, rules: Collection[str]) -> Iterator[Finding]:
    path = project.table("repository_files", "files.parquet")
    if RULE not in rules or path is None:
        return
    checks = _checks(path)
    if file.language not in checks.languages:
        return
    for match in checks.find_matches(file.data.decode(errors="replace"), file.language, file.source_path):
        yield file.line_finding(match.line, f"{RULE}/{match.name}", match.when)


@lru_cache(maxsize=8)
def _checks(path: Path) -> PatternChecks:
    columns = ("source", "path", "language", "text")
    return PatternChecks(
        valid_patterns(read_patterns(pl.scan_parquet(path).filter(may_hold_patterns()).select(columns).collect()))
    )
