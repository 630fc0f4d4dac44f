"""Small made-up projects, taken through the readers and resolvers for real."""

from collections.abc import Callable

import polars as pl
import pytest

from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import sections

_PARAMETERS = sections()
_UNITS = ("kind", "name", "qualified_name", "start_byte", "end_byte", "start_line", "docstring")


def parsing_limits() -> ExtractionSettings:
    return ExtractionSettings(**_PARAMETERS["extraction"])


def files_frame(texts: dict[str, str], generated: tuple[str, ...] = ()) -> pl.DataFrame:
    """The columns of REPOSITORY_FILES that the facts are made from."""
    files = repository_files(dict(texts), source="directory:example")
    return files.select("source", "path", "language", pl.col("path").is_in(generated).alias("generated"), "text")


def units_frame(files: pl.DataFrame) -> pl.DataFrame:
    """The columns of CODE_UNITS that the facts are made from."""
    limits = parsing_limits()
    rows = [
        {"source": source, "path": path, **{name: getattr(unit, name) for name in _UNITS}}
        for source, path, language, text in files.select("source", "path", "language", "text").iter_rows()
        if language in PARSED
        for unit in file_units(text, language, path, limits)
    ]
    numbers = ("start_byte", "end_byte", "start_line")
    schema = {n: pl.Int64 if n in numbers else pl.String for n in ("source", "path", *_UNITS)}
    return pl.DataFrame(rows, schema=schema)


@pytest.fixture(scope="session")
def architecture() -> ArchitectureSettings:
    return ArchitectureSettings(**_PARAMETERS["architecture"])


FactExtractor = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def parsing() -> ExtractionSettings:
    return parsing_limits()


@pytest.fixture(scope="session")
def extract_facts(architecture: ArchitectureSettings, parsing: ExtractionSettings) -> FactExtractor:
    def facts(texts: dict[str, str], cache: RowCache | None = None) -> pl.DataFrame:
        files = files_frame(texts)
        return architecture_facts(files, units_frame(files), architecture, parsing, cache, "example")

    return facts


@pytest.fixture(scope="session")
def triples(extract_facts: FactExtractor) -> Callable[..., set[tuple[str, ...]]]:
    """Some columns of the facts of one kind, for a project given as paths and texts."""

    def select(texts: dict[str, str], fact: str, *columns: str, relation: str | None = None) -> set[tuple[str, ...]]:
        frame = extract_facts(texts).filter(pl.col("fact") == fact)
        if relation is not None:
            frame = frame.filter(pl.col("relation") == relation)
        return set(frame.select(columns or ("subject", "relation", "object")).iter_rows())

    return select
