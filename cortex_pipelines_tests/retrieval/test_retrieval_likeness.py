"""Likeness of meaning in collections too large to compare a query with every document."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from cortex_pipelines.retrieval import collection
from cortex_pipelines.retrieval.bm25f import Postings
from cortex_pipelines.retrieval.collection import Collection

_COUNT, _WIDTH, _K = 12_000, 100, 10  # a width that does not fill whole words of 64 signs


def _directions(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def large() -> Collection:
    draw = np.random.default_rng(5)
    centres = draw.normal(size=(40, _WIDTH))
    rows = centres[draw.integers(0, 40, _COUNT)] + draw.normal(0, 0.7, (_COUNT, _WIDTH))
    vectors = _directions(rows).astype(np.float16)
    vectors[::10] = 0  # texts without a vector
    empty = np.zeros(0, dtype=np.int32)
    none = Postings(np.zeros(1, dtype=np.int64), empty, empty.astype(np.float32), _COUNT)
    documents = pl.DataFrame({"file": pl.Series(np.zeros(_COUNT), dtype=pl.Int32)})
    return Collection(documents, pl.DataFrame(), none, none, vectors)


@pytest.fixture
def queries(large: Collection) -> npt.NDArray[np.float32]:
    draw = np.random.default_rng(6)
    assert large.vectors is not None
    neighbours = large.vectors[draw.integers(0, _COUNT, 60)].astype(np.float64)
    return _directions(neighbours + draw.normal(0, 0.05, neighbours.shape))


def _highest(values: npt.NDArray[np.float32]) -> set[int]:
    return set(np.argsort(-values, kind="stable")[:_K].tolist())


def _recall(large: Collection, queries: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_]) -> float:
    shares = []
    for query in queries:
        exact = np.where(eligible, np.maximum(0, large.float_vectors @ query), -1)
        similarity = large.similarity(query, eligible, np.zeros(_COUNT, dtype=np.float32))
        assert similarity is not None
        assert not similarity[::10].any()
        shares.append(len(_highest(exact) & _highest(np.where(eligible, similarity, -1))) / _K)
    return float(np.mean(shares))


@pytest.mark.parametrize("every", [1, 4, 1000])
def test_signs_lead_to_the_likeliest_also_of_a_few(
    large: Collection, queries: npt.NDArray[np.float32], every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    eligible = (np.arange(_COUNT) + 1) % every == 0
    assert _recall(large, queries, eligible) == 1.0  # every one of them is compared
    monkeypatch.setattr(collection, "_EXACT_LIMIT", 5_000)
    monkeypatch.setattr(collection, "_CANDIDATES", 1_000)
    assert _recall(large, queries, eligible) >= 0.97


def test_what_other_evidence_favours_is_compared_exactly(
    large: Collection, queries: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "_EXACT_LIMIT", 5_000)
    monkeypatch.setattr(collection, "_CANDIDATES", 50)
    eligible = np.ones(_COUNT, dtype=bool)
    favoured = 4321
    scores = np.zeros(_COUNT, dtype=np.float32)
    scores[favoured] = 1.0
    for query in queries:
        similarity = large.similarity(query, eligible, scores)
        assert similarity is not None
        assert similarity[favoured] == pytest.approx(max(0.0, float(large.float_vectors[favoured] @ query)), abs=1e-6)
        assert np.count_nonzero(similarity) <= 100
