"""Units of code."""

from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.architecture.build import OF_FILES
from cortex_pipelines.extraction.architecture.build import architecture_facts as facts_of_project
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.architecture.unit_notes import OF_UNITS
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.architecture import ARCHITECTURE_FACTS
from cortex_pipelines.schemas.code_units import CODE_UNITS, TEST_CASES, UNIT_CHUNKS, UNPARSED_FILES
from cortex_pipelines.schemas.repositories import REPOSITORY_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(
    tables=(CODE_UNITS, UNIT_CHUNKS, TEST_CASES, UNPARSED_FILES),
    code=(
        "cortex_pipelines/extraction/assets.py",
        "cortex_pipelines/extraction/chunks.py",
        "cortex_pipelines/extraction/codefile.py",
        "cortex_pipelines/extraction/documentation.py",
        "cortex_pipelines/extraction/gaps.py",
        "cortex_pipelines/extraction/garbage.py",
        "cortex_pipelines/extraction/brackets.py",
        "cortex_pipelines/extraction/grammars.py",
        "cortex_pipelines/extraction/layout.py",
        "cortex_pipelines/extraction/names.py",
        "cortex_pipelines/extraction/nesting.py",
        "cortex_pipelines/extraction/outline.py",
        "cortex_pipelines/extraction/queries",
        "cortex_pipelines/extraction/test_pairing.py",
        "cortex_pipelines/extraction/testcases.py",
        "cortex_pipelines/extraction/units.py",
        "cortex_pipelines/schemas.py",
    ),
)
def code_units(
    repository_files: Path, extraction: ExtractionSettings, project: str, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Functions, methods, types, imports and declarations of six languages, with exact spans.

    Large units also come in parts, and units with the tests that exercise them.
    """
    files = REPOSITORY_FILES.read(repository_files)
    found = extract(files, extraction, project, cache)
    return {
        "units": found.units,
        "chunks": found.chunks,
        "tests": found.tests,
        "unparsed_files": found.unparsed,
    }


@versioned_asset(
    tables=(ARCHITECTURE_FACTS,),
    code=(
        "cortex_pipelines/extraction/architecture",
        "cortex_pipelines/extraction/assets.py",
        "cortex_pipelines/extraction/documentation.py",
        "cortex_pipelines/extraction/gaps.py",
        "cortex_pipelines/extraction/garbage.py",
        "cortex_pipelines/extraction/brackets.py",
        "cortex_pipelines/extraction/grammars.py",
        "cortex_pipelines/schemas.py",
    ),
)
def architecture_facts(
    repository_files: Path,
    code_units: Path,
    architecture: ArchitectureSettings,
    extraction: ExtractionSettings,
    project: str,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Modules and their imports, routes, APIs, schemas, deployment and service boundaries."""
    files = REPOSITORY_FILES.read(repository_files, *OF_FILES)
    units = CODE_UNITS.read(code_units, "source", *OF_UNITS)
    found = facts_of_project(files, units, architecture, extraction, cache, project)
    return {ARCHITECTURE_FACTS.name: found}
