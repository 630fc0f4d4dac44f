from typing import Any

import polars as pl
import pytest

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines_tests.parameters import EXTRACTION, load_cases


@pytest.fixture(scope="session")
def settings() -> AnnotationSettings:
    return AnnotationSettings(**load_cases(__file__))


def read_texts(texts: dict[str, str], generated: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    # what annotation does not read is filled in as its type has it
    blank = {pl.String: "", pl.Boolean: False, pl.Int64: 0}
    empty = {column.name: None if column.nullable else blank.get(column.dtype) for column in REPOSITORY_FILES.columns}
    fixed = {"source": "directory:x", "blob": "0" * 40, "generated": generated}
    rows = [
        empty | fixed | {"path": path, "language": language_of(path, text), "size_bytes": len(text), "text": text}
        for path, text in texts.items()
    ]
    files = pl.DataFrame(rows, schema=REPOSITORY_FILES.schema, orient="row")
    return extract(files, EXTRACTION).units, files


@pytest.fixture
def annotated(settings: AnnotationSettings):
    def run(path: str, text: str, generated: bool = False) -> dict[str, dict[str, Any]]:
        units, files = read_texts({path: text}, generated)
        rows = annotate(units, files, settings, EXTRACTION).units.sort("start_byte", descending=True).to_dicts()
        return {row["qualified_name"]: row for row in rows}

    return run
