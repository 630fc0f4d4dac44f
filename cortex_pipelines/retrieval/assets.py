"""Assets of retrieval: documents to search (exact), vectors of their meaning, the graph of the code."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from cortex_pipelines.embeddings.encoder import HALF, SentenceEncoder, machine_precision, sentence_part
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.retrieval.graph.build import (
    FACT_COLUMNS,
    GRAPH_COMMIT_COLUMNS,
    GRAPH_FILE_COLUMNS,
    TEST_COLUMNS,
    GraphTables,
)
from cortex_pipelines.retrieval.graph.build import code_graph as graph_of_project
from cortex_pipelines.retrieval.graph.names import GRAPH_UNIT_COLUMNS
from cortex_pipelines.retrieval.settings import RetrievalSettings
from cortex_pipelines.retrieval.tables import COMMIT_COLUMNS, FILE_COLUMNS, UNIT_COLUMNS, build_search_tables
from cortex_pipelines.retrieval.vectors import Floats, embeddings, model_digest
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS, TEST_CASES
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH, EMBEDDINGS, SEARCHED_DOCUMENTS, SEARCHED_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(SEARCHED_FILES, SEARCHED_DOCUMENTS))
def search_documents(
    repository_files: Path, annotated_units: Path, repository_commits: Path, extraction: ExtractionSettings
) -> dict[str, pl.DataFrame]:
    """Places in a project's files that a search can give, and what of them is embedded."""
    return build_search_tables(
        REPOSITORY_FILES.read(repository_files, *FILE_COLUMNS),
        ANNOTATED_UNITS.read(annotated_units, *UNIT_COLUMNS),
        REPOSITORY_COMMITS.read(repository_commits, *COMMIT_COLUMNS),
        extraction,
    )


@versioned_asset(tables=(EMBEDDINGS,), determinism="machine")
def code_embeddings(
    search_documents: Path,
    repository_commits: Path,
    sentence_encoder: PinnedModel,
    retrieval: RetrievalSettings,
    project: str,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Vectors of a project's units, files, folders, repositories and commits."""
    precision = machine_precision(retrieval.precision, HALF)
    loaded: list[SentenceEncoder] = []

    def encode(texts: Sequence[str]) -> Floats:
        if not loaded:
            folder = weights_folder(sentence_encoder.source, dict(sentence_encoder.pin), root)
            loaded.append(SentenceEncoder(folder, retrieval.max_tokens, retrieval.batch, retrieval.threads, precision))
        return sentence_part(loaded[0].encode(texts))

    model = model_digest(dict(sentence_encoder.pin), retrieval.max_tokens)
    rows = embeddings(
        SEARCHED_DOCUMENTS.read(search_documents),
        REPOSITORY_COMMITS.read(repository_commits),
        encode,
        model,
        cache,
        f"{project}/{model}/{precision}",
    )
    return {EMBEDDINGS.name: rows}


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
        REPOSITORY_FILES.read(repository_files, *GRAPH_FILE_COLUMNS),
        CODE_UNITS.read(code_units, *GRAPH_UNIT_COLUMNS),
        TEST_CASES.read(code_units, *TEST_COLUMNS),
        ARCHITECTURE_FACTS.read(architecture_facts, *FACT_COLUMNS),
        REPOSITORY_COMMITS.read(repository_commits, *GRAPH_COMMIT_COLUMNS),
    )
    graph = graph_of_project(tables, architecture, extraction, cache, project)
    return {CODE_GRAPH.name: graph}
