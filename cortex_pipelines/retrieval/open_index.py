"""Indexes of folders and of a project's own outputs, opened with what they need."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.config import Parameters
from cortex_pipelines.embeddings.encoder import SentenceEncoder, sentence_part
from cortex_pipelines.ingestion.external_folder import absolute, home_folder
from cortex_pipelines.ingestion.pretrained_models import (
    WeightsError,
    take_model_pin,
    weights_folder,
)
from cortex_pipelines.retrieval.bm25f import Floats
from cortex_pipelines.retrieval.collection import Encode
from cortex_pipelines.retrieval.documents import FileText, ReadingLimits
from cortex_pipelines.retrieval.index import (
    MANIFEST,
    IndexManifest,
    SearchIndex,
    index_files,
    open_index,
    read_folder,
    refuse_other,
    save,
)
from cortex_pipelines.retrieval.index import SearchIndexError as SearchIndexError
from cortex_pipelines.retrieval.search import Filters as Filters
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.search import SearchHit as SearchHit
from cortex_pipelines.retrieval.vectors.embed import model_digest

_BATCH = 32
AUTO, SENTENCE, WITHOUT = "auto", "sentence", "none"
"""What makes vectors: the sentence encoder where it is here and is quick enough; it; nothing."""
MOST_EMBEDDED = 40_000
"""Documents above which an index is made without the encoder unless it is asked for: of 40,000 one
core embeds in some 20 minutes."""


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
class QueryLine:
    """One line of a file of queries."""

    id: object
    query: str


@dataclass(frozen=True)
class PinnedEncoder:
    """The pinned sentence encoder, loaded at its first use.

    Args:
        name: What of it decides the vectors: its pin and how it is run.
        encode: Texts to vectors of length 1.
    """

    name: str
    encode: Encode


def open_encoder(params: Parameters) -> PinnedEncoder:
    """The encoder of ``models.encoder``.

    Raises:
        WeightsError: it is not on this machine.
    """
    home = home_folder()
    source = absolute(params.models.encoder)
    pin = take_model_pin(source, home)
    folder = weights_folder(source, pin, home)
    loaded: list[SentenceEncoder] = []

    settings = params.retrieval

    def encode(texts: Sequence[str]) -> Floats:
        if not loaded:
            tokens, threads = settings.max_tokens, settings.threads
            loaded.append(SentenceEncoder(folder, tokens, _BATCH, threads, settings.precision))
        return sentence_part(loaded[0].serve(texts))

    return PinnedEncoder(model_digest(pin, settings.max_tokens), encode)


def limits_of(params: Parameters) -> ReadingLimits:
    """How files are read."""
    return ReadingLimits(params.ingestion, params.extraction, params.privacy)


def index_folder(folder: Path, out: Path, params: Parameters, encoder: str = AUTO) -> Indexed:
    """Make an index of a folder and write it.

    Args:
        folder: What to index.
        out: Where to.
        params: Parameters.
        encoder: ``auto``, ``sentence`` or ``none``.

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


def _older(place: Path) -> SearchIndex | None:
    try:
        return open_index(place)
    except SearchIndexError:
        return None


def _made(
    files: Sequence[FileText],
    root: str,
    params: Parameters,
    chosen: str,
    before: SearchIndex | None,
) -> tuple[SearchIndex, str]:
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
    manifest = IndexManifest(root, encoder.name if encoder else None)
    return index_files(files, manifest, encoder.encode if encoder else None, before), note


def open_searcher(folder: Path, params: Parameters) -> Searcher:
    """A searcher of an index that ``index_folder`` wrote.

    Raises:
        SearchIndexError: it is not there or cannot be used.
    """
    return searcher_of(open_index(folder), params)


def searcher_of(index: SearchIndex, params: Parameters, note: str = "") -> Searcher:
    """A searcher; where the encoder is not the one of the index it goes by words and says so.

    Args:
        index: The index.
        params: Parameters.
        note: What else is to be said of the index.
    """
    if index.manifest.encoder is None:
        return Searcher(index, limits_of(params), note=note)
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
    return Searcher(index, limits_of(params), encoder.encode, note)


def opened_once(folder: Path, params: Parameters) -> Searcher:
    """A searcher of an index, opened once a process while it stays the same."""
    place = folder.resolve()
    manifest = place / MANIFEST
    key = (place, manifest.stat().st_mtime_ns if manifest.exists() else 0)
    if key not in _OPENED:
        _OPENED[key] = open_searcher(place, params)
    return _OPENED[key]


_OPENED: dict[tuple[Path, int], Searcher] = {}


def read_questions(file: Path) -> list[QueryLine]:
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
        questions.append(QueryLine(entry["id"], entry["query"]))
    return questions


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise ValueError(f"no file {file}; give one with a query in each line") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
