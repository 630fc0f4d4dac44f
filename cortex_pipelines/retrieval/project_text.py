"""Texts of a project's files, as they were pinned and without private values."""

from collections.abc import Callable
from functools import cache

import polars as pl

from cortex_pipelines.versioning.project import Project


def project_text(project: Project, name: str | None) -> Callable[[str], str | None]:
    """A reader of texts by the paths of the project's searcher; it returns None for an unknown path."""

    @cache
    def texts(owner: str) -> dict[str, str]:
        file = project.output("repository_files", owner) / "files.parquet"
        return dict(pl.read_parquet(file, columns=["path", "text"]).select("path", "text").rows())

    def read(path: str) -> str | None:
        owner, inner_path = name, path
        if owner is None:
            owner, _, inner_path = path.partition("/")
        return texts(owner).get(inner_path)

    return read
