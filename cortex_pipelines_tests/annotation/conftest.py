from typing import Any

import polars as pl
import pytest

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import extract_units
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines_tests.parameters import EXTRACTION


@pytest.fixture(scope="session")
def settings() -> AnnotationSettings:
    return AnnotationSettings(
        max_lines=12,
        max_parameters=4,
        max_cyclomatic=10,
        max_cognitive=15,
        max_nesting=2,
        max_methods=3,
        max_operators=3,
        min_envied=6,
        envy_ratio=3,
        quality_weights={
            "documented": 0.2,
            "short": 0.15,
            "simple": 0.15,
            "shallow": 0.1,
            "few_parameters": 0.1,
            "named": 0.05,
            "clean": 0.15,
            "parses": 0.05,
            "hand_written": 0.05,
        },
    )


def _read(texts: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Units and files of texts by their paths."""
    rows = [
        {
            "source": "directory:x",
            "path": path,
            "blob": "0" * 40,
            "language": language_of(path, text),
            "size_bytes": len(text),
            "generated": False,
            "text": text,
        }
        for path, text in texts.items()
    ]
    # what annotation does not read is filled in as its type has it
    blank = {pl.String: "", pl.Boolean: False, pl.Int64: 0}
    filled = [
        {
            column.name: row.get(column.name, None if column.nullable else blank.get(column.dtype))
            for column in REPOSITORY_FILES.columns
        }
        for row in rows
    ]
    files = pl.DataFrame(filled, schema=REPOSITORY_FILES.schema, orient="row")
    return extract_units(files, EXTRACTION), files


@pytest.fixture(scope="session")
def read_texts():
    return _read


@pytest.fixture
def annotated(settings: AnnotationSettings, read_texts):
    """Annotated units of one file, by their qualified names."""

    def run(path: str, text: str) -> dict[str, dict[str, Any]]:
        units, files = read_texts({path: text})
        annotated = annotate(units, files, settings, EXTRACTION).units
        rows = annotated.sort("start_byte", descending=True).to_dicts()
        return {row["qualified_name"]: row for row in rows}

    return run


@pytest.fixture(scope="session")
def extraction() -> ExtractionSettings:
    return EXTRACTION
