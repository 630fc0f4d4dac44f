"""Read the facts of each file separately, so that unchanged files come from the cache."""

import hashlib
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from itertools import islice
from types import ModuleType
from typing import Any

import polars as pl

from cortex_pipelines.damage import Damage, attempt
from cortex_pipelines.extraction.architecture import readers
from cortex_pipelines.extraction.architecture.facts import STATED, UNREAD, Fact, row
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache

_KEYED = pl.Schema([("cache_key", pl.String), *STATED.items()])


def collected(
    files: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None,
    project: str,
) -> pl.DataFrame:
    """Collect the facts that can be read from single files.

    Args:
        files: Rows of ``REPOSITORY_FILES``.
        settings: Limits.
        parsing: Limits of what is parsed as code.
        cache: Where what was found before is kept; None computes all.
        project: Name that keeps projects apart in the cache.

    Returns:
        Columns ``source``, ``path`` and those of ``STATED``; rows in order of source, path, place
        of the reader, and as it states them.
    """
    wanted = files.filter(~pl.col("generated")).sort("source", "path")
    keys = [_key(*parts) for parts in wanted.select("path", "language", "text").iter_rows()]
    keyed = wanted.with_columns(pl.Series("cache_key", keys, dtype=pl.String))

    def compute(missing: pl.Series) -> pl.DataFrame:
        left = keyed.join(missing.alias("cache_key").to_frame(), on="cache_key", how="semi")
        return _computed(
            left.unique("cache_key", keep="first", maintain_order=True), settings, parsing
        )

    computed = (
        compute(keyed["cache_key"])
        if cache is None
        else cache.rows(f"architecture/{project}", keyed["cache_key"], compute)
    )
    placed = keyed.select("source", "path", "cache_key")
    return placed.join(
        computed.select(list(_KEYED)), on="cache_key", how="inner", maintain_order="left_right"
    ).drop("cache_key")


def facts_of(file: SourceFile) -> Iterator[dict[str, Any]]:
    """The facts in one file, as rows of ``STATED``."""
    if len(file.text) > file.settings.max_file_bytes:
        return
    stated = (fact for reader in _readers() if reader.reads(file) for fact in reader.facts(file))
    for fact in islice(stated, file.settings.max_facts_per_file):
        yield row(fact)


def _computed(
    files: pl.DataFrame, settings: ArchitectureSettings, parsing: ExtractionSettings
) -> pl.DataFrame:
    rows = [
        {"cache_key": key, **fact}
        for key, path, language, text in track(
            files.select("cache_key", "path", "language", "text").rows(), "Reading architecture"
        )
        for fact in _of_file(SourceFile(path, language, text, settings, parsing))
    ]
    return pl.DataFrame(rows, schema=_KEYED, orient="row")


def _of_file(file: SourceFile) -> list[dict[str, Any]]:
    facts = attempt(lambda: list(facts_of(file)))
    if isinstance(facts, Damage):
        return [row(Fact(1, 1, UNREAD, file.path, "set-aside", facts.words))]
    return facts


def _key(path: str, language: str | None, text: str) -> str:
    parts = (path, language or "", text)
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@cache
def _readers() -> tuple[ModuleType, ...]:
    """The modules in ``readers/`` by name; each selects its files and extracts their facts."""
    names = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
    return tuple(importlib.import_module(f"{readers.__name__}.{name}") for name in names)
