"""Open indexes of folders and of a project's outputs with their encoder."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.config import Parameters
from cortex_pipelines.embeddings.encoder import sentence_part
from cortex_pipelines.embeddings.query_encoder import QueryEncoder
from cortex_pipelines.ingestion.pretrained_models import (
    WeightsError,
    absolute,
    home_folder,
    resolve_model_pin,
    weights_folder,
)
from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.documents import ReadingLimits
from cortex_pipelines.retrieval.index import (
    MANIFEST,
    IndexManifest,
    SearchIndex,
    SearchIndexError,
    build_index,
    open_index,
    read_folder,
    refuse_other,
    save,
)
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.vectors import Floats, model_digest

_BATCH = 32
AUTO, SENTENCE, WITHOUT = "auto", "sentence", "none"
"""Encoder choices: the sentence encoder if available and fast enough; always; never."""
MOST_EMBEDDED = 40_000
"""Documents above which an index is made without the encoder unless it is asked for: of 40,000 one
core embeds in some 20 minutes."""


@dataclass(frozen=True)
class IndexingSummary:
    """``left_out`` counts files by reason; ``note`` says why the encoder was not used."""

    files: int
    documents: int
    left_out: dict[str, int]
    note: str


def open_encoder(params: Parameters) -> PinnedEncoder:
    """The encoder of ``models.encoder``.

    Raises:
        WeightsError: it is not on this machine.
    """
    home = home_folder()
    source = absolute(params.models.encoder)
    pin = resolve_model_pin(source, home)
    folder = weights_folder(source, pin, home)
    settings = params.retrieval
    encoder = QueryEncoder(folder, settings.max_tokens, _BATCH, settings.threads, settings.precision)

    def encode(texts: Sequence[str]) -> Floats:
        return sentence_part(encoder.serve(texts))

    return PinnedEncoder(model_digest(pin, settings.max_tokens), encode)


def reading_limits(params: Parameters) -> ReadingLimits:
    return ReadingLimits(params.ingestion, params.extraction, params.privacy)


def index_folder(folder: Path, out: Path, params: Parameters, encoder: str = AUTO) -> IndexingSummary:
    """Make an index of a folder and write it.

    Raises:
        FileNotFoundError: the folder does not exist.
        SearchIndexError: there is nothing to search in it, or ``out`` holds something else.
        WeightsError: the encoder is asked for and is not on this machine.
    """
    refuse_other(out)
    files = read_folder(folder, reading_limits(params), out)
    previous = None
    with suppress(SearchIndexError):
        previous = open_index(out)
    opened, note = None, ""
    if encoder != WITHOUT:
        try:
            opened = open_encoder(params)
        except WeightsError as error:
            if encoder != AUTO:
                raise
            note = f"indexed by words alone: {error}"
        count = sum(not document.is_test for file in files for document in file.documents)
        if encoder == AUTO and opened and count > MOST_EMBEDDED:
            opened = None
            note = (
                f"indexed by words alone: the encoder would take long for {count:,} places; "
                "`--encoder sentence` asks for it"
            )
    manifest = IndexManifest(str(folder.resolve()), opened.name if opened else None)
    index = build_index(files, manifest, opened.encode if opened else None, previous)
    save(index, out)
    reasons = Counter(file.left_out for file in files if file.left_out)
    documents = index.collection.documents.height
    return IndexingSummary(len(files) - reasons.total(), documents, dict(sorted(reasons.items())), note)


def open_searcher(folder: Path, params: Parameters) -> Searcher:
    return build_searcher(open_index(folder), params)


def build_searcher(index: SearchIndex, params: Parameters, note: str = "") -> Searcher:
    """A searcher; falls back to words, with a note, if the index has another encoder."""
    limits = reading_limits(params)
    if index.manifest.encoder is None:
        return Searcher(index, limits, note=note)
    try:
        encoder = open_encoder(params)
    except WeightsError as error:
        return Searcher(index, limits, note=f"searched by words alone: {error}")
    if encoder.name == index.manifest.encoder:
        return Searcher(index, limits, encoder.encode, note)
    return Searcher(
        index, limits, note="searched by words alone: the index was made with another encoder; make it again"
    )


def cached_searcher(folder: Path, params: Parameters) -> Searcher:
    """A searcher of an index, cached per process until the index changes."""
    resolved = folder.resolve()
    manifest = resolved / MANIFEST
    key = (resolved, manifest.stat().st_mtime_ns if manifest.exists() else 0)
    if key not in _SEARCHERS:
        _SEARCHERS[key] = open_searcher(resolved, params)
    return _SEARCHERS[key]


_SEARCHERS: dict[tuple[Path, int], Searcher] = {}


def read_queries(file: Path) -> list[tuple[object, str]]:
    """Id and text of the queries in JSON lines, ``{"id", "query"}`` each; ValueError names a line that is not."""
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise ValueError(f"no file {file}; give one with a query in each line") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    queries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        problem = None
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON ({type(error).__name__})"
        else:
            if not isinstance(entry, dict) or "id" not in entry:
                problem = 'without "id"'
            elif not isinstance(entry.get("query"), str):
                problem = '"query" is not text'
        if problem:
            raise ValueError(f'{file}, line {number}: {problem}; each line is {{"id": ..., "query": "..."}}')
        queries.append((entry["id"], entry["query"]))
    return queries
