"""Asset of what is searched: the exact side, texts and spans, without any vector."""

from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.retrieval.tables import COMMIT_COLUMNS, FILE_COLUMNS, UNIT_COLUMNS, build_search_tables
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import SEARCHED_DOCUMENTS, SEARCHED_FILES
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
