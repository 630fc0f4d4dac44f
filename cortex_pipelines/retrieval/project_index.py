"""Indexes of a project's outputs: derived from its assets, keyed by their versions.

The texts are those of ``search_documents``, the vectors those of ``code_embeddings``; nothing is
parsed or embedded here but the query. An index may be deleted: it comes out the same again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

import polars as pl

from cortex_pipelines.atomic import folder_lock
from cortex_pipelines.config import Parameters
from cortex_pipelines.progress import track
from cortex_pipelines.retrieval.collection import Vectors
from cortex_pipelines.retrieval.documents import Document, FileText
from cortex_pipelines.retrieval.index import (
    FORMAT,
    IndexManifest,
    SearchIndex,
    SearchIndexError,
    build_index,
    open_index,
    save,
)
from cortex_pipelines.retrieval.open_index import build_searcher
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.tables import read_searched_files
from cortex_pipelines.retrieval.vectors import COMMIT, NODES, HierarchicalVectors, vectors_of
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import EMBEDDINGS
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project, ProjectError

COMMIT_COLUMNS = ("commit", "committed_at", "subject", "body", "paths")
_MOST_PATHS = 50


@dataclass(frozen=True)
class CommitMatch:
    """One commit; of several projects with the project in front of its id."""

    commit: str
    date: datetime
    subject: str
    paths: tuple[str, ...]
    score: float
    why: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "date": self.date.isoformat()}


def commit_files(commits: pl.DataFrame) -> Iterator[FileText]:
    """Each commit as a file of one document, for an index."""
    for commit, _, subject, body, paths in commits.select(COMMIT_COLUMNS).sort("commit").iter_rows():
        texts = (" ".join(paths[:_MOST_PATHS]), subject, "", body, "")
        document = Document(COMMIT, subject, 1, 1, texts)
        yield FileText(commit, 0, 0, "", None, commit, False, (document,))


TEXTS, COMMITS, VECTORS = "search_documents", "repository_commits", "code_embeddings"  # assets that an index is made of
INDEXES = "search"  # folder of the indexes below ``.cortex``
_ALL = "all projects"  # folder of an index of all projects together
_ABOVE = ("file", "folder", "repository")


@dataclass(frozen=True)
class History:
    searcher: Searcher
    commits: pl.DataFrame

    def search(self, query: str, k: int) -> list[CommitMatch]:
        rows_by_commit = {row["commit"]: row for row in self.commits.iter_rows(named=True)}
        matches = []
        for result in self.searcher.search(query, k, by="unit"):
            row = rows_by_commit[result.path]
            facts = (row["commit"], row["committed_at"], row["subject"], tuple(row["paths"]))
            matches.append(CommitMatch(*facts, result.score, result.why))
        return matches


def open_project_searcher(project: Project, name: str | None, params: Parameters) -> Searcher:
    """A searcher of the outputs of a project, or of all; builds the index if missing.

    Args:
        name: The project; None for all, whose names then begin the paths.

    Raises:
        ProjectError: unknown project, or its assets are not built yet.
    """
    index, note = _open_or_build(project, name, TEXTS)
    return build_searcher(index, params, note)


def open_history(project: Project, name: str | None, params: Parameters) -> History:
    index, note = _open_or_build(project, name, COMMITS)
    commits = _commits(project, project.selected(name), prefix=name is None)
    return History(build_searcher(index, params, note), commits)


def rebuild(project: Project, name: str | None) -> SearchIndex:
    """Delete the indexes of a project, or of all together, and make them again."""
    project.selected(name)  # before a folder is made for a project that there is not
    for asset in (TEXTS, COMMITS):
        folder = project.state / INDEXES / (name or _ALL) / asset
        with folder_lock(folder):
            for version_folder in folder.iterdir():
                shutil.rmtree(version_folder, ignore_errors=True)
    index, _ = _open_or_build(project, name, TEXTS)
    return index


def drop_indexes(project: Project) -> int:
    """Delete all indexes of a project's outputs; gives the bytes."""
    folder = project.state / INDEXES
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _open_or_build(project: Project, name: str | None, asset: str) -> tuple[SearchIndex, str]:
    """The index of the versions that are there, made if it is not yet, and what it lacks."""
    names, skipped = project.selected(name), list[str]()
    if name is None:
        skipped = [each for each in names if not project.output(asset, each).is_dir()]
        names = [each for each in names if each not in skipped]
        if not names:
            raise ProjectError(f"no project has {asset} yet; `cortex run {asset} --upstream` makes it")
    folder = project.state / INDEXES / (name or _ALL) / asset
    version_folder = folder / _version(project, names, asset)
    embedded = [partition for partition in names if project.output(VECTORS, partition).is_dir()]
    unembedded = [partition for partition in names if partition not in embedded]
    note = (
        f"searched by words alone: {', '.join(unembedded)}; `cortex run {VECTORS} --project "
        f"{unembedded[0]}` makes the vectors"
        if unembedded
        else ""
    )
    if skipped:
        note = "; ".join(filter(None, (f"not made yet and left out: {', '.join(skipped)}", note)))

    def build() -> SearchIndex:
        try:
            return _build(project, names, embedded, asset, prefix=name is None)
        except SearchIndexError as error:
            missing = "no commits" if asset == COMMITS else "no text that can be searched"
            raise ProjectError(f"{', '.join(names)}: there are {missing}") from error

    with suppress(SearchIndexError):  # not made yet, of another format, or damaged: it is made again
        return open_index(version_folder), note
    if not os.access(project.root, os.W_OK):  # mounted read-only, as for a gateway in a container: it stays in memory
        return build(), note
    with folder_lock(folder):
        with suppress(SearchIndexError):  # another process may have made it meanwhile
            return open_index(version_folder), note
        index = build()
        save(index, version_folder)
        for other in folder.iterdir():
            if other != version_folder:
                shutil.rmtree(other, ignore_errors=True)
    return index, note


