"""Asset of retrieval: the graph of a project's code."""

from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.retrieval.graph.build import COMMIT_COLUMNS, FACT_COLUMNS, FILE_COLUMNS, TEST_COLUMNS, GraphTables
from cortex_pipelines.retrieval.graph.build import code_graph as graph_of_project
from cortex_pipelines.retrieval.graph.names import UNIT_COLUMNS
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS, TEST_CASES
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(CODE_GRAPH,))
def code_graph(
    repository_files: Path,
    repository_commits: Path,
    code_units: Path,
    architecture_facts: Path,
    architecture: ArchitectureSettings,
    extraction: ExtractionSettings,
    project: str,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Calls, imports, inheritance, tests, configuration and common changes as edges."""
    tables = GraphTables(
        REPOSITORY_FILES.read(repository_files, *FILE_COLUMNS),
        CODE_UNITS.read(code_units, *UNIT_COLUMNS),
        TEST_CASES.read(code_units, *TEST_COLUMNS),
        ARCHITECTURE_FACTS.read(architecture_facts, *FACT_COLUMNS),
        REPOSITORY_COMMITS.read(repository_commits, *COMMIT_COLUMNS),
    )
    graph = graph_of_project(tables, architecture, extraction, cache, project)
    return {CODE_GRAPH.name: graph}
