"""The order of results: evidence of several kinds, each on a scale of its own, added up.

Evidence: BM25F of the document, BM25F of its whole file, likeness of its meaning (the encoder), and
what the query names exactly (identifiers that are defined here, paths). A short query ranks
documents. The text of an issue ranks files, each shown by its best document, since where to change
something is asked of files.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortex_pipelines.retrieval.bm25f import Floats, Vocabulary
from cortex_pipelines.retrieval.collection import Collection
from cortex_pipelines.retrieval.queries import ParsedQuery
from cortex_pipelines.words import is_name, same_name


@dataclass(frozen=True)
class SignalWeights:
    """How much each kind of evidence counts; chosen on development sets, docs/guides/search.md.

    Args:
        file: BM25F of the whole file, beside that of the document.
        dense: Likeness of meaning.
        names: Identifiers of the query that a document defines.
        paths: Paths of the query.
        tests: What remains of the score of a test, unless tests are asked for.
        prose: What remains of that of prose and configuration.
        exact: A name that is the whole query, of what it defines: above all else.
        stubs: What remains of that of a declaration whose definition is there too.
        generated: What remains of that of generated code.
        fusion: ``sum`` of scaled scores, or ``ranks`` (reciprocal rank fusion).
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
    fusion: str = "sum"


FOR_UNITS = SignalWeights(
    file=0.3, dense=1.0, names=0.0, paths=0.5, tests=0.8, prose=0.8, stubs=0.5
)
FOR_FILES = SignalWeights(file=0.7, dense=1.0, names=0.2, paths=0.5, tests=0.5, prose=0.5)

_USUAL_RANK = 60
"""Constant of reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)."""
_MOST_NAMED = 20
"""An identifier that is defined in more places than this names none of them."""
_LONGEST_NAME = 200
"""Characters of a query that may be a name."""
_GUESSED = 0.4
"""Likeness of what has no vector and fits the query's words best, relative to the highest: more
costs functions places on the development sets."""
_KINDS = ("file", "dense", "names", "paths", "exact")
"""Evidence that is weighted beside the words of a document."""


@dataclass(frozen=True)
class CollectionScores:
    """Scores of one collection, not yet comparable to those of another.

    Args:
        collection: What is scored.
        units: BM25F of each document.
        files: BM25F of each file.
        likeness: Likeness of each document; None without an encoder.
        names: Share of the query's identifiers that a document defines.
        paths: How well a file's path is one of the query's.
        exact: Whether each document is what the query names, where that is all of it.
        shown: Documents that may be results.
    """

    collection: Collection
    units: Floats
    files: Floats
    likeness: Floats | None
    names: Floats
    paths: Floats
    exact: Floats
    shown: npt.NDArray[np.bool_]


def score_part(
    collection: Collection,
    query: ParsedQuery,
    terms: Vocabulary,
    vector: Floats | None,
    shown: npt.NDArray[np.bool_],
) -> CollectionScores:
    """All evidence on the documents of a collection."""
    numbers = {
        number: weight
        for term, weight in query.weights.items()
        if (number := terms.numbers.get(term)) is not None
    }
    units = collection.of_units.scores(numbers)
    return CollectionScores(
        collection,
        units,
        collection.of_files.scores(numbers),
        None if vector is None else collection.likeness(vector, shown, units),
        _named(collection, query),
        _mentioned(collection, query),
        _asked(collection, query.text.strip().removesuffix("()")),
        shown,
    )


def _named(collection: Collection, query: ParsedQuery) -> Floats:
    """How surely each document is what an identifier of the query names."""
    scores = np.zeros(collection.documents.height, dtype=np.float32)
    if not query.names:
        return scores
    simple = collection.simple_names
    for name, count in query.names.items():
        places = simple.get(name, ())
        if 0 < len(places) <= _MOST_NAMED:
            scores[list(places)] += (1 + np.log(count)) / len(places)
    return scores


def _asked(collection: Collection, name: str) -> Floats:
    """How much of a name, of one part or several, the name of each document is.

    A name that no unit has may be that of a module: then what is left of the file counts.
    """
    scores = np.zeros(collection.documents.height, dtype=np.float32)
    if len(name) > _LONGEST_NAME or not is_name(name):
        return scores
    name = same_name(name)
    parts = re.split(r"\.|::", name)
    places = collection.simple_names.get(parts[-1], ())
    for place in places if len(places) <= _MOST_NAMED else ():
        scores[place] = _agreement(parts, same_name(collection.names[place]).split("."))
    if not places:
        files = collection.by_ending.get("/".join(parts).lower(), ())
        left = collection.left_over & np.isin(collection.file_of, list(files))
        scores[left] = 1.0 if len(files) <= _MOST_NAMED else 0.0
    return scores


def _agreement(asked: list[str], defined: list[str]) -> float:
    """Share of the longer of two dotted names that the ends of both have in common."""
    same = 0
    while same < min(len(asked), len(defined)) and asked[-1 - same] == defined[-1 - same]:
        same += 1
    return same / max(len(asked), len(defined))


