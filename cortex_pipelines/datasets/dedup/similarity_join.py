"""Find near-duplicates across splits exactly, from scratch.

Independent of how the split was made: no MinHash, but a similarity join with prefix filtering
(Bayardo et al., "Scaling up all pairs similarity search", 2007), which misses no pair.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import (
    KnownShingles,
    ShingleSets,
    all_shingles,
    jaccard,
)
from cortex_pipelines.datasets.dedup.token_stream import languages_of, token_streams
from cortex_pipelines.datasets.settings import DatasetSettings

COMPARED: Mapping[str, Sequence[tuple[str, ...]]] = {
    "completion_dataset": (("completion",), ("prompt", "completion")),
    "naming_dataset": (("prompt",),),
    "refactoring_dataset": (("completion",), ("prompt",)),
    "feedback_dataset": (("completion",), ("prompt",)),
    "architecture_dataset": (("completion",), ("prompt", "completion")),
    "documentation_dataset": (("completion",), ("prompt",)),
    "tests_dataset": (("completion",), ("prompt",)),
}
"""What is compared across the sides of a split: what has to be written, and what is seen."""

_PROSE = frozenset({("documentation_dataset", ("completion",))})
"""What is compared as it is written, being no code."""
_LANGUAGE = "language"

NEAR_DUPLICATE_PAIRS = pl.Schema(
    {"example_id": pl.String, "other_example_id": pl.String, "similarity": pl.Float64}
)
_SHINGLES_AT_ONCE = 1 << 20


def near_duplicate_pairs(
    train: pl.DataFrame, other: pl.DataFrame, text: str, settings: DatasetSettings
) -> pl.DataFrame:
    """Near-duplicate pairs across two splits; empty if the split is clean.

    Args:
        train: One split, with ``language`` where it is code; guessed where that is missing.
        other: Another split of the same data set.
        text: Column that is compared: ``completion`` of code to complete, ``prompt`` of names.
        settings: Threshold of near-duplicates, and tokens per shingle.

    Returns:
        Columns ``example_id`` (of train), ``other_example_id``, ``similarity`` (Jaccard), sorted.
    """
    mine, theirs = (shingles_of(frame, text, settings) for frame in (train, other))
    return similar_pairs(
        train["example_id"].to_list(), mine, other["example_id"].to_list(), theirs, settings
    )


def similar_pairs(
    names: Sequence[str],
    mine: ShingleSets,
    others: Sequence[str],
    theirs: ShingleSets,
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Near-duplicate pairs of texts with known shingles.

    Args:
        names: Ids of the texts of one split.
        mine: Their shingles.
        others: Ids of the texts of another one.
        theirs: Their shingles.
        settings: Threshold of near-duplicates.
    """
    threshold = settings.near_duplicate_threshold
    rows = []
    for left, right in _candidates(mine, theirs, threshold):
        similarity = jaccard(mine[left], theirs[right])
        if similarity >= threshold:
            rows.append((names[left], others[right], similarity))
    return pl.DataFrame(sorted(rows), schema=NEAR_DUPLICATE_PAIRS, orient="row")


def compared(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Row ids with the text to compare in column ``compared``, and its ``language`` if known."""
    text = pl.concat_str(columns, separator="\n").alias("compared")
    return frame.select("example_id", text, *_language_of(frame))


def compared_columns(frame: pl.DataFrame, name: str, columns: tuple[str, ...]) -> list[pl.Expr]:
    """Columns of a data set's rows that tell near-duplicates: id, texts, and their language.

    Args:
        frame: Rows.
        name: Name of the data set.
        columns: What is compared.
    """
    if (name, columns) in _PROSE:
        return [pl.col("example_id", *columns), pl.lit(None, dtype=pl.String).alias("language")]
    return [pl.col("example_id", *columns), *_language_of(frame)]


def shingles_of(frame: pl.DataFrame, text: str, settings: DatasetSettings) -> ShingleSets:
    """Shingles of the token streams of a column."""
    texts = frame[text].to_list()
    known = frame["language"].to_list() if _LANGUAGE in frame.columns else languages_of(texts)
    return all_shingles(token_streams(texts, known), settings.shingle_tokens)


def _language_of(frame: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col(_LANGUAGE)] if _LANGUAGE in frame.columns else []


def _candidates(
    mine: ShingleSets, theirs: ShingleSets, threshold: float
) -> Iterator[tuple[int, int]]:
    """Candidate pairs in order: sets that share a prefix shingle.

    Sets with similarity t share at least t of the larger one, so one of the n - ceil(t n) + 1
    rarest of n is among the shared ones. Rare is meant by ``theirs``: what they lack comes first,
    so that most of ``mine`` has nothing but such shingles to look up.
    """
    known, inverse, counts = np.unique(theirs.hashes, return_inverse=True, return_counts=True)
    if not len(known):
        return
    starts, sets_of = _index(theirs, inverse, counts, threshold)
    lookup = KnownShingles(known)
    left = 0
    for batch in mine.batches(_SHINGLES_AT_ONCE):
        places = lookup.places(batch.hashes)
        held = np.add.reduceat(places >= 0, batch.borders[:-1], dtype=np.int64)
        prefixes = prefix_lengths(batch.sizes, threshold)
        lacking = batch.sizes - held
        for row in np.flatnonzero(lacking < prefixes).tolist():
            inside = places[batch.borders[row] : batch.borders[row + 1]]
            prefix = _rarest(inside[inside >= 0], counts, int(prefixes[row] - lacking[row]))
            holders = [sets_of[starts[place] : starts[place + 1]] for place in prefix.tolist()]
            yield from (
                (left + row, right) for right in np.unique(np.concatenate(holders)).tolist()
            )
        left += len(batch)


def _index(
    sets: ShingleSets,
    places: NDArray[np.int64],
    counts: NDArray[np.int64],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inverted index from prefix shingles to sets.

    Returns:
        Where the sets of each shingle begin (one more than there are shingles), and the sets.
    """
    owner = np.repeat(np.arange(len(sets)), sets.sizes)
    order = np.lexsort((places, counts[places], owner))
    rank = np.arange(len(order)) - np.repeat(sets.borders[:-1], sets.sizes)
    chosen = order[rank < np.repeat(prefix_lengths(sets.sizes, threshold), sets.sizes)]
    by_place = chosen[np.argsort(places[chosen], kind="stable")]
    starts = np.searchsorted(places[by_place], np.arange(len(counts) + 1))
    return starts, owner[by_place]


def _rarest(places: NDArray[np.int64], counts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The ``length`` rarest shingles, ties by position."""
    return places[np.argsort(counts[places], kind="stable")[:length]]


def prefix_lengths(sizes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Prefix length of each set such that near-duplicates always share a prefix shingle."""
    # The small margin keeps a pair whose product t n is whole but for rounding.
    shared: NDArray[np.int64] = np.ceil(threshold * sizes - 1e-9).astype(np.int64)
    return sizes - shared + 1
