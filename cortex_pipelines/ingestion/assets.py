"""Assets of ingestion: text files and commit history."""

from pathlib import Path

import polars as pl

from cortex_pipelines.ingestion.files import build, commits
from cortex_pipelines.ingestion.files import line_times as times
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import (
    LINE_TIMES,
    REDACTIONS,
    REPOSITORY_COMMITS,
    REPOSITORY_FILES,
    SKIPPED_FILES,
)
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(REPOSITORY_FILES, SKIPPED_FILES, REDACTIONS))
def repository_files(
    project_source: ProjectSource,
    ingestion: IngestionSettings,
    privacy: PrivacySettings,
    project: str,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Text files of a project's sources at their pins, with skipped files and redactions."""
    return build.repository_files(project_source, project, ingestion, privacy, root, cache)


@versioned_asset(tables=(REPOSITORY_COMMITS, REDACTIONS))
def repository_commits(
    project_source: ProjectSource, privacy: PrivacySettings, project: str, root: Path, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """History of a project's git sources, without names or addresses of its authors."""
    return commits.repository_commits(project_source, project, root, privacy, cache)


@versioned_asset(tables=(LINE_TIMES,))
def line_times(
    project_source: ProjectSource, privacy: PrivacySettings, project: str, root: Path, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """When each line of a project's git sources was written."""
    return {LINE_TIMES.name: times.line_times(project_source, project, root, privacy, cache)}