def _mentioned(collection: Collection, query: ParsedQuery) -> Floats:
    """How much of each file's path the query spells out."""
    scores = np.zeros(collection.files.height, dtype=np.float32)
    if not query.paths:
        return scores
    for mention, count in query.paths.items():
        for form in _forms(mention):
            places = collection.by_ending.get(form, ())
            if 0 < len(places) <= _MOST_NAMED:
                scores[list(places)] += (1 + np.log(count)) / len(places)
                break
    return scores


def _forms(mention: str) -> list[str]:
    """Endings of paths that a mention may mean, the longest first: ``a/b/c``, ``b/c``, ``c``."""
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
    # a dotted name may go on with a class and a function of the module
    for end in range(len(dotted), 1, -1):
        forms += ["/".join(dotted[start:end]).lower() for start in range(end - 1)]
    return forms


def combined_units(
    parts: list[CollectionScores], weights: SignalWeights, query: ParsedQuery
) -> list[Floats]:
    """One score a document of each part."""
    evidence = [
        {
            "units": part.units,
            "file": part.files[part.collection.file_of],
            "dense": _likeness(part),
            "names": part.names,
            "paths": part.paths[part.collection.file_of],
            "exact": part.exact,
        }
        for part in parts
    ]
    sums = _fused(evidence, {"units": 1.0, **_given(weights)}, weights.fusion)
    return [total * _prior(part, weights, query) for total, part in zip(sums, parts, strict=True)]


def _likeness(part: CollectionScores) -> Floats | None:
    """Likeness of each document, of what has no vector guessed by its words.

    Prose and constants are not embedded, which does not say that they are unlike the query. Tests
    are not guessed: they come after what they test.
    """
    if part.likeness is None:
        return None
    most = float(part.units.max(initial=0))
    guessed = part.collection.unembedded & ~part.collection.tests
    scale = _GUESSED * float(part.likeness.max(initial=0)) / most if most > 0 else 0.0
    return np.where(guessed, np.float32(scale) * part.units, part.likeness)


def combined_files(
    parts: list[CollectionScores], weights: SignalWeights, query: ParsedQuery
) -> list[Floats]:
    """One score a file of each part; of its documents the best one counts.

    Adding those that follow, each for less, did not help on the development sets.
    """
    evidence = [
        {
            "units": _highest(part.units, part.collection),
            "file": part.files,
            "dense": None if part.likeness is None else _highest(part.likeness, part.collection),
            "names": _highest(part.names, part.collection),
            "paths": part.paths,
            "exact": _highest(part.exact, part.collection),
        }
        for part in parts
    ]
    sums = _fused(evidence, {"units": 1.0, **_given(weights)}, weights.fusion)
    return [
        total * _highest(_prior(part, weights, query), part.collection)
        for total, part in zip(sums, parts, strict=True)
    ]


def _given(weights: SignalWeights) -> dict[str, float]:
    return {name: getattr(weights, name) for name in _KINDS}


def _fused(
    evidence: list[dict[str, Floats | None]], weights: dict[str, float], fusion: str
) -> list[Floats]:
    sizes = [len(part["units"]) for part in evidence if part["units"] is not None]
    totals = [np.zeros(size, dtype=np.float32) for size in sizes]
    for name, weight in weights.items():
        kinds = [part[name] for part in evidence]
        present = [kind for kind in kinds if kind is not None]
        most = max((float(kind.max(initial=0)) for kind in present), default=0.0)
        if not weight or most <= 0:
            continue
        scaled = [None if kind is None else kind / most for kind in kinds]
        if fusion == "ranks":
            scaled = _by_rank(scaled)
        for total, kind in zip(totals, scaled, strict=True):
            if kind is not None:
                total += np.float32(weight) * kind
    return totals


def _by_rank(kinds: list[Floats | None]) -> list[Floats | None]:
    """Reciprocal ranks within all parts together; nothing where there is no evidence."""
    together = np.concatenate([kind for kind in kinds if kind is not None])
    ranks = np.empty(len(together), dtype=np.float32)
    ranks[np.argsort(-together, kind="stable")] = np.arange(len(together))
    values = np.where(together > 0, 1 / (_USUAL_RANK + 1 + ranks), 0).astype(np.float32)
    cut: list[Floats | None] = []
    at = 0
    for kind in kinds:
        cut.append(None if kind is None else values[at : at + len(kind)])
        at += 0 if kind is None else len(kind)
    return cut


def _highest(scores: Floats, collection: Collection) -> Floats:
    """Highest score of each file's documents."""
    best = np.zeros(collection.files.height, dtype=np.float32)
    np.maximum.at(best, collection.file_of, scores)
    return best


def _prior(part: CollectionScores, weights: SignalWeights, query: ParsedQuery) -> Floats:
    """What remains of each document's score by what kind of file it is in."""
    collection = part.collection
    prior = np.ones(collection.documents.height, dtype=np.float32)
    if not query.tests:
        prior[collection.tests] *= np.float32(weights.tests)
    prior[collection.prose] *= np.float32(weights.prose)
    prior[collection.stubs] *= np.float32(weights.stubs)
    prior[collection.generated] *= np.float32(weights.generated)
    return prior
