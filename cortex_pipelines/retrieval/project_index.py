"""Indexes of what a project has made: derived from its assets, and kept by their versions.

The texts are those of ``search_documents``, the vectors those of ``code_embeddings``; nothing is
parsed or embedded here but the query. An index may be deleted: it comes out the same again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cortex_pipelines.atomic import folder_lock
from cortex_pipelines.config import Parameters
from cortex_pipelines.progress import track
from cortex_pipelines.retrieval.collection import Vectors
from cortex_pipelines.retrieval.documents import FileText
from cortex_pipelines.retrieval.history import (
    COMMIT_COLUMNS,
    CommitMatch,
    commit_files,
    search_history,
)
from cortex_pipelines.retrieval.index import (
    FORMAT,
    IndexManifest,
    SearchIndex,
    SearchIndexError,
    index_files,
    open_index,
    save,
)
from cortex_pipelines.retrieval.levels import PLACES, Levels
from cortex_pipelines.retrieval.open_index import searcher_of
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.tables import searched_files
from cortex_pipelines.retrieval.vectors.matrix import vectors_of
from cortex_pipelines.schemas.repositories import REPOSITORY_COMMITS
from cortex_pipelines.schemas.search import EMBEDDINGS
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project, ProjectError

TEXTS, COMMITS, VECTORS = "search_documents", "repository_commits", "code_embeddings"
"""Assets that an index is made of."""
SEARCHES = "search"
"""Folder of the indexes below ``.cortex``."""
_ABOVE = ("file", "folder", "repository")


@dataclass(frozen=True)
class History:
    """Commits with what searches them.

    Args:
        searcher: Searches their messages and paths.
        commits: Their rows.
    """

    searcher: Searcher
    commits: pl.DataFrame

    def search(self, query: str, k: int) -> list[CommitMatch]:
        """The commits most like a query, best first; raises as ``search_history``."""
        return search_history(self.searcher, self.commits, query, k)


def open_project_searcher(project: Project, name: str | None, params: Parameters) -> Searcher:
    """A searcher of what a project, or all of them, has made; indexed if it is not yet.

    Args:
        project: Where.
        name: The project; None for all, whose names then begin the paths.
        params: Parameters.

    Raises:
        ProjectError: there is no such project, or what is searched is not made yet.
    """
    index, note = _kept_index(project, name, TEXTS)
    return searcher_of(index, params, note)


def open_history(project: Project, name: str | None, params: Parameters) -> History:
    """The commits of a project, or of all of them; arguments and errors as above."""
    index, note = _kept_index(project, name, COMMITS)
    commits = _commits(project, _names(project, name), prefix=name is None)
    return History(searcher_of(index, params, note), commits)


def rebuild(project: Project, name: str | None) -> SearchIndex:
    """Delete the indexes of a project, or of all together, and make them again.

    Raises:
        ProjectError: there is no such project, or what is searched is not made yet.
    """
    _names(project, name)  # before a folder is made for a project that there is not
    for asset in (TEXTS, COMMITS):
        place = _place(project, name) / asset
        with folder_lock(place):
            for kept in place.iterdir():
                shutil.rmtree(kept, ignore_errors=True)
    index, _ = _kept_index(project, name, TEXTS)
    return index


def drop_indexes(project: Project) -> int:
    """Delete all indexes of a project's outputs; gives the bytes."""
    place = project.state / SEARCHES
    count = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    shutil.rmtree(place, ignore_errors=True)
    return count


def _names(project: Project, name: str | None) -> list[str]:
    if name is not None and name not in project.partitions:
        known = ", ".join(project.partitions) or "none yet"
        raise ProjectError(f"params.yaml has no project {name}; there is: {known}")
    return [name] if name is not None else list(project.partitions)


def _place(project: Project, name: str | None) -> Path:
    return project.state / SEARCHES / (name or "all projects")