def _build(project: Project, names: Sequence[str], embedded: Sequence[str], asset: str, *, prefix: bool) -> SearchIndex:
    files: Iterable[FileText]
    if asset == COMMITS:
        files = commit_files(_commits(project, names, prefix=prefix))
    else:
        files = (
            file
            for name in names
            for file in read_searched_files(project.output(TEXTS, name), f"{name}/" if prefix else "")
        )
    files = track(list(files), "Indexing")
    if not embedded:
        return build_index(files, IndexManifest("", None), None)
    tables = {name: EMBEDDINGS.read(project.output(VECTORS, name)) for name in embedded}
    if prefix:
        for name, rows in tables.items():
            paths = pl.concat_str(pl.lit(f"{name}/"), pl.col("path")).str.strip_chars_end("/")
            tables[name] = rows.with_columns(path=paths)
    embeddings = pl.concat(tables.values())
    # one model speaks for all; what another one has embedded is found by its words
    model = str(embeddings["model"].mode().sort()[0])
    embeddings = embeddings.filter(model=model)
    node_rows = embeddings.filter(pl.col("level").is_in(_ABOVE))
    text_rows = embeddings.filter(pl.col("text").is_not_null())
    return build_index(
        files,
        IndexManifest("", model),
        None,
        vectors=Vectors(text_rows["text"].to_numpy(), vectors_of(text_rows)),
        levels=HierarchicalVectors(node_rows.select(list(NODES)), vectors_of(node_rows)),
    )


def _version(project: Project, names: Sequence[str], asset: str) -> str:
    parts: list[object] = [FORMAT]
    for name in names:
        version = content_md5(project.output(asset, name))
        if version is None:
            raise ProjectError(
                f"what is searched of {name} is missing; `cortex run {asset} --project {name} --upstream` makes it"
            )
        parts.append((name, version, content_md5(project.output(VECTORS, name))))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _commits(project: Project, names: Sequence[str], *, prefix: bool) -> pl.DataFrame:
    parts = []
    for name in names:
        rows = REPOSITORY_COMMITS.read(project.output(COMMITS, name), *COMMIT_COLUMNS)
        rows = rows.unique("commit", keep="first", maintain_order=True)
        if prefix:
            rows = rows.with_columns(
                commit=pl.concat_str(pl.lit(f"{name}/"), pl.col("commit")),
                paths=pl.concat_list(pl.col("paths")).list.eval(pl.concat_str(pl.lit(f"{name}/"), pl.element())),
            )
        parts.append(rows)
    return pl.concat(parts)


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
