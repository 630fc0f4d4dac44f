"""Read the facts of each file separately, so that unchanged files come from the cache."""

import hashlib
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
from cortex_pipelines.extraction.architecture.sourcefile import READERS, Reader, SourceFile
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache

_CACHE_SCHEMA = pl.Schema([("cache_key", pl.String), *FACT_COLUMNS.items()])


def collect_facts(
    files: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None,
    project: str,
) -> pl.DataFrame:
    """Facts of single files by source, path and reader: ``FACT_COLUMNS`` with ``source`` and ``path``."""
    readable_files = files.filter(~pl.col("generated")).sort("source", "path")
    keys = [_key(*parts) for parts in readable_files.select("path", "language", "text").iter_rows()]
    keyed = readable_files.with_columns(pl.Series("cache_key", keys, dtype=pl.String))

    def compute(missing: pl.Series) -> pl.DataFrame:
        uncached = keyed.join(missing.alias("cache_key").to_frame(), on="cache_key", how="semi")
        return _read_facts(uncached.unique("cache_key", keep="first", maintain_order=True), settings, parsing)

    computed = (
        compute(keyed["cache_key"])
        if cache is None
        else cache.rows(f"architecture/{project}", keyed["cache_key"], compute)
    )
    file_keys = keyed.select("source", "path", "cache_key")
    return file_keys.join(
        computed.select(list(_CACHE_SCHEMA)), on="cache_key", how="inner", maintain_order="left_right"
    ).drop("cache_key")


def facts_in_file(file: SourceFile) -> Iterator[dict[str, Any]]:
    if len(file.text) > file.settings.max_file_bytes:
        return
    facts = (fact for applies_to, reader in _readers() if applies_to(file) for fact in reader(file))
    for fact in islice(facts, file.settings.max_facts_per_file):
        yield row(fact)


def _read_facts(files: pl.DataFrame, settings: ArchitectureSettings, parsing: ExtractionSettings) -> pl.DataFrame:
    rows = [
        {"cache_key": key, **fact}
        for key, path, language, text in track(
            files.select("cache_key", "path", "language", "text").rows(), "Reading architecture"
        )
        for fact in _facts_or_damage(SourceFile(path, language, text, settings, parsing))
    ]
    return pl.DataFrame(rows, schema=_CACHE_SCHEMA, orient="row")


def _facts_or_damage(file: SourceFile) -> list[dict[str, Any]]:
    facts = attempt(lambda: list(facts_in_file(file)))
    if isinstance(facts, SkipReason):
        return [row(Fact(1, 1, SKIPPED_FILE, file.path, "set-aside", facts.detail))]
    return facts


def _key(path: str, language: str | None, text: str) -> str:
    parts = (path, language or "", text)
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@cache
def _readers() -> tuple[tuple[Callable[[SourceFile], bool], Reader], ...]:
    """What ``readers/`` registers, by name."""
    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"{readers.__name__}.{module.name}")
    return tuple(reader for _, reader in sorted(READERS.items()))