def _kept_index(project: Project, name: str | None, asset: str) -> tuple[SearchIndex, str]:
    """The index of the versions that are there, made if it is not yet, and what it lacks."""
    names = _names(project, name)
    place = _place(project, name) / asset
    kept = place / _version(project, names, asset)
    embedded = [one for one in names if project.output(VECTORS, one).is_dir()]
    lacking = [one for one in names if one not in embedded]
    note = (
        f"searched by words alone: {', '.join(lacking)}; `cortex run {VECTORS} --project "
        f"{lacking[0]}` makes the vectors"
        if lacking
        else ""
    )
    try:
        return open_index(kept), note
    except SearchIndexError:
        pass  # not made yet, of another format, or damaged: it is made again
    with folder_lock(place):
        return _kept_or_made(project, names, embedded, asset, kept, prefix=name is None), note


def _kept_or_made(
    project: Project,
    names: Sequence[str],
    embedded: Sequence[str],
    asset: str,
    kept: Path,
    *,
    prefix: bool,
) -> SearchIndex:
    """The index in ``kept``, made if no other process has made it while this one waited."""
    try:
        return open_index(kept)
    except SearchIndexError:
        pass
    try:
        index = _made(project, names, embedded, asset, prefix=prefix)
    except SearchIndexError as error:
        what = "no commits" if asset == COMMITS else "no text that can be searched"
        raise ProjectError(f"{', '.join(names)}: there are {what}") from error
    save(index, kept)
    for other in kept.parent.iterdir():
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)
    return index


def _made(
    project: Project, names: Sequence[str], embedded: Sequence[str], asset: str, *, prefix: bool
) -> SearchIndex:
    files: Iterable[FileText]
    if asset == COMMITS:
        files = commit_files(_commits(project, names, prefix=prefix))
    else:
        files = (
            file
            for name in names
            for file in searched_files(project.output(TEXTS, name), f"{name}/" if prefix else "")
        )
    files = track(list(files), "Indexing")
    rows = [_embeddings(project, name, prefix=prefix) for name in embedded]
    if not rows:
        return index_files(files, IndexManifest("", None), None)
    together = pl.concat(rows)
    # one model speaks for all; what another one has embedded is found by its words
    model = str(together["model"].mode().sort()[0])
    together = together.filter(model=model)
    above = together.filter(pl.col("level").is_in(_ABOVE))
    texts = together.filter(pl.col("text").is_not_null())
    return index_files(
        files,
        IndexManifest("", model),
        None,
        vectors=Vectors(texts["text"].to_numpy(), vectors_of(texts)),
        levels=Levels(above.select(list(PLACES)), vectors_of(above)),
    )


def _version(project: Project, names: Sequence[str], asset: str) -> str:
    parts: list[object] = [FORMAT]
    for name in names:
        made = content_md5(project.output(asset, name))
        if made is None:
            raise ProjectError(
                f"what is searched of {name} is not made yet; `cortex run {asset} "
                f"--project {name}` makes it"
            )
        parts.append((name, made, content_md5(project.output(VECTORS, name))))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _embeddings(project: Project, name: str, *, prefix: bool) -> pl.DataFrame:
    """Rows of a project's embeddings, its name in front of the paths if several are indexed."""
    rows = EMBEDDINGS.read(project.output(VECTORS, name))
    if not prefix:
        return rows
    front = pl.concat_str(pl.lit(f"{name}/"), pl.col("path")).str.strip_chars_end("/")
    return rows.with_columns(path=front)


def _commits(project: Project, names: Sequence[str], *, prefix: bool) -> pl.DataFrame:
    parts = []
    for name in names:
        rows = REPOSITORY_COMMITS.read(project.output(COMMITS, name), *COMMIT_COLUMNS)
        rows = rows.unique("commit", keep="first", maintain_order=True)
        if prefix:
            rows = rows.with_columns(
                commit=pl.concat_str(pl.lit(f"{name}/"), pl.col("commit")),
                paths=pl.concat_list(pl.col("paths")).list.eval(
                    pl.concat_str(pl.lit(f"{name}/"), pl.element())
                ),
            )
        parts.append(rows)
    return pl.concat(parts)
