"""Incremental search for near-duplicates gives the same pairs as comparing everything."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.datasets.dedup import incremental_join
from cortex_pipelines.datasets.dedup.incremental_join import IncrementalSimilarityJoin
from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs, texts_to_compare
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache

_COLUMNS = ("prompt", "completion")
_WORDS = st.sampled_from(["alpha", "beta", "gamma", "=", "(", ")", "return"])
_TEXT = st.tuples(
    st.sampled_from(["", "first second third fourth fifth sixth seventh"]), st.lists(_WORDS, max_size=16).map(" ".join)
)
_SPLIT = st.lists(_TEXT, max_size=10, unique=True)


def frame(texts: list[tuple[str, str]]) -> pl.DataFrame:
    """Rows in which an id is a hash of the text, as in a data set."""
    ids = [hashlib.sha256(repr(text).encode()).hexdigest() for text in texts]
    schema = {"example_id": pl.String, "prompt": pl.String, "completion": pl.String}
    rows = [(row_id, *text) for row_id, text in zip(ids, texts, strict=True)]
    return pl.DataFrame(rows, schema=schema, orient="row")


def everything(left_rows: pl.DataFrame, right_rows: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    texts = (texts_to_compare(rows, _COLUMNS) for rows in (left_rows, right_rows))
    return near_duplicate_pairs(*texts, "compared", settings)


_RUNS = st.lists(st.tuples(_SPLIT, _SPLIT), max_size=4)
_MOST_NEW = st.sampled_from([0.2, 1.0])
Runs = list[tuple[list[tuple[str, str]], list[tuple[str, str]]]]


@hypothesis_settings(deadline=None, max_examples=25)
@given(_RUNS, _MOST_NEW)
def test_known_near_duplicates_are_those_of_a_comparison_of_everything(
    settings: DatasetSettings, runs: Runs, most_new: float
) -> None:
    with TemporaryDirectory() as folder, patch.object(incremental_join, "_MAX_NEW_SHARE", most_new):
        for left_texts, right_texts in runs:
            join = IncrementalSimilarityJoin(RowCache(Path(folder), "v"), settings)
            frames = frame(left_texts), frame(right_texts)
            pairs = join.between(*frames, _COLUMNS, "step")
            assert pairs.equals(everything(*frames, settings))


test_many_runs_give_the_same = pytest.mark.long(
    hypothesis_settings(deadline=None, max_examples=300)(
        given(_RUNS, _MOST_NEW)(
            test_known_near_duplicates_are_those_of_a_comparison_of_everything.hypothesis.inner_test
        )
    )
)


@pytest.fixture
def texts() -> list[tuple[str, str]]:
    words = [f"name{n}" for n in range(2000)]
    return [(f"# {number}.py", " ".join(words[number * 12 : number * 12 + 20])) for number in range(150)]


def test_only_what_can_be_near_a_a_new_text_is_read_again(
    texts: list[tuple[str, str]], settings: DatasetSettings, tmp_path: Path
) -> None:
    join = IncrementalSimilarityJoin(RowCache(tmp_path, "v"), settings)
    left_rows, right_rows = frame(texts[:100]), frame(texts[100:])
    join.between(left_rows, right_rows, _COLUMNS, "step")
    (path, text), *unchanged = texts[:100]
    changed = [(path, text + " more"), *unchanged], [*texts[100:], (path, text + " other")]
    read = _counting(join, *map(frame, changed))
    assert 0 < len(read) < 10
    assert not _counting(join, *map(frame, changed)), "nothing is new any more"


def _counting(join: IncrementalSimilarityJoin, left_rows: pl.DataFrame, right_rows: pl.DataFrame) -> list[str]:
    """Texts of which shingles are made."""
    read: list[str] = []
    make = incremental_join.shingles_of

    def record(frame: pl.DataFrame, text: str, settings: DatasetSettings) -> object:
        read.extend(frame[text])
        return make(frame, text, settings)

    with patch.object(incremental_join, "shingles_of", record):
        pairs = join.between(left_rows, right_rows, _COLUMNS, "step")
    assert pairs.height == 1
    return read
