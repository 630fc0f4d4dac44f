"""Indexes of folders and of a project's own outputs, opened with what they need."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.ingestion.pretrained_models import (
    WeightsError,
    take_model_pin,
    weights_folder,
)
from cortex_pipelines.operations.outside import absolute, home_folder
from cortex_pipelines.progress import track
from cortex_pipelines.retrieval.bm25f import Floats
from cortex_pipelines.retrieval.collection import Encode
from cortex_pipelines.retrieval.documents import FileText, Limits, kept_file
from cortex_pipelines.retrieval.index import (
    FORMAT,
    MANIFEST,
    Index,
    Manifest,
    index_files,
    open_index,
    read_folder,
    refuse_other,
    save,
)
from cortex_pipelines.retrieval.index import SearchIndexError as SearchIndexError
from cortex_pipelines.retrieval.search import Filters as Filters
from cortex_pipelines.retrieval.search import Result as Result
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.routing.features.encoder import SentenceEncoder, sentence_part
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project, ProjectError, find_root

_TOKENS = 128
"""Of a document that are embedded: what the encoder was trained on."""
_BATCH = 32
AUTO, SENTENCE, WITHOUT = "auto", "sentence", "none"
ENCODERS = (AUTO, SENTENCE, WITHOUT)
"""What makes vectors: the sentence encoder where it is here and is quick enough; it; nothing."""
MOST_EMBEDDED = 40_000
"""Documents above which an index is made without the encoder unless it is asked for: of 40,000 one
core embeds in some 20 minutes."""

_SOURCES = ("repository_files", "code_units")
_KEPT = Path("search")


@dataclass(frozen=True)
class Indexed:
    """What came of indexing a folder.

    Args:
        files: Files that can be searched.
        documents: Documents in them.
        left_out: Files that were left out, by reason.
        note: Why the encoder was not used; empty if it was or was not asked for.
    """

    files: int
    documents: int
    left_out: dict[str, int]
    note: str


@dataclass(frozen=True)
class Question:
    """One line of a file of queries."""

    id: object
    query: str


@dataclass(frozen=True)
class Encoder:
    """The pinned sentence encoder, loaded at its first use.

    Args:
        name: What of it decides the vectors: its pin and how it is run.
        encode: Texts to vectors of length 1.
    """

    name: str
    encode: Encode


def open_encoder(params: Parameters) -> Encoder:
    """The encoder of ``models.encoder``.

    Raises:
        WeightsError: it is not on this machine.
    """
    home = home_folder()
    source = absolute(params.models.encoder)
    pin = take_model_pin(source, home)
    folder = weights_folder(source, pin, home)
    loaded: list[SentenceEncoder] = []

    def encode(texts: Sequence[str]) -> Floats:
        if not loaded:
            threads = params.routing.threads
            loaded.append(SentenceEncoder(folder, _TOKENS, _BATCH, threads, "auto"))
        return sentence_part(loaded[0].serve(texts))

    digest = hashlib.sha256(json.dumps([pin, _TOKENS], sort_keys=True).encode()).hexdigest()[:16]
    return Encoder(digest, encode)


def limits_of(params: Parameters) -> Limits:
    """How files are read."""
    return Limits(params.ingestion, params.extraction, params.privacy)


def index_folder(folder: Path, out: Path, params: Parameters, encoder: str = AUTO) -> Indexed:
    """Make an index of a folder and write it.

    Args:
        folder: What to index.
        out: Where to.
        params: Parameters.
        encoder: One of ``ENCODERS``.

    Raises:
        FileNotFoundError: there is no such folder.
        SearchIndexError: there is nothing to search in it, or ``out`` holds something else.
        WeightsError: the encoder is asked for and is not on this machine.
    """
    refuse_other(out)
    files = read_folder(folder, limits_of(params), out)
    index, note = _made(files, str(folder.resolve()), params, encoder, _older(out))
    save(index, out)
    reasons = Counter(file.left_out for file in files if file.left_out)
    return Indexed(
        len(files) - reasons.total(),
        index.collection.documents.height,
        dict(sorted(reasons.items())),
        note,
    )


def _older(place: Path) -> Index | None:
    try:
        return open_index(place)
    except SearchIndexError:
        return None


def _made(
    files: Sequence[FileText], root: str, params: Parameters, chosen: str, before: Index | None
) -> tuple[Index, str]:
    """The index, with a sentence if it goes without the encoder."""
    encoder, note = None, ""
    if chosen != WITHOUT:
        count = sum(len(file.documents) for file in files if not file.is_test)
        try:
            encoder = open_encoder(params)
        except WeightsError as error:
            if chosen != AUTO:
                raise
            note = f"indexed by words alone: {error}"
        if chosen == AUTO and encoder and count > MOST_EMBEDDED:
            encoder = None
            note = (
                f"indexed by words alone: the encoder would take long for {count:,} places; "
                "`--encoder sentence` asks for it"
            )
    manifest = Manifest(root, encoder.name if encoder else None)
    return index_files(files, manifest, encoder.encode if encoder else None, before), note


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
    older = [index for other in place.glob("*") if (index := _older(other))]
    index, _ = _made(files, "", params, AUTO, older[0] if older else None)
    save(index, kept)
    _drop_others(place, kept)
    return _searcher(index, params)


def _searcher(index: Index, params: Parameters) -> Searcher:
    """A searcher; where the encoder is not the one of the index it goes by words and says so."""
    if index.manifest.encoder is None:
        return Searcher(index, limits_of(params))
    try:
        encoder = open_encoder(params)
    except WeightsError as error:
        return Searcher(index, limits_of(params), note=f"searched by words alone: {error}")
    if encoder.name != index.manifest.encoder:
        return Searcher(
            index,
            limits_of(params),
            note="searched by words alone: the index was made with another encoder; make it again",
        )
    return Searcher(index, limits_of(params), encoder.encode)


def kept_searcher(index: str | Path | None, folder: str | Path | None) -> Searcher:
    """A searcher of an index or of a project, opened once a process and looked after.

    Args:
        index: Folder of an index; None for the project.
        folder: A folder in the project.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.operations.notebooks import load_parameters

    if index is not None:
        place = Path(index).resolve()
        key = (place, _changed_at(place / MANIFEST))
        if key not in _OPENED:
            _OPENED[key] = open_searcher(place, load_parameters(folder))
        searcher = _OPENED[key]
    else:
        root = find_root(None if folder is None else Path(folder))
        searcher = open_project_searcher(open_project(root), None, load_parameters(root))
    searcher.refresh()
    return searcher


def _changed_at(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


_OPENED: dict[tuple[Path, int], Searcher] = {}


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
