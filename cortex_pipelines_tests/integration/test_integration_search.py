import json

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.retrieval.vectors import vectors_of
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.integration.planted import holding

SECRET = "quokkaledger"
FILE = f"""def open_{SECRET}(path):
    '''Open the {SECRET} and give its first page.'''
    with path.open() as pages:
        return next(pages)
"""
MADE = (
    *("repository_files", "repository_commits", "code_units", "architecture_facts", "annotated_units"),
    *("search_documents", "code_embeddings"),
)


def make(mini: MiniProject) -> None:
    mini.cortex("run", *MADE, "--project", "beta")


def search(mini: MiniProject) -> str:
    return mini.cortex("search", SECRET, "--project", "beta", "--json").stdout


@pytest.mark.slow
def test_what_is_forgotten_leaves_no_byte_in_embeddings_indexes_caches_and_old_versions(begun: MiniProject) -> None:
    source = begun.root / "sources" / "beta" / "vault" / "ledger.py"
    source.parent.mkdir()
    source.write_text(FILE)
    begun.cortex("update", "beta")
    make(begun)
    assert json.loads(search(begun))[0]["name"] == f"open_{SECRET}"
    table = pl.read_parquet(begun.root / "data/code_embeddings/beta/embeddings.parquet")
    vector = vectors_of(table.filter(pl.col("name") == f"open_{SECRET}")).tobytes()
    assert np.frombuffer(vector, dtype=np.float16).any()
    before = holding(begun.root, SECRET.encode())
    assert {"data/search_documents/beta", ".cortex/search/beta"} <= before
    assert {"data/code_embeddings/beta", ".cortex/search/beta", ".cortex/cache/rows"} <= holding(begun.root, vector), (
        "this test sees vectors"
    )
    assert any(path.startswith(".dvc/cache") for path in before)
    begun.cortex("forget", "--path", "vault/**", "--project", "beta")
    make(begun)
    search(begun)
    assert holding(begun.root, vector), "former versions are still kept"
    result = begun.cortex("forget", "--purge")
    assert "bytes of search indexes" in result.stderr
    assert (holding(begun.root, vector), holding(begun.root, SECRET.encode())) == (set(), set())
    assert f"open_{SECRET}" not in search(begun)
