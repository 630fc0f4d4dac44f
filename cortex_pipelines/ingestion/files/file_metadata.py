"""File metadata that depends on other files: licence, tested file, last author, compiled copies."""

import polars as pl

from cortex_pipelines.ingestion.files.compiled import compiled_copies
from cortex_pipelines.ingestion.files.test_pairs import tested_paths
from cortex_pipelines.ingestion.git.authors import pseudonyms
from cortex_pipelines.ingestion.licences.detect import FolderLicences, licences_of
from cortex_pipelines.ingestion.licences.expressions import permitted
from cortex_pipelines.ingestion.licences.reuse import annotations, is_reuse
from cortex_pipelines.ingestion.readers.open import OpenSource
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES


def add_source_metadata(
    files: pl.DataFrame, source: OpenSource, project_licence: str | None, settings: IngestionSettings, key: bytes
) -> pl.DataFrame:
    paths = files["path"].to_list()
    files = files.with_columns(pl.col("generated") | pl.col("path").is_in(sorted(compiled_copies(paths))))
    authors = source.authors(set(paths), pseudonyms(key))
    rows = {path: row for row, path in enumerate(paths)}
    tested = tested_paths(zip(paths, files["language"], strict=True), lambda path: str(files["text"][rows[path]]))
    return files.with_columns(
        pl.lit(source.revision).alias("revision"),
        pl.Series("author", [authors.get(path) for path in paths], pl.String),
        pl.Series("tested_paths", [tested.get(path, []) for path in paths], pl.List(pl.String)),
        *_licences(files, source, project_licence, settings),
    ).select(list(REPOSITORY_FILES.schema))


def _licences(
    files: pl.DataFrame, source: OpenSource, project_licence: str | None, settings: IngestionSettings
) -> list[pl.Series]:
    folder_statements = files.filter(pl.col("stated").is_not_null()).select("path", "stated", "stated_by")
    headers = files.filter(pl.col("header").is_not_null()).select("path", "header")
    reuse_mask = [is_reuse(path) for path in files["path"]]
    licences = licences_of(
        files["path"].to_list(),
        dict(headers.iter_rows()),
        FolderLicences(folder_statements.iter_rows()),
        project_licence,
        annotations(files.filter(pl.Series(reuse_mask, dtype=pl.Boolean))["path", "text"].iter_rows()),
    )
    silent = source.kind in settings.trainable_without_licence
    allowed = {None: silent} | {
        licence: permitted(licence, settings.trainable_licences) for licence in licences if licence
    }
    trainable = [
        allowed[licence] and not generated for licence, generated in zip(licences, files["generated"], strict=True)
    ]
    return [pl.Series("licence", licences, pl.String), pl.Series("trainable", trainable, pl.Boolean)]
