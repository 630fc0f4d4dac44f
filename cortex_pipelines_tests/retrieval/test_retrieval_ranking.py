from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval import collection
from cortex_pipelines.retrieval.bm25f import Postings
from cortex_pipelines.retrieval.collection import Collection
from cortex_pipelines.retrieval.index import IndexManifest, build_index, read_folder
from cortex_pipelines.retrieval.open_index import reading_limits
from cortex_pipelines.retrieval.queries import parse_query
from cortex_pipelines.retrieval.ranking import FOR_UNITS, combine_unit_scores
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.retrieval.vectors import Floats, embeddings, hierarchical_vectors, model_digest, vectors_of
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import EMBEDDINGS, SEARCHED_DOCUMENTS
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

LIMITS = reading_limits(load_parameters())


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    folder = tmp_path_factory.mktemp("code")
    for name, text in CASES["FILES"].items():
        (folder / name).write_text(text)
    return Searcher(build_index(read_folder(folder, LIMITS), IndexManifest(str(folder), None), None), LIMITS)


@pytest.mark.parametrize(("query", "location"), CASES["what_is_named_comes_first"])
def test_what_is_named_comes_first(searcher: Searcher, query: str, location: str) -> None:
    first, *_ = searcher.search(query)
    assert f"{first.path} {first.name}" == location
    assert first.why.startswith("defines what is named")


def test_files_that_define_come_first_and_several_words_or_many_parts_name_nothing(searcher: Searcher) -> None:
    assert searcher.search("Response", by="file")[0].path == "wrappers.py"
    paths = [result.path for result in searcher.search("evolve the inst with changes")]
    assert paths.index("make.py") < paths.index("make.pyi")
    assert not any("defines what is named" in result.why for result in searcher.search("a response"))
    assert searcher.search("Response" + ".x" * 400)


@pytest.mark.parametrize(("query", "line"), [("readForm", 4), ("weigh", 10), ("weigh parcel", 10)])
def test_what_is_defined_comes_before_its_overloads(searcher: Searcher, query: str, line: int) -> None:
    first, *others = searcher.search(query)
    assert first.start_line == line
    assert first.name in {other.name for other in others}


def test_what_has_no_vector_is_not_taken_for_unlike(tmp_path: Path) -> None:
    (tmp_path / "why.md").write_text("# Why\n\nWhy to use parcels instead of argparse.\n")
    (tmp_path / "parse.py").write_text("def argparse_instead():\n    return parcels\n")

    def encode(texts: Sequence[str]) -> Floats:
        return np.ones((len(texts), 2), dtype=np.float32) / np.float32(2**0.5)

    index = build_index(read_folder(tmp_path, LIMITS), IndexManifest(str(tmp_path), "x"), encode)
    query = parse_query("why parcels")
    (part,) = Searcher(index, LIMITS, encode).score_collections(query)
    section = part.collection.names.index("Why")
    by_words = combine_unit_scores([part], replace(FOR_UNITS, dense=0.0), query)[0][section]
    assert combine_unit_scores([part], FOR_UNITS, query)[0][section] > by_words


_COUNT, _WIDTH, _K = 12_000, 100, 10  # a width that does not fill whole words of 64 signs


def _directions(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def large() -> Collection:
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(40, _WIDTH))[draw.integers(0, 40, _COUNT)] + draw.normal(0, 0.7, (_COUNT, _WIDTH))
    vectors = _directions(rows).astype(np.float16)
    vectors[::10] = 0  # texts without a vector
    empty = np.zeros(0, dtype=np.int32)
    none = Postings(np.zeros(1, dtype=np.int64), empty, empty.astype(np.float32), _COUNT)
    documents = pl.DataFrame({"file": pl.Series(np.zeros(_COUNT), dtype=pl.Int32)})
    return Collection(documents, pl.DataFrame(), none, none, vectors)


@pytest.fixture
def queries(large: Collection) -> npt.NDArray[np.float32]:
    draw = np.random.default_rng(6)
    neighbours = large.vectors[draw.integers(0, _COUNT, 60)].astype(np.float64)
    return _directions(neighbours + draw.normal(0, 0.05, neighbours.shape))


