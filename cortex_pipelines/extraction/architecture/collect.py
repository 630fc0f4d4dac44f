"""Read the facts of each file separately, so that unchanged files come from the cache."""

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
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


def rows_by_file(
    files: pl.DataFrame,
    schema: pl.Schema,
    read: Callable[[str, str | None, str], Iterable[tuple[Any, ...]]],
    cache: RowCache | None,
    name: str,
) -> pl.DataFrame:
    """What is read from each file by path, language and text alone, with ``source`` and ``path``, in their order."""
    files = files.select("source", "path", "language", "text").sort("source", "path")
    parts = files.select("path", pl.col("language").fill_null(""), "text").iter_rows()
    keys = [hashlib.blake2b("\0".join(each).encode(errors="replace"), digest_size=16).hexdigest() for each in parts]
    keyed = files.with_columns(pl.Series("cache_key", keys, dtype=pl.String))

    def compute(missing: pl.Series) -> pl.DataFrame:
        uncached = keyed.join(missing.alias("cache_key").to_frame(), on="cache_key", how="semi")
        uncached = uncached.unique("cache_key", keep="first", maintain_order=True).drop("source")
        rows = [
            (key, *row)
            for path, language, text, key in track(uncached.rows(), f"Reading {name.partition('/')[0]}")
            for row in read(path, language, text)
        ]
        return pl.DataFrame(rows, {"cache_key": pl.String, **schema}, orient="row")

    computed = compute(keyed["cache_key"]) if cache is None else cache.rows(name, keyed["cache_key"], compute)
    columns = ["cache_key", *schema]
    locations = keyed.select("source", "path", "cache_key")
    rows = locations.join(computed.select(columns), on="cache_key", how="inner", maintain_order="left_right")
    return rows.drop("cache_key")


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
