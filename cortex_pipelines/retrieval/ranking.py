"""The order of results: signals of several kinds, each scaled by its maximum, added up.

Signals: BM25F of the document, BM25F of its whole file, similarity of meaning (the encoder), and what the query names
exactly (identifiers that are defined here, paths). A short query ranks documents. The text of an issue ranks files,
each shown by its best document, since where to change something is asked of files.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortex_pipelines.retrieval.bm25f import Vocabulary
from cortex_pipelines.retrieval.collection import Collection
from cortex_pipelines.retrieval.queries import ParsedQuery
from cortex_pipelines.retrieval.vectors import Floats
from cortex_pipelines.words import is_name, normalise_name


@dataclass(frozen=True)
class SignalWeights:
    """Weight of each signal; chosen on development sets, docs/guides/search.md.

    Args:
        file: BM25F of the whole file, beside that of the document.
        dense: Similarity of meaning.
        names: Identifiers of the query that a document defines.
        paths: Paths of the query.
        tests: What remains of the score of a test, unless tests are asked for.
        prose: What remains of that of prose and configuration.
        exact: A name that is the whole query, of what it defines: above all else.
        stubs: What remains of that of a declaration whose definition is there too.
        generated: What remains of that of generated code.
    """

    file: float
    dense: float
    names: float
    paths: float
    tests: float
    prose: float
    exact: float = 2.0
    stubs: float = 1.0
    generated: float = 0.5


FOR_UNITS = SignalWeights(file=0.3, dense=1.0, names=0.0, paths=0.5, tests=0.8, prose=0.8, stubs=0.5)
FOR_FILES = SignalWeights(file=0.7, dense=1.0, names=0.2, paths=0.5, tests=0.5, prose=0.5)

_MOST_NAMED = 20  # an identifier that is defined in more places than this names none of them
_LONGEST_NAME = 200  # characters of a query that may be a name
_UNEMBEDDED_SIMILARITY = 0.4
"""Similarity of what has no vector and fits the query's words best, relative to the highest: more
costs functions places on the development sets."""
_SIGNALS = ("file", "dense", "names", "paths", "exact")  # signals that are weighted beside the words of a document


@dataclass(frozen=True)
class CollectionScores:
    collection: Collection
    units: Floats
    files: Floats
    similarity: Floats | None
    names: Floats
    paths: Floats
    exact: Floats
    eligible: npt.NDArray[np.bool_]


def score_collection(
    collection: Collection,
    query: ParsedQuery,
    terms: Vocabulary,
    vector: Floats | None,
    eligible: npt.NDArray[np.bool_],
) -> CollectionScores:
    numbers = {
        number: weight for term, weight in query.weights.items() if (number := terms.numbers.get(term)) is not None
    }
    units = collection.unit_postings.scores(numbers)
    similarity = None if vector is None else collection.similarity(vector, eligible, units)
    names = np.zeros(collection.documents.height, dtype=np.float32)  # how surely an identifier names a document
    for name, count in query.names.items():
        documents = collection.documents_by_name.get(name, ())
        if 0 < len(documents) <= _MOST_NAMED:
            names[list(documents)] += (1 + np.log(count)) / len(documents)
    paths = np.zeros(collection.files.height, dtype=np.float32)
    for mention, count in query.paths.items():
        endings = (collection.files_by_ending.get(ending, ()) for ending in _path_endings(mention))
        files = next((files for files in endings if 0 < len(files) <= _MOST_NAMED), ())
        if files:
            paths[list(files)] += (1 + np.log(count)) / len(files)
    exact = _exact_scores(collection, query.text.strip().removesuffix("()"))
    file_scores = collection.file_postings.scores(numbers)
    return CollectionScores(collection, units, file_scores, similarity, names, paths, exact, eligible)


def _exact_scores(collection: Collection, name: str) -> Floats:
    """How much of a name, of one part or several, the name of each document is.

    A name that no unit has may be that of a module: then what is left of the file counts.
    """
    scores = np.zeros(collection.documents.height, dtype=np.float32)
    if len(name) > _LONGEST_NAME or not is_name(name):
        return scores
    name = normalise_name(name)
    parts = re.split(r"\.|::", name)
    documents = collection.documents_by_name.get(parts[-1], ())
    for document in documents if len(documents) <= _MOST_NAMED else ():
        defined = normalise_name(collection.names[document]).split(".")
        shared = 0  # parts that the ends of both names have in common
        while shared < min(len(parts), len(defined)) and parts[-1 - shared] == defined[-1 - shared]:
            shared += 1
        scores[document] = shared / max(len(parts), len(defined))
    if not documents:
        files = collection.files_by_ending.get("/".join(parts).lower(), ())
        module_documents = collection.outside_units & np.isin(collection.file_numbers, list(files))
        scores[module_documents] = 1.0 if len(files) <= _MOST_NAMED else 0.0
    return scores


def _path_endings(mention: str) -> list[str]:
    """Endings of a mentioned path, the longest first: ``a/b/c``, ``b/c``, ``c``."""
    if re.fullmatch(r"[\w\-]+\.[a-z]{1,4}", mention):
        spelled = mention.rpartition(".")[0].split("/")
        dotted = mention.split(".")
    elif "/" in mention or "\\" in mention:
        path = mention.replace("\\", "/")
        stem = path.rpartition(".")[0] if "." in path.rpartition("/")[2] else path
        parts = [part for part in stem.split("/") if part]
        return ["/".join(parts[start:]).lower() for start in range(len(parts))]
    else:
        spelled, dotted = [], mention.split(".")
    forms = ["/".join(spelled).lower()] if spelled else []
    # a dotted name may continue with a class and a function of the module
    for end in range(len(dotted), 1, -1):
        forms += ["/".join(dotted[start:end]).lower() for start in range(end - 1)]
    return forms


def combine_unit_scores(parts: list[CollectionScores], weights: SignalWeights, query: ParsedQuery) -> list[Floats]:
    signals = [
        {
            "units": part.units,
            "file": part.files[part.collection.file_numbers],
            "dense": _similarity(part),
            "names": part.names,
            "paths": part.paths[part.collection.file_numbers],
            "exact": part.exact,
        }
        for part in parts
    ]
    sums = _fuse(signals, weights)
    return [total * _prior(part, weights, query) for total, part in zip(sums, parts, strict=True)]


def _similarity(part: CollectionScores) -> Floats | None:
    """Similarity of each document; estimated from its words where it has no vector.

    Prose and constants are not embedded, which does not say that they are unlike the query. Tests
    are not guessed: they come after what they test.
    """
    if part.similarity is None:
        return None
    most = float(part.units.max(initial=0))
    unembedded = part.collection.unembedded & ~part.collection.is_test
    scale = _UNEMBEDDED_SIMILARITY * float(part.similarity.max(initial=0)) / most if most > 0 else 0.0
    return np.where(unembedded, np.float32(scale) * part.units, part.similarity)


def combine_file_scores(parts: list[CollectionScores], weights: SignalWeights, query: ParsedQuery) -> list[Floats]:
    """One score a file of each part; of its documents the best one counts.

    Adding those that follow, each for less, did not help on the development sets.
    """
    signals = [
        {
            "units": _max_by_file(part.units, part.collection),
            "file": part.files,
            "dense": None if part.similarity is None else _max_by_file(part.similarity, part.collection),
            "names": _max_by_file(part.names, part.collection),
            "paths": part.paths,
            "exact": _max_by_file(part.exact, part.collection),
        }
        for part in parts
    ]
    sums = _fuse(signals, weights)
    return [
        total * _max_by_file(_prior(part, weights, query), part.collection)
        for total, part in zip(sums, parts, strict=True)
    ]


def _fuse(signals: list[dict[str, Floats | None]], weights: SignalWeights) -> list[Floats]:
    sizes = [len(part["units"]) for part in signals if part["units"] is not None]
    totals = [np.zeros(size, dtype=np.float32) for size in sizes]
    for name in ("units", *_SIGNALS):
        weight = 1.0 if name == "units" else getattr(weights, name)
        scores = [part[name] for part in signals]
        present = [array for array in scores if array is not None]
        most = max((float(kind.max(initial=0)) for kind in present), default=0.0)
        if not weight or most <= 0:
            continue
        for total, kind in zip(totals, scores, strict=True):
            if kind is not None:
                total += np.float32(weight) * (kind / most)
    return totals


def _max_by_file(scores: Floats, collection: Collection) -> Floats:
    best = np.zeros(collection.files.height, dtype=np.float32)
    np.maximum.at(best, collection.file_numbers, scores)
    return best


def _prior(part: CollectionScores, weights: SignalWeights, query: ParsedQuery) -> Floats:
    collection = part.collection
    prior = np.ones(collection.documents.height, dtype=np.float32)
    if not query.tests:
        prior[collection.is_test] *= np.float32(weights.tests)
    prior[collection.is_prose] *= np.float32(weights.prose)
    prior[collection.is_stub] *= np.float32(weights.stubs)
    prior[collection.is_generated] *= np.float32(weights.generated)
    return prior
