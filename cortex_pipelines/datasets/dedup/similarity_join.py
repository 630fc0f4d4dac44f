"""Find near-duplicates across splits exactly, from scratch.

Independent of how the split was made: no MinHash, but a similarity join with prefix filtering (Bayardo et al.,
"Scaling up all pairs similarity search", 2007), which misses no pair.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleIndex, Shingles, ShingleSets, all_shingles, jaccard
from cortex_pipelines.datasets.dedup.token_stream import languages_of, token_streams
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.parallel.ordered import mapped_rows
from cortex_pipelines.rowcache import RowCache, unit_rows

COMPARED: Mapping[str, Sequence[tuple[str, ...]]] = {
    "completion_dataset": (("completion",), ("prompt", "completion")),
    "naming_dataset": (("prompt",),),
    "refactoring_dataset": (("completion",), ("prompt",)),
    "feedback_dataset": (("completion",), ("prompt",)),
    "architecture_dataset": (("prompt", "completion"),),
    "documentation_dataset": (("completion",), ("prompt",)),
    "tests_dataset": (("completion",), ("prompt",)),
}
"""Columns compared across splits: the completion, and the prompt."""

_PROSE = frozenset({("documentation_dataset", ("completion",))})
"""Columns of prose, which are compared as they are."""
_LANGUAGE = "language"

NEAR_DUPLICATE_PAIRS = pl.Schema({"example_id": pl.String, "other_example_id": pl.String, "similarity": pl.Float64})
_SHINGLES_AT_ONCE = 1 << 18
_ROWS_AT_ONCE = 1024  # whose shingles take some 8 MB


def near_duplicate_pairs(
    train: pl.DataFrame, other: pl.DataFrame, text: str, settings: DatasetSettings, tokenised: bool = False
) -> pl.DataFrame:
    """Near-duplicate pairs across two splits; empty if the split is clean.

    Returns columns ``example_id`` (of train), ``other_example_id``, ``similarity`` (Jaccard), sorted. ``train``: one
    split, with ``language`` for code; guessed if the column is missing. ``text``: column to compare: ``completion``
    of code, ``prompt`` of names. ``tokenised``: it holds token streams already.
    """

    def sets_of(frame: pl.DataFrame) -> ShingleSets:
        streams = frame[text] if tokenised else _streams(frame, text)
        return all_shingles(streams.to_list(), settings.shingle_tokens)

    train_sets, other_sets = map(sets_of, train.iter_slices(_ROWS_AT_ONCE)), sets_of(other)
    train_ids, other_ids = train["example_id"].to_list(), other["example_id"].to_list()
    threshold = settings.near_duplicate_threshold
    rows = []
    for left, left_set, right in _candidates(train_sets, other_sets, threshold):
        similarity = jaccard(left_set, other_sets[right])
        if similarity >= threshold:
            rows.append((train_ids[left], other_ids[right], similarity))
    return pl.DataFrame(sorted(rows), schema=NEAR_DUPLICATE_PAIRS, orient="row")


def texts_to_compare(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Row ids with the text to compare in column ``compared``, and its ``language`` if known."""
    text = pl.concat_str(columns, separator="\n").alias("compared")
    return frame.select("example_id", text, pl.col(f"^{_LANGUAGE}$"))


def tokenised_texts(
    frame: pl.DataFrame, name: str, columns: tuple[str, ...], cache: RowCache | None = None
) -> pl.Series:
    """Token streams of the texts that a data set's rows are compared by; prose has no language."""
    rows = texts_to_compare(frame, columns)
    if (name, columns) in _PROSE:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(_LANGUAGE))
    inputs = rows.rename({"example_id": "unit_id"})
    fact = f"tokens/{'+'.join(columns)}"
    return unit_rows(cache, fact, inputs, _compared_streams)["stream"]


def mapped_streams(texts: Sequence[str], languages: Sequence[str | None]) -> list[str]:
    """``token_streams`` on all cores."""
    rows = pl.DataFrame({"compared": texts, _LANGUAGE: languages}, {"compared": pl.String, _LANGUAGE: pl.String})
    return mapped_rows(_compared_streams, rows, "Comparing code")["stream"].to_list()


def _compared_streams(rows: pl.DataFrame) -> pl.DataFrame:
    return _streams(rows, "compared").to_frame()


def _streams(rows: pl.DataFrame, text: str) -> pl.Series:
    texts = rows[text].to_list()
    languages = rows[_LANGUAGE].to_list() if _LANGUAGE in rows.columns else languages_of(texts)
    return pl.Series("stream", token_streams(texts, languages), dtype=pl.String)


def _candidates(
    left_sets: Iterable[ShingleSets], right_sets: ShingleSets, threshold: float
) -> Iterator[tuple[int, Shingles, int]]:
    """Candidate pairs in order: sets that share a prefix shingle; the number of the left set in all parts, and itself.

    Sets with similarity t share at least t of the larger one, so one of the n - ceil(t n) + 1 rarest of n is among
    the shared ones. Rarity is counted in ``right_sets``: shingles missing there come first, so that most of
    ``left_sets`` is decided by a look-up.
    """
    distinct_hashes, inverse, counts = np.unique(right_sets.hashes, return_inverse=True, return_counts=True)
    if not len(distinct_hashes):
        return
    owner = np.repeat(np.arange(len(right_sets)), right_sets.sizes)
    # one number to sort by, set, count and hash, takes a third of the time that three take
    bound = len(right_sets) * (int(counts.max()) + 1) * len(counts)
    by_set_and_count = owner * (counts.max() + 1) + counts[inverse]
    order = (
        np.argsort(by_set_and_count * len(counts) + inverse, kind="stable")
        if bound < 2**63
        else np.lexsort((inverse, by_set_and_count))
    )
    rank = np.arange(len(order)) - np.repeat(right_sets.borders[:-1], right_sets.sizes)
    prefix_entries = order[rank < np.repeat(_prefix_lengths(right_sets.sizes, threshold), right_sets.sizes)]
    by_position = prefix_entries[np.argsort(inverse[prefix_entries], kind="stable")]
    starts, sets_of = np.searchsorted(inverse[by_position], np.arange(len(counts) + 1)), owner[by_position]
    lookup = ShingleIndex(distinct_hashes)
    offset = 0
    for batch in (batch for part in left_sets for batch in part.batches(_SHINGLES_AT_ONCE)):
        positions = lookup.find(batch.hashes)
        shared_counts = np.add.reduceat(positions >= 0, batch.borders[:-1], dtype=np.int64)
        prefixes = _prefix_lengths(batch.sizes, threshold)
        lacking = batch.sizes - shared_counts
        for row in np.flatnonzero(lacking < prefixes).tolist():
            row_positions = positions[batch.borders[row] : batch.borders[row + 1]]
            held = row_positions[row_positions >= 0]
            # the rarest ones, ties by position
            prefix = held[np.argsort(counts[held], kind="stable")[: prefixes[row] - lacking[row]]]
            holders = [sets_of[starts[position] : starts[position + 1]] for position in prefix.tolist()]
            yield from ((offset + row, batch[row], right) for right in np.unique(np.concatenate(holders)).tolist())
        offset += len(batch)


def _prefix_lengths(sizes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Prefix length of each set such that near-duplicates always share a prefix shingle."""
    # The small margin keeps a pair whose product t n is whole but for rounding.
    shared: NDArray[np.int64] = np.ceil(threshold * sizes - 1e-9).astype(np.int64)
    return sizes - shared + 1
