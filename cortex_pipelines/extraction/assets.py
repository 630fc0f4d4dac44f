"""Assets of extraction: code units, architecture facts and refactoring pairs."""

from functools import partial
from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.architecture.build import FILE_COLUMNS, UNIT_COLUMNS
from cortex_pipelines.extraction.architecture.build import architecture_facts as facts_of_project
from cortex_pipelines.extraction.pairs.mining import PairMiner
from cortex_pipelines.extraction.settings import (
    ArchitectureSettings,
    ExtractionSettings,
    PairSettings,
    RefactoringSettings,
)
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.ingestion.redactions import without_private_errors
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import (
    ARCHITECTURE_FACTS,
    CODE_UNITS,
    REFACTORING_PAIRS,
    TEST_CASES,
    UNPARSED_FILES,
)
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(CODE_UNITS, TEST_CASES, UNPARSED_FILES))
def code_units(
    repository_files: Path, extraction: ExtractionSettings, project: str, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Functions, methods, types, imports and declarations of six languages, with exact spans.

    Test cases that are no units have a table of their own.
    """
    return vars(extract(REPOSITORY_FILES.read(repository_files), extraction, project, cache))


@versioned_asset(tables=(ARCHITECTURE_FACTS,))
def architecture_facts(
    repository_files: Path,
    code_units: Path,
    architecture: ArchitectureSettings,
    extraction: ExtractionSettings,
    project: str,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Modules, imports, routes, APIs, schemas, deployment and service boundaries."""
    files = REPOSITORY_FILES.read(repository_files, *FILE_COLUMNS)
    units = CODE_UNITS.read(code_units, "source", *UNIT_COLUMNS)
    facts = facts_of_project(files, units, architecture, extraction, cache, project)
    return {ARCHITECTURE_FACTS.name: facts}


@versioned_asset(tables=(REFACTORING_PAIRS,))
def refactoring_pairs(
    project_source: ProjectSource,
    repository_commits: Path,
    pairs: PairSettings,
    refactoring: RefactoringSettings,
    ingestion: IngestionSettings,
    privacy: PrivacySettings,
    project: str,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Refactorings in the history of a project: code before and after, what was done and why."""
    commits = REPOSITORY_COMMITS.read(repository_commits)
    miner = PairMiner(project, pairs, refactoring, ingestion, privacy)
    mined = without_private_errors(
        partial(miner.mine_history, project_source, commits, root, cache),
        SourceError,
        privacy,
        project_key(project, privacy),
    )
    return {REFACTORING_PAIRS.name: mined}
