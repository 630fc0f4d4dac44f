"""Assets of extraction: code units and architecture facts."""

from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.architecture.build import FILE_COLUMNS, UNIT_COLUMNS
from cortex_pipelines.extraction.architecture.build import architecture_facts as facts_of_project
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS, TEST_CASES, UNIT_CHUNKS, UNPARSED_FILES
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(CODE_UNITS, UNIT_CHUNKS, TEST_CASES, UNPARSED_FILES))
def code_units(
    repository_files: Path, extraction: ExtractionSettings, project: str, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Functions, methods, types, imports and declarations of six languages, with exact spans.

    Large units also come in parts, and units with the tests that exercise them.
    """
    files = REPOSITORY_FILES.read(repository_files)
    extracted = extract(files, extraction, project, cache)
    return {
        "units": extracted.units,
        "chunks": extracted.chunks,
        "tests": extracted.tests,
        "unparsed_files": extracted.unparsed,
    }


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
