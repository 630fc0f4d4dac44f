"""What encoders are judged on: functions of a project, found by texts that belong to them, and hand-labelled units."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import polars as pl

from cortex_pipelines.annotation.evaluation.agreement import LabelledUnit
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.learned.encoder.pairs import ProjectFolders, by_hash, functions_of, renamed_variants, unit_text
from cortex_pipelines.retrieval.documents import Document, FileText
from cortex_pipelines.retrieval.index import IndexManifest, SearchIndex, build_index
from cortex_pipelines.retrieval.queries import parse_query
from cortex_pipelines.retrieval.ranking import FOR_UNITS, combine_unit_scores, score_collection
from cortex_pipelines.retrieval.vectors import Encode, Floats, encoder_text
from cortex_pipelines.statistics.leaderboard import rank_of

SEARCH, CLONES, CATEGORY = "search", "clones", "category"
_FEWEST_LINES = 5  # of a function that is looked for by its renamed variant: shorter ones are often alike
_HIDDEN = "f"  # in place of the name of such a function, which would give it away


@dataclass(frozen=True)
class RetrievalQuery:
    """``item`` and ``answer``: id and number of the function that is looked for."""

    task: str
    item: str
    path: str
    text: str
    answer: int


@dataclass(frozen=True)
class JudgedProject:
    """The functions of a project outside of its tests, without documentation; ``texts`` are what an encoder reads."""

    name: str
    functions: pl.DataFrame
    index: SearchIndex
    texts: tuple[str, ...]
    queries: tuple[RetrievalQuery, ...]


def judged_project(name: str, folders: ProjectFolders, most: int) -> JudgedProject | None:
    """At most ``most`` queries a task, chosen by hash; None if there is nothing to ask for."""
    functions = functions_of(folders.code_units).sort("source", "path", "start_byte")
    before = pl.col("end_byte").cum_max().shift(1).over("source", "path")
    functions = functions.filter(
        before.is_null() | (pl.col("start_byte") >= before),  # a function in another is part of that
        pl.Series([not is_test(path) for path in functions["path"]], dtype=pl.Boolean),
    )
    units = {unit["unit_id"]: unit for unit in functions.iter_rows(named=True)}
    sentences = Counter(functions["sentence"])
    numbers = {unit_id: number for number, unit_id in enumerate(units)}
    described = {key: unit["sentence"] for key, unit in units.items() if sentences[unit["sentence"]] == 1}
    variants = {
        str(unit["unit_id"]): re.sub(rf"\b{re.escape(unit['name'])}\b", _HIDDEN, code)
        for code, unit, _ in renamed_variants(folders, units)
        if code.strip().count("\n") + 1 >= _FEWEST_LINES
    }
    queries = [
        RetrievalQuery(task, key, units[key]["path"], texts[key], numbers[key])
        for task, texts in ((SEARCH, described), (CLONES, variants))
        for key in sorted((key for key in texts if texts[key]), key=lambda key: by_hash(key))[:most]
    ]
    if not queries:
        return None
    files = []
    for path, inside in groupby(units.values(), key=lambda unit: str(unit["path"])):
        documents = tuple(
            Document(
                unit["kind"],
                unit["qualified_name"],
                unit["start_line"],
                unit["end_line"],
                (path, unit["qualified_name"], unit["signature"], "", unit["bare"]),
            )
            for unit in inside
        )
        files.append(_file(path, documents))
    encoded = tuple(unit_text(unit, unit["bare"]) for unit in units.values())
    return JudgedProject(name, functions, build_index(files, IndexManifest("", None), None), encoded, tuple(queries))


def _file(path: str, documents: tuple[Document, ...]) -> FileText:
    return FileText(path, 0, 0, "", None, None, generated=False, documents=documents)


def reciprocal_ranks(project: JudgedProject, vectors: "tuple[Floats, Floats] | None", *, words: bool) -> list[float]:
    """Of each query, by the words of the search (BM25F), by vectors, or by both as the search adds them up.

    ``vectors``: of the documents and of the queries, each of length 1. Equal scores share their ranks.
    """
    collection = project.index.collection
    if vectors is not None:
        collection = replace(collection, vectors=vectors[0].astype(np.float16))
    everything = np.ones(len(project.texts), dtype=bool)
    reciprocals = []
    for number, query in enumerate(project.queries):
        parsed = parse_query(query.text)
        vector = None if vectors is None else vectors[1][number]
        part = score_collection(collection, parsed, project.index.terms, vector, everything)
        scores = combine_unit_scores([part], FOR_UNITS, parsed)[0] if words else part.similarity
        if scores is None:
            raise ValueError("neither words nor vectors to rank by")
        reciprocals.append(1 / rank_of(scores, query.answer))
    return reciprocals


def labelled_functions(labelled: Sequence[LabelledUnit]) -> pl.DataFrame:
    """Units as ``without_duplicates`` compares them."""
    rows = [(str(number), unit.language, unit.code) for number, unit in enumerate(labelled)]
    return pl.DataFrame(rows, schema=dict.fromkeys(("unit_id", "language", "bare"), pl.String), orient="row")


def similarities_by_words(labelled: Sequence[LabelledUnit]) -> Floats:
    """BM25F of each unit's code in each other's, shape (units, units)."""
    files = [
        _file("", (Document("function", unit.name, 1, 1, ("", unit.name, "", "", unit.code)),)) for unit in labelled
    ]
    index = build_index(files, IndexManifest("", None), None)
    everything = np.ones(len(files), dtype=bool)
    rows = [
        score_collection(index.collection, parse_query(unit.code), index.terms, None, everything).units
        for unit in labelled
    ]
    return np.stack(rows)


def similarities_by_vectors(labelled: Sequence[LabelledUnit], encode: Encode) -> Floats:
    vectors = encode([encoder_text("function", unit.name, "", unit.code) for unit in labelled])
    return np.asarray(vectors @ vectors.T, dtype=np.float32)


def categories_found(labelled: Sequence[LabelledUnit], similarities: Floats, neighbours: int) -> list[float]:
    """Of each unit, 1 if its nearest others, weighted by their similarity, have its category; else 0."""
    right = []
    for number, unit in enumerate(labelled):
        row = similarities[number].copy()
        row[number] = -np.inf
        votes: defaultdict[str, float] = defaultdict(float)
        for other in np.argsort(-row, kind="stable")[:neighbours]:
            votes[labelled[other].category] += float(row[other])
        right.append(float(max(votes, key=lambda name: votes[name]) == unit.category))
    return right
