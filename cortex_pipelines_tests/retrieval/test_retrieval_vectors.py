"""Vectors of a project: what they are the mean of, and a project without any."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.retrieval.vectors import Floats, embeddings, hierarchical_vectors, model_digest, vectors_of
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import EMBEDDINGS, SEARCHED_DOCUMENTS


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
    assert vectors["file", "a/two.py"] == (1, [1.0, 0.0])
    assert vectors["repository", ""] == vectors["folder", "a"]


def test_the_digest_names_what_gives_vectors_another_meaning() -> None:
    pin = {"revision": "r1", "hash": "h"}
    assert model_digest(pin, 128) == model_digest(dict(reversed(pin.items())), 128)
    assert len({model_digest(pin, 128), model_digest(pin, 64), model_digest({}, 128)}) == 3


def test_vectors_survive_the_table(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float16)
    frame = pl.DataFrame({"vector": pl.Series(values.tolist(), dtype=pl.List(pl.Float16))})
    frame.write_parquet(tmp_path / "v.parquet")
    assert np.array_equal(vectors_of(pl.read_parquet(tmp_path / "v.parquet")), values)
