"""Imports against the direction that a project's imports have: its dependency rules, as learnt by its data stages."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.datasets.architecture.dependency_rules import Edge, FolderImport, folder_import
from cortex_pipelines.extraction.architecture.build import facts_in_file
from cortex_pipelines.extraction.architecture.facts import CONFIG, Fact, parsed_detail
from cortex_pipelines.extraction.architecture.index import INTERNAL, SourceIndex, SourcePackage
from cortex_pipelines.extraction.architecture.readers import imports
from cortex_pipelines.extraction.architecture.resolvers import import_targets
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings

RULE = "forbidden-import"

_READERS: dict[str, Callable[[SourceFile], Iterator[Fact]]] = {
    "go": imports.go_imports,
    "java": imports.java_imports,
    "javascript": imports.javascript_imports,
    "python": imports.python_imports,
    "rust": imports.rust_imports,
    "typescript": imports.javascript_imports,
}
# What declares packages and aliases; code is read for its imports alone.
_MANIFESTS = (
    r"(^|/)(Cargo\.toml|go\.mod|pom\.xml|package\.json|pyproject\.toml|[^/]*\.gradle(\.kts)?|[tj]sconfig[^/]*\.json)$"
)
_JAVA_PACKAGE = r"(?m)^\s*package\s+([\w.]+)\s*;"
_PARSING = ExtractionSettings.model_construct(max_file_bytes=2_000_000)
_LIMITS = ArchitectureSettings.model_construct(
    max_file_bytes=1_000_000, max_yaml_bytes=200_000, max_yaml_depth=40, max_facts_per_file=5000
)


def find_forbidden_imports(file: CheckedFile, project: ProjectFacts, rules: Collection[str]) -> Iterator[Finding]:
    rules_path = project.table("architecture_dataset", "dependency_rules.parquet")
    files_path = project.table("repository_files", "files.parquet")
    if RULE not in rules or rules_path is None or files_path is None:
        return
    forbidden = _forbidden(rules_path, project.source)
    if not forbidden:
        return
    index = _index(files_path, project.source, file.source_path, file.language)
    text = file.data.decode(errors="replace")
    source_file = SourceFile(file.source_path, file.language, text, _LIMITS, _PARSING)
    reported = set()
    for fact in _READERS[file.language](source_file):
        for target in import_targets(index, file.source_path, fact.object, parsed_detail(fact.detail)):
            if target.scope != INTERNAL:
                continue
            parts = folder_import(Edge("", file.source_path, target.object, ""))
            if parts not in forbidden or (parts, fact.start_line) in reported:
                continue
            reported.add((parts, fact.start_line))
            yield file.line_finding(fact.start_line, RULE, forbidden[parts])


@lru_cache(maxsize=8)
def _forbidden(path: Path, source: str) -> dict[FolderImport, str]:
    """Messages by forbidden import."""
    table = pl.read_parquet(path)
    rows = (table.filter(pl.col("source") == source) if source else table).iter_rows(named=True)
    return {
        FolderImport("", row["folder"], row["lower"], row["upper"]): (
            f"{row['folder'] + ': ' * bool(row['folder'])}{row['lower']} must not import {row['upper']}: "
            + (
                f"{row['edges']} imports go the other way and {row['against'] or 'none'} this one."
                if row["learnt"] == "counted"
                else f"{row['upper']} stands above {row['lower']} by what imports what."
            )
        )
        for row in rows
    }


def _index(files: Path, source: str, path: str, language: str) -> SourceIndex:
    """Index of the source's files and of the checked one, which may be new."""
    index = _built_index(files, source)
    if path in index.languages:
        return index
    return SourceIndex({**index.languages, path: language}, index.packages, index.aliases, index.namespaces)


@lru_cache(maxsize=8)
def _built_index(path: Path, source: str) -> SourceIndex:
    table = pl.scan_parquet(path)
    files = table.filter(pl.col("source") == source) if source else table
    languages = dict(files.select("path", "language").collect().iter_rows())
    manifests = files.filter(pl.col("path").str.contains(_MANIFESTS)).select("path", "language", "text").collect()
    java = files.filter(pl.col("language") == "java")
    namespaces = java.select("path", pl.col("text").str.extract(_JAVA_PACKAGE)).drop_nulls().collect()
    packages: list[SourcePackage] = []
    aliases: dict[str, Mapping[str, Any]] = {}
    for name, language, text in manifests.iter_rows():
        for fact in facts_in_file(SourceFile(name, language, text, _LIMITS, _PARSING)):
            if fact.fact == "service":
                details = {**parsed_detail(fact.detail), "needs": []}
                packages.append(SourcePackage(fact.subject, fact.object, str(fact.technology), details))
            elif fact.fact == CONFIG:
                aliases.setdefault(fact.subject, parsed_detail(fact.detail))
    return SourceIndex(languages, packages, aliases, dict(namespaces.iter_rows()))
