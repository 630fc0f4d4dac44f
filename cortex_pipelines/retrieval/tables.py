"""What is searched of a project as tables, and the tables as files that are indexed."""

from collections.abc import Iterator
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.ingestion.connectors.snapshot import is_issue
from cortex_pipelines.parallel.ordered import ordered_map
from cortex_pipelines.retrieval.documents import Document, FileText, as_issue, embedded_text, file_from_table
from cortex_pipelines.retrieval.vectors import ISSUE, text_number
from cortex_pipelines.schemas.retrieval import SEARCHED_DOCUMENTS, SEARCHED_FILES

FILE_COLUMNS = (*("source", "path", "text", "language", "revision"), *("generated", "licence", "author"))
_LABELS = ("category", "technologies", "intent", "intent_kind")
UNIT_COLUMNS = ("source", "path", "qualified_name", "start_line", *_LABELS, "cyclomatic")
COMMIT_COLUMNS = ("source", "committed_at", "paths")

_FILE = ("source", "path")
_UNIT = (*_FILE, "name", "start_line")
_LOCATION = ("kind", "name", "start_line", "end_line")
_TEXTS = ("title", "signature", "documentation", "body")
_Row = dict[str, Any]


def build_search_tables(
    files: pl.DataFrame, units: pl.DataFrame, commits: pl.DataFrame, settings: ExtractionSettings
) -> dict[str, pl.DataFrame]:
    """The files and documents of a project, from its files, annotated units and history."""
    batches = ordered_map(
        partial(_rows_of_files, settings=settings),
        files.sort(_FILE).select(FILE_COLUMNS).iter_rows(named=True),
        lambda row: len(row["text"]),
        "Cutting files",
        total=files.height,
        name=itemgetter("path"),
    )
    of_files = list(chain.from_iterable(batches))
    file_rows, documents = [file for file, _ in of_files], [row for _, rows in of_files for row in rows]
    changed = commits.explode("paths").group_by("source", path="paths").agg(changed=pl.col("committed_at").max())
    labels = units.select(*_FILE, "start_line", *_LABELS, name="qualified_name", complexity="cyclomatic").unique(
        _UNIT, keep="first", maintain_order=True
    )
    schema = {name: dtype for name, dtype in SEARCHED_FILES.schema.items() if name != "changed"}
    labelled = [name for name in SEARCHED_DOCUMENTS.schema if name not in (*_LABELS, "complexity")]
    types = {name: SEARCHED_DOCUMENTS.schema[name] for name in labelled}
    return {
        SEARCHED_FILES.name: pl.DataFrame(file_rows, schema=schema).join(changed, on=_FILE, how="left"),
        SEARCHED_DOCUMENTS.name: pl.DataFrame(documents, schema=types).join(labels, on=_UNIT, how="left"),
    }


def _rows_of_files(files: list[_Row], settings: ExtractionSettings) -> list[tuple[_Row, list[_Row]]]:
    """Of each file its row, and those of its documents."""
    of_files = []
    for row in files:
        source, path, text, language, revision, generated = (row[name] for name in FILE_COLUMNS[:6])
        file = file_from_table(path, text, language, revision, generated, settings)
        if is_issue(source, path):
            file = as_issue(file, text)
        location = {"source": source, "path": path}
        facts = {name: getattr(file, name) for name in ("size", "language", "commit", "generated")}
        documents: list[_Row] = []
        of_files.append(({**location, **facts, "licence": row["licence"], "author": row["author"]}, documents))
        for number, document in enumerate(file.documents):
            embedded = embedded_text(document, file)
            documents.append(
                {
                    **location,
                    "number": number,
                    **{name: getattr(document, name) for name in _LOCATION},
                    **dict(zip(_TEXTS, document.texts[1:], strict=True)),
                    "embedded": text_number(embedded) if embedded else None,
                }
            )
    return of_files


def read_searched_files(folder: Path, prefix: str = "") -> Iterator[FileText]:
    """The files of the tables in an asset's folder, by path; ``prefix`` stands before each path."""
    rows = SEARCHED_DOCUMENTS.read(folder).sort("path", "source", "number").iter_rows(named=True)
    documents_by_file = {key: list(group) for key, group in groupby(rows, key=itemgetter("path", "source"))}
    for row in SEARCHED_FILES.read(folder).sort("path", "source").iter_rows(named=True):
        path = f"{prefix}{row['path']}"
        facts = {name: row[name] for name in ("language", "commit", "generated")}
        origin = {name: row[name] for name in ("licence", "author", "changed")}
        documents = tuple(
            Document(
                texts=(path, *(document[name] for name in _TEXTS)),
                technologies=tuple(document["technologies"] or ()),
                is_test=document["kind"] != ISSUE and is_test(row["path"], document["name"]),
                **{name: document[name] for name in (*_LOCATION, "category", "complexity", "intent", "intent_kind")},
            )
            for document in documents_by_file.get((row["path"], row["source"]), [])
        )
        yield FileText(path, row["size"], 0, "", **facts, documents=documents, **origin)
