"""Read the facts of each file separately, so that unchanged files come from the cache."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import polars as pl

from cortex_pipelines.damage import SkipReason, attempt
from cortex_pipelines.extraction.architecture import readers
from cortex_pipelines.extraction.architecture.facts import FACT_COLUMNS, SKIPPED_FILE, Fact, row
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.architecture.sourcefile import READERS, Reader, SourceFile, rows_by_file
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.rowcache import RowCache


def collect_facts(
    files: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None,
    project: str,
) -> pl.DataFrame:
    """Facts of single files by source, path and reader: ``FACT_COLUMNS`` with ``source`` and ``path``."""

    def read(path: str, language: str | None, text: str) -> Iterator[tuple[Any, ...]]:
        facts = attempt(lambda: list(facts_in_file(SourceFile(path, language, text, settings, parsing))))
        if isinstance(facts, SkipReason):
            facts = [row(Fact(1, 1, SKIPPED_FILE, path, "set-aside", facts.detail))]
        return (tuple(fact.values()) for fact in facts)

    return rows_by_file(files.filter(~pl.col("generated")), FACT_COLUMNS, read, cache, f"architecture/{project}")


def facts_in_file(file: SourceFile) -> Iterator[dict[str, Any]]:
    if len(file.text) > file.settings.max_file_bytes:
        return
    facts = (fact for applies_to, reader in _readers() if applies_to(file) for fact in reader(file))
    for fact in islice(facts, file.settings.max_facts_per_file):
        yield row(fact)


@cache
def _readers() -> tuple[tuple[Callable[[SourceFile], bool], Reader], ...]:
    """What ``readers/`` registers, by name."""
    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"{readers.__name__}.{module.name}")
    return tuple(reader for _, reader in sorted(READERS.items()))
