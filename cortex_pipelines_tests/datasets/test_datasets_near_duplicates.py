"""Near-duplicates are found, and what leaks is reported: both against brute force."""

import itertools
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.datasets.dedup import minhash as minhash_module
from cortex_pipelines.datasets.dedup import similarity_join
from cortex_pipelines.datasets.dedup.minhash import (
    IncrementalClustering,
    minhash,
    near_duplicate_clusters,
    smallest_connected,
)
from cortex_pipelines.datasets.dedup.shingles import all_shingles, jaccard, shingles
from cortex_pipelines.datasets.dedup.similarity_join import Compared, HeldOutRows, tokenised_texts
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines_tests.parameters import PROPERTY_STEPS

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "=", "(", ")", "+", "return"])
TEXTS = st.lists(st.lists(WORDS, max_size=25).map(" ".join), max_size=12)


def similarity(first: str, second: str, size: int) -> float:
    """Jaccard similarity of the sets of token runs, the slow way."""
    sets = []
    for text in (first, second):
        tokens = text.split()
        tokens += [""] * (size - len(tokens))
        sets.append({tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(st.lists(WORDS, max_size=20).map(" ".join), st.lists(WORDS, max_size=20).map(" ".join))
def test_shingles_measure_what_they_say(first: str, second: str) -> None:
    assert jaccard(shingles(first, 5), shingles(second, 5)) == similarity(first, second, 5)


class Groups:
    """The group of each number, in the plainest way."""

    def __init__(self, size: int) -> None:
        self.of = list(range(size))

    def join(self, first: int, second: int) -> None:
        absorbed, target = self.of[first], self.of[second]
        self.of = [target if group == absorbed else group for group in self.of]


def test_texts_of_any_size_and_layout_have_shingles() -> None:
    assert jaccard(shingles("f ( a,b )", 3), shingles("f(a,\n    b)", 3)) == 1
    big = "word " * 60000 + "\x00\ud800 é—"
    assert len(shingles(big, 5)) > 1
    assert np.array_equal(shingles("é ü", 1), np.sort(shingles("ü é", 1)))
    assert len(shingles("", 5)) == 1


@given(TEXTS)
def test_clusters_are_chains_of_near_duplicates(settings: DatasetSettings, texts: list[str]) -> None:
    groups = Groups(len(texts))
    for first, second in itertools.combinations(range(len(texts)), 2):
        score = similarity(texts[first], texts[second], settings.shingle_tokens)
        if score >= settings.near_duplicate_threshold:
            groups.join(first, second)
    clusters = near_duplicate_clusters(texts, settings)
    for first, second in itertools.combinations(range(len(texts)), 2):
        assert (clusters[first] == clusters[second]) == (groups.of[first] == groups.of[second])


@hypothesis_settings(max_examples=2 * PROPERTY_STEPS)
@given(TEXTS, TEXTS)
def test_leakage_is_exactly_the_near_duplicates(settings: DatasetSettings, train: list[str], test: list[str]) -> None:
    def compared(prefix: str, texts: list[str], first: int = 0) -> Compared:
        sets = all_shingles(texts, settings.shingle_tokens)
        return [f"{prefix}{number}" for number in range(first, first + len(texts))], sets

    half = len(train) // 2
    parts = [compared("a", train[:half]), compared("a", train[half:], half)]
    pairs = HeldOutRows([compared("b", test)], settings.near_duplicate_threshold).near_duplicates(parts)
    expected = {
        (f"a{train_row}", f"b{test_row}")
        for train_row, train_text in enumerate(train)
        for test_row, test_text in enumerate(test)
        if similarity(train_text, test_text, settings.shingle_tokens) >= settings.near_duplicate_threshold
    }
    assert {(row[0], row[1]) for row in pairs.iter_rows()} == expected


def test_many_near_duplicates_are_one_cluster(settings: DatasetSettings) -> None:
    base = " ".join(f"word{n}" for n in range(60))
    texts = [base.replace("word30", f"other{n}") for n in range(40)] + ["nothing like it at all"]
    clusters = near_duplicate_clusters(texts, settings)
    assert clusters == [0] * 40 + [40]


def _mutated(words: list[str], changes: int, at_random: random.Random) -> str:
    mutated = list(words)
    for _ in range(changes):
        mutated[at_random.randrange(len(mutated))] = f"w{at_random.randrange(10**6)}"
    return " ".join(mutated)


def test_nearly_all_pairs_are_found_among_many(settings: DatasetSettings) -> None:
    """Recall of pairs from 0.7 on against brute force, on texts of 20 to 200 tokens."""
    at_random = random.Random(5)
    texts = []
    for family in range(150):
        words = [f"f{family}x{n}" for n in range(at_random.randint(20, 200))]
        most = max(len(words) // 25, 1)
        texts += [_mutated(words, at_random.randint(0, most), at_random) for _ in range(4)]
    sets = all_shingles(texts, settings.shingle_tokens)
    pairs = [
        (first, second)
        for first, second in itertools.combinations(range(len(texts)), 2)
        if first // 4 == second // 4 and jaccard(sets[first], sets[second]) >= 0.7
    ]
    clusters = near_duplicate_clusters(texts, settings)
    assert len(pairs) > 200
    assert all(clusters[first] == clusters[second] for first, second in pairs)
    for first, second in itertools.combinations(range(len(texts)), 2):
        assert clusters[first] != clusters[second] or first // 4 == second // 4


def test_signatures_estimate_the_similarity(settings: DatasetSettings) -> None:
    """The share of equal values is the similarity, also of sets that fill few of the bins."""
    at_random = random.Random(6)
    errors = []
    for size in (8, 30, 120, 600):
        for _ in range(30):
            words = [f"t{at_random.randrange(10**9)}" for _ in range(size)]
            texts = [" ".join(words), _mutated(words, max(size // 30, 1), at_random)]
            sets = all_shingles(texts, settings.shingle_tokens)
            first, second = minhash(sets, settings)
            errors.append(float(np.mean(first == second)) - jaccard(sets[0], sets[1]))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.08


@given(st.lists(st.text(max_size=40), max_size=8), st.integers(1, 7))
def test_many_texts_at_once_are_the_same_as_one_by_one(texts: list[str], size: int) -> None:
    together = all_shingles(texts, size)
    assert len(together) == len(texts)
    for text, text_shingles in zip(texts, together, strict=True):
        assert np.array_equal(text_shingles, shingles(text, size))
        assert len(text_shingles) >= 1
        assert np.all(text_shingles[1:] > text_shingles[:-1])
    rows = list(range(len(texts)))[::-2]
    subset = together.select(rows)
    assert all(np.array_equal(subset[index], together[n]) for index, n in enumerate(rows))
    batches = [text_shingles for batch in together.batches(3) for text_shingles in batch]
    assert all(np.array_equal(a, b) for a, b in zip(batches, together, strict=True))


@given(st.integers(1, 30), st.data())
def test_connected_members_are_named_by_the_smallest(size: int, data: st.DataObject) -> None:
    numbers = st.integers(0, size - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), max_size=40))
    cut, groups = data.draw(st.integers(0, len(pairs))), Groups(size)
    for first, second in pairs:
        groups.join(first, second)
    edges = [np.array(part, dtype=np.int64).reshape(-1, 2).T for part in (pairs[:cut], pairs[cut:])]
    connected = smallest_connected(size, *((first, second) for first, second in edges))
    assert connected.tolist() == [groups.of.index(groups.of[item]) for item in range(size)]


_CHAIN = [" ".join(f"name{n}" for n in range(at, at + 30)) for at in range(0, 24, 2)]
"""Each is a near-duplicate of the next two alone."""
_APART = [" ".join(f"other{at}x{n}" for n in range(20)) for at in range(30)]
_LAID_OUT = [_CHAIN[3].replace(" ", "  "), "", "one two"]
_TEXTS = st.lists(st.sampled_from([*_CHAIN, *_APART, *_LAID_OUT]), max_size=40)


@given(st.lists(_TEXTS, max_size=5), st.sampled_from([0.3, 1.0]), st.sampled_from([3, 256]))
def test_known_clusters_are_those_of_clustering_everything(
    settings: DatasetSettings, runs: list[list[str]], most_new: float, most_compared: int
) -> None:
    with (
        TemporaryDirectory() as folder,
        patch.object(minhash_module, "_MAX_NEW_SHARE", most_new),
        patch.object(minhash_module, "MAX_COMPARED", most_compared),
    ):
        for texts in runs:
            clustering = IncrementalClustering(RowCache(Path(folder), "v"), "shop", settings)
            assert clustering.firsts("code", texts) == near_duplicate_clusters(texts, settings)


def test_a_cluster_falls_apart_with_the_text_that_held_it_together(settings: DatasetSettings, tmp_path: Path) -> None:
    ends, unrelated = [_CHAIN[0], _CHAIN[4]], _APART
    clusters = near_duplicate_clusters([*ends, _CHAIN[2], *unrelated], settings)
    assert clusters[:3] == [0, 0, 0]
    clustering = IncrementalClustering(RowCache(tmp_path, "v"), "shop", settings)
    assert clustering.firsts("code", [*ends, _CHAIN[2], *unrelated]) == clusters
    assert clustering.firsts("code", [*ends, *unrelated])[:2] == [0, 1]


def test_only_what_agrees_with_a_new_text_is_compared_again(settings: DatasetSettings, tmp_path: Path) -> None:
    clustering = IncrementalClustering(RowCache(tmp_path, "v"), "shop", settings)
    clustering.firsts("code", _APART)
    read: list[str] = []
    make = minhash_module.all_shingles

    def record(texts: list[str], size: int) -> object:
        read.extend(texts)
        return make(texts, size)

    with patch.object(minhash_module, "all_shingles", record):
        changed = _APART[4] + " more"
        assert clustering.firsts("code", [*_APART, changed])[-1] == 4
        assert set(read) == {_APART[4], changed}
        read.clear()
        assert clustering.firsts("code", [changed, *_APART])[5] == 0
        assert not read, "nothing is new any more"


def test_only_new_texts_are_read(tmp_path: Path) -> None:
    rows = pl.DataFrame({"example_id": ["a", "b"], "completion": ["x = 1", "y = 2"], "language": ["python", "python"]})
    cache, read = RowCache(tmp_path, "v"), []
    make = similarity_join.token_streams

    def record(texts: list[str], languages: list[str | None]) -> list[str]:
        read.extend(texts)
        return make(texts, languages)

    with patch.object(similarity_join, "token_streams", record):
        streams = tokenised_texts(rows, "completion_dataset", ("completion",), cache)
        changed = pl.concat([rows, rows.head(1).with_columns(example_id=pl.lit("c"), completion=pl.lit("z = 3"))])
        again = tokenised_texts(changed, "completion_dataset", ("completion",), cache)
    assert read == ["x = 1", "y = 2", "z = 3"]
    assert again[:2].equals(streams)