def _highest(values: npt.NDArray[np.float32]) -> set[int]:
    return set(np.argsort(-values, kind="stable")[:_K].tolist())


def _recall(large: Collection, queries: npt.NDArray[np.float32], eligible: npt.NDArray[np.bool_]) -> float:
    shares = []
    for query in queries:
        exact = np.where(eligible, np.maximum(0, large.float_vectors @ query), -1)
        similarity = large.similarity(query, eligible, np.zeros(_COUNT, dtype=np.float32))
        assert not similarity[::10].any()
        shares.append(len(_highest(exact) & _highest(np.where(eligible, similarity, -1))) / _K)
    return float(np.mean(shares))


@pytest.mark.parametrize("every", [1, 4, 1000])
def test_signs_lead_to_the_likeliest_also_of_a_few(large, queries, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    eligible = (np.arange(_COUNT) + 1) % every == 0
    assert _recall(large, queries, eligible) == 1.0  # every one of them is compared
    monkeypatch.setattr(collection, "_EXACT_LIMIT", 5_000)
    monkeypatch.setattr(collection, "_CANDIDATES", 1_000)
    assert _recall(large, queries, eligible) >= 0.97


def test_what_other_evidence_favours_is_compared_exactly(large, queries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "_EXACT_LIMIT", 5_000)
    monkeypatch.setattr(collection, "_CANDIDATES", 50)
    eligible = np.ones(_COUNT, dtype=bool)
    favoured = 4321
    scores = np.zeros(_COUNT, dtype=np.float32)
    scores[favoured] = 1.0
    for query in queries:
        similarity = large.similarity(query, eligible, scores)
        assert similarity[favoured] == pytest.approx(max(0.0, float(large.float_vectors[favoured] @ query)), abs=1e-6)
        assert np.count_nonzero(similarity) <= 100


def refuse(texts: Sequence[str]) -> Floats:
    raise AssertionError(f"nothing was to be embedded: {texts}")


def test_a_project_without_code_and_commits_has_no_vectors(tmp_path: Path) -> None:
    rows = embeddings(
        SEARCHED_DOCUMENTS.empty(), REPOSITORY_COMMITS.empty(), refuse, "model", RowCache(tmp_path, "1"), "shop"
    )
    assert EMBEDDINGS.conform(rows).is_empty()
    assert vectors_of(rows).shape == (0, 0)


def test_each_level_is_the_mean_of_what_is_in_it() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], dtype=np.float16)
    hierarchy = hierarchical_vectors(["a/b/one.py", "a/b/one.py", "a/two.py", "docs/three.md"], rows)
    vectors = {
        (level, path): (texts, vector)
        for (level, path, texts), vector in zip(hierarchy.nodes.rows(), hierarchy.vectors.tolist(), strict=True)
    }
    assert set(vectors) == {
        *(("file", path) for path in ("a/b/one.py", "a/two.py")),
        *(("folder", path) for path in ("a", "a/b")),
        ("repository", ""),
    }, "what has no vector has no level"
    assert vectors["folder", "a"][0] == 3
    assert np.allclose(vectors["folder", "a"][1], np.array([2, 1]) / np.sqrt(5), atol=1e-3)
    assert (vectors["file", "a/two.py"], vectors["repository", ""]) == ((1, [1.0, 0.0]), vectors["folder", "a"])


def test_the_digest_names_what_gives_vectors_another_meaning() -> None:
    pin = {"revision": "r1", "hash": "h"}
    assert model_digest(pin, 128) == model_digest(dict(reversed(pin.items())), 128)
    assert len({model_digest(pin, 128), model_digest(pin, 64), model_digest({}, 128)}) == 3


def test_vectors_survive_the_table(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float16)
    frame = pl.DataFrame({"vector": pl.Series(values.tolist(), dtype=pl.List(pl.Float16))})
    frame.write_parquet(tmp_path / "v.parquet")
    assert np.array_equal(vectors_of(pl.read_parquet(tmp_path / "v.parquet")), values)
