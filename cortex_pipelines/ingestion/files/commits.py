"""Git history: one row per commit, message redacted, author pseudonymised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.history import (
    commit_time,
    commits_without_parents,
    list_commits,
    look_up_commits,
    pseudonyms,
)
from cortex_pipelines.ingestion.git.repository import git_mirrors
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.ingestion.redactions import (
    REDACTION,
    drop_forgotten_commits,
    frame_of,
    redaction_rows,
    redaction_table,
    without_private_errors,
)
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS

_FIELDS = "%P %ct %ae %B"
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    name: kind for name, kind in REPOSITORY_COMMITS.schema.items() if name != "source"
}
_SCHEMA = pl.Schema(_COLUMNS | {"cache_key": pl.String(), "redactions": REDACTION})


def repository_commits(
    source: ProjectSource, project: str, root: Path, privacy: PrivacySettings, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Frames ``commits`` and ``redactions`` (of messages); sources without history give no rows."""
    key = project_key(project, privacy)
    return without_private_errors(lambda: _read(source, project, root, privacy, cache), SourceError, privacy, key)


def _read(
    source: ProjectSource, project: str, root: Path, privacy: PrivacySettings, cache: RowCache
) -> dict[str, pl.DataFrame]:
    mirrors = git_mirrors(source, project, root)
    listings = [pl.DataFrame(schema={"source": pl.String, "cache_key": pl.String})]
    for label, (mirror, revision) in mirrors.items():
        cut = commits_without_parents(mirror)
        keys = [f"{commit}{'^' * (commit in cut)}" for commit in list_commits(mirror, revision)]
        listings.append(pl.DataFrame({"source": [label] * len(keys), "cache_key": keys}))
    listing = pl.concat(listings)

    def compute(missing: pl.Series) -> pl.DataFrame:
        missing_commits = listing.unique("cache_key", maintain_order=True)
        missing_commits = missing_commits.filter(pl.col("cache_key").is_in(missing.to_list()))
        rows = (
            row
            for label, (mirror, _) in mirrors.items()
            for row in _rows(mirror, missing_commits.filter(source=label), project, privacy)
        )
        return frame_of(rows, _SCHEMA)

    commit_rows = cache.rows(f"commits/{project}", listing["cache_key"], compute)
    commits = listing.join(commit_rows, on="cache_key", how="inner", maintain_order="left")
    commits = drop_forgotten_commits(commits, project, privacy)
    return {
        "commits": REPOSITORY_COMMITS.conform(commits),
        "redactions": redaction_table(commits.with_columns(path="commit")),
    }


def _rows(mirror: Path, commits: pl.DataFrame, project: str, privacy: PrivacySettings) -> Iterator[dict[str, Any]]:
    if commits.is_empty():
        return
    key = project_key(project, privacy)
    pseudonym_of, redactor = pseudonyms(key), PathRedactor(privacy, key)
    keys = {cache_key.removesuffix("^"): cache_key for cache_key in commits["cache_key"]}
    history = look_up_commits(mirror, keys, _FIELDS, "--diff-merges=first-parent")
    for (commit, parents, time, address, message), paths in history:
        text = message.decode("utf-8", "replace").strip("\n")
        redacted = redact_text(text, "", None, privacy, key)
        subject, _, body = redacted.text.partition("\n")
        redacted_paths = sorted(redactor.redact(path.decode("utf-8", "backslashreplace")) for path in paths)
        path_redactions: list[dict[str, Any]] = []
        offset = 0
        for path, names in redacted_paths:
            path_redactions += redaction_rows(names, offset)
            offset += len(path) + 1
        yield {
            "cache_key": keys[commit.decode()],
            "commit": commit.decode(),
            "parents": parents.decode().split(),
            "committed_at": commit_time(time),
            "author": pseudonym_of(address),
            "subject": subject.rstrip(),
            "body": body.strip("\n").rstrip(),
            "paths": [path for path, _ in redacted_paths],
            "redactions": [*path_redactions, *redaction_rows(redacted.redactions)],
        }
