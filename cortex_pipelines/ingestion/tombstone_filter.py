"""Apply tombstones: forgotten files and authors are left out from ingestion on."""

import polars as pl

from cortex_pipelines.ingestion.entries import Skipped
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.privacy.tombstones import is_forgotten

REASON = "forgotten"


def forgotten_file(path: str, size: int) -> Skipped:
    """The row of skipped files for a forgotten file."""
    return Skipped(path, REASON, "a tombstone in privacy.forgotten of params.yaml", size)


def forgotten_by_author(
    files: pl.DataFrame, project: str, privacy: PrivacySettings
) -> pl.DataFrame:
    """Files excluded because a forgotten author changed them last.

    Args:
        files: Rows with source, path and author.
        project: The project's name.
        privacy: Tombstones.
    """
    if not any(stone.author for stone in privacy.forgotten):
        return files.clear()
    places = files.select("source", "path", "author").iter_rows()
    return files.filter(
        pl.Series([is_forgotten(privacy, project, *place) for place in places], dtype=pl.Boolean)
    )


def kept_commits(commits: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """Commits of authors who are not forgotten, without forgotten paths.

    Args:
        commits: Rows with source, author and paths.
        project: The project's name.
        privacy: Tombstones.
    """
    if not privacy.forgotten:
        return commits
    kept: list[bool] = []
    paths: list[list[str]] = []
    for source, author, changed in commits.select("source", "author", "paths").iter_rows():
        kept.append(not is_forgotten(privacy, project, source, None, author))
        paths.append([p for p in changed if not is_forgotten(privacy, project, source, p, author)])
    named = commits.with_columns(pl.Series("paths", paths, pl.List(pl.String)))
    return named.filter(pl.Series(kept, dtype=pl.Boolean))
