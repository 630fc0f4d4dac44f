"""Apply tombstones: forgotten files and authors are left out from ingestion on."""

import polars as pl

from cortex_pipelines.ingestion.entries import SkippedFile
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.privacy.tombstones import is_forgotten

REASON = "forgotten"


def forgotten_file(path: str, size: int) -> SkippedFile:
    return SkippedFile(path, REASON, "a tombstone in privacy.forgotten of params.yaml", size)


def forgotten_by_author(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """Files excluded because a forgotten author changed them last."""
    if not any(stone.author for stone in privacy.forgotten):
        return files.clear()
    file_keys = files.select("source", "path", "author").iter_rows()
    return files.filter(
        pl.Series([is_forgotten(privacy, project, *file_key) for file_key in file_keys], dtype=pl.Boolean)
    )


def drop_forgotten_commits(commits: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    if not privacy.forgotten:
        return commits
    live_mask: list[bool] = []
    paths: list[list[str]] = []
    for source, author, changed in commits.select("source", "author", "paths").iter_rows():
        live_mask.append(not is_forgotten(privacy, project, source, None, author))
        paths.append([p for p in changed if not is_forgotten(privacy, project, source, p, author)])
    live_commits = commits.with_columns(pl.Series("paths", paths, pl.List(pl.String)))
    return live_commits.filter(pl.Series(live_mask, dtype=pl.Boolean))
