"""Indexes of folders and of a project's own outputs, opened with what they need."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.progress import track
from cortex_pipelines.retrieval.documents import FileText, Limits, kept_file
from cortex_pipelines.retrieval.index import (
    FORMAT,
    Index,
    Manifest,
    index_files,
    open_index,
    read_folder,
    save,
)
from cortex_pipelines.retrieval.index import SearchIndexError as SearchIndexError
from cortex_pipelines.retrieval.search import Filters as Filters
from cortex_pipelines.retrieval.search import Result as Result
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project, ProjectError

_SOURCES = ("repository_files", "code_units")
_KEPT = Path("search")


@dataclass(frozen=True)
class Indexed:
    """What came of indexing a folder.

    Args:
        files: Files that can be searched.
        documents: Documents in them.
        left_out: Files that were left out, by reason.
    """

    files: int
    documents: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class Question:
    """One line of a file of queries."""

    id: object
    query: str


def limits_of(params: Parameters) -> Limits:
    """How files are read."""
    return Limits(params.ingestion, params.extraction, params.privacy)


def index_folder(folder: Path, out: Path, params: Parameters) -> Indexed:
    """Make an index of a folder and write it.

    Raises:
        FileNotFoundError: there is no such folder.
        SearchIndexError: there is nothing to search in it, or ``out`` holds something else.
    """
    files = read_folder(folder, limits_of(params), out)
    index = index_files(files, Manifest(str(folder.resolve()), None), None)
    save(index, out)
    reasons = Counter(file.left_out for file in files if file.left_out)
    return Indexed(
        len(files) - reasons.total(),
        index.collection.documents.height,
        dict(sorted(reasons.items())),
    )


def open_searcher(folder: Path, params: Parameters) -> Searcher:
    """A searcher of an index that ``index_folder`` wrote.

    Raises:
        SearchIndexError: it is not there or cannot be used.
    """
    return _searcher(open_index(folder), params)


def open_project_searcher(project: Project, name: str | None, params: Parameters) -> Searcher:
    """A searcher of what a project, or all of them, has made; indexed if it is not yet.

    The index is a cache below ``.cortex``, kept by the versions of the outputs that it is made of.

    Args:
        project: Where.
        name: The project; None for all, whose names then begin the paths.
        params: Parameters.

    Raises:
        ProjectError: there is no such project, or its files are not made yet.
    """
    if name is not None and name not in project.partitions:
        known = ", ".join(project.partitions) or "none yet"
        raise ProjectError(f"params.yaml has no project {name}; there is: {known}")
    names = [name] if name is not None else list(project.partitions)
    place = project.state / _KEPT / (name or "all projects")
    version = _version(project, names)
    kept = place / version
    try:
        return _searcher(open_index(kept), params)
    except SearchIndexError:
        pass  # not made yet, of another format, or damaged: it is made again
    files = list(_files(project, names, limits_of(params), prefix=name is None))
    index = index_files(files, Manifest("", None), None)
    save(index, kept)
    _drop_others(place, kept)
    return _searcher(index, params)


def _searcher(index: Index, params: Parameters) -> Searcher:
    return Searcher(index, limits_of(params))


def _version(project: Project, names: list[str]) -> str:
    parts: list[object] = [FORMAT]
    for name in names:
        versions = {source: content_md5(project.output(source, name)) for source in _SOURCES}
        if versions["repository_files"] is None:
            raise ProjectError(
                f"the files of {name} are not made yet; `cortex run repository_files "
                f"--project {name}` makes them"
            )
        parts.append((name, sorted(versions.items())))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _files(
    project: Project, names: list[str], limits: Limits, *, prefix: bool
) -> Iterator[FileText]:
    columns = ("path", "text", "language", "revision", "generated")
    for name in names:
        table = project.output("repository_files", name) / "files.parquet"
        rows = pl.read_parquet(table, columns=list(columns)).select(columns).sort("path")
        for path, text, language, revision, generated in track(list(rows.iter_rows()), "Indexing"):
            shown = f"{name}/{path}" if prefix else path
            yield kept_file(shown, text, language, revision, generated, limits)


def _drop_others(place: Path, kept: Path) -> None:
    import shutil

    for other in place.iterdir():
        if other != kept:
            shutil.rmtree(other, ignore_errors=True)


def read_questions(file: Path) -> list[Question]:
    """The queries of a file of JSON lines, ``{"id", "query"}`` each.

    Raises:
        ValueError: a line is not of that form; names the line.
    """
    questions = []
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file}, line {number}: not JSON ({type(error).__name__}); each line is "
                '{"id": ..., "query": "..."}'
            ) from error
        if not isinstance(entry, dict) or "id" not in entry:
            raise ValueError(
                f'{file}, line {number}: without "id"; each line is {{"id": ..., "query": "..."}}'
            )
        if not isinstance(entry.get("query"), str):
            raise ValueError(
                f'{file}, line {number}: "query" is no text; each line is '
                '{"id": ..., "query": "..."}'
            )
        questions.append(Question(entry["id"], entry["query"]))
    return questions


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise ValueError(f"no file {file}; give one with a query in each line") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
