"""Find near-duplicates across splits exactly, from scratch.

Independent of how the split was made: no MinHash, but a similarity join with prefix filtering (Bayardo et al.,
"Scaling up all pairs similarity search", 2007), which misses no pair.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleIndex, ShingleSets, all_shingles, jaccard
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

Compared = tuple[Sequence[str], ShingleSets]
"""Ids of rows, and the shingles of the text that each is compared by."""


def near_duplicate_pairs(
    train: pl.DataFrame, other: pl.DataFrame, text: str, settings: DatasetSettings
) -> pl.DataFrame:
    """Near-duplicate pairs across two splits; empty if the split is clean.

    Returns columns ``example_id`` (of train), ``other_example_id``, ``similarity`` (Jaccard), sorted. ``train``: one
    split, with ``language`` for code; guessed if the column is missing. ``text``: column to compare: ``completion``
    of code, ``prompt`` of names.
    """

    def compared(frame: pl.DataFrame) -> Compared:
        sets = all_shingles(_streams(frame, text).to_list(), settings.shingle_tokens)
        return frame["example_id"].to_list(), sets

    held_out = HeldOutRows(compared(other), settings.near_duplicate_threshold)
    return held_out.near_duplicates(map(compared, train.iter_slices(_ROWS_AT_ONCE)))


def compared_rows(
    frame: pl.DataFrame, name: str, columns: tuple[str, ...], settings: DatasetSettings, cache: RowCache | None = None
) -> Iterator[Compared]:
    """Rows of a data set in parts, each in memory alone; a row's id says which it is in."""
    count = 1 << (frame.height // _ROWS_AT_ONCE).bit_length()
    parts = frame.with_columns(part=pl.col("example_id").hash(seed=0) % count).partition_by("part", as_dict=True)
    for (number,), part in sorted(parts.items()):
        streams = tokenised_texts(part, name, columns, cache and cache.scoped(f"{number} of {count}"))
        yield part["example_id"].to_list(), all_shingles(streams.to_list(), settings.shingle_tokens)


def texts_to_compare(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Row ids with the text to compare in column ``compared``, and its ``language`` if known."""
    text = pl.concat_str(columns, separator="\n").alias("compared")
    return frame.select("example_id", text, pl.col(f"^{_LANGUAGE}$"))


def tokenised_texts(
    frame: pl.DataFrame, name: str, columns: tuple[str, ...], cache: RowCache | None = None
) -> pl.Series:
    """Token streams of the texts that a data set's rows are compared by; prose has no language."""
    language = pl.lit(None, dtype=pl.String).alias(_LANGUAGE) if (name, columns) in _PROSE else f"^{_LANGUAGE}$"
    inputs = frame.select(pl.col("example_id").alias("unit_id"), *columns, language)
    return unit_rows(cache, f"tokens/{'+'.join(columns)}", inputs, partial(_compared_streams, columns=columns))[
        "stream"
    ]


def mapped_streams(texts: Sequence[str], languages: Sequence[str | None]) -> list[str]:
    """``token_streams`` on all cores."""
    rows = pl.DataFrame({"compared": texts, _LANGUAGE: languages}, {"compared": pl.String, _LANGUAGE: pl.String})
    return mapped_rows(partial(_compared_streams, columns=("compared",)), rows, "Comparing code")["stream"].to_list()


def _compared_streams(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    text = pl.concat_str(columns, separator="\n").alias("compared")
    return _streams(rows.select(text, pl.col(f"^{_LANGUAGE}$")), "compared").to_frame()


def _streams(rows: pl.DataFrame, text: str) -> pl.Series:
    texts = rows[text].to_list()
    languages = rows[_LANGUAGE].to_list() if _LANGUAGE in rows.columns else languages_of(texts)
    return pl.Series("stream", token_streams(texts, languages), dtype=pl.String)


class HeldOutRows:
    """Rows that others are compared with, by an index of the rarest shingles of each.

    Sets with similarity t share at least t of the larger one, so one of the n - ceil(t n) + 1 rarest of n is among
    the shared ones. Rarity is counted in the held-out rows: shingles missing there come first, so that most of the
    others are decided by a look-up.
    """

    def __init__(self, rows: Compared, threshold: float) -> None:
        self._ids, self._sets = rows
        self._threshold = threshold
        distinct_hashes, inverse, self._counts = np.unique(self._sets.hashes, return_inverse=True, return_counts=True)
        self._lookup = ShingleIndex(distinct_hashes)
        owner = np.repeat(np.arange(len(self._sets)), self._sets.sizes)
        # one number to sort by, set, count and hash, takes a third of the time that three take
        most = int(self._counts.max(initial=0)) + 1
        by_set_and_count = owner * most + self._counts[inverse]
        order = (
            np.argsort(by_set_and_count * len(self._counts) + inverse, kind="stable")
            if len(self._sets) * most * len(self._counts) < 2**63
            else np.lexsort((inverse, by_set_and_count))
        )
        rank = np.arange(len(order)) - np.repeat(self._sets.borders[:-1], self._sets.sizes)
        prefix_entries = order[rank < np.repeat(_prefix_lengths(self._sets.sizes, threshold), self._sets.sizes)]
        by_position = prefix_entries[np.argsort(inverse[prefix_entries], kind="stable")]
        self._starts = np.searchsorted(inverse[by_position], np.arange(len(self._counts) + 1))
        self._holders = owner[by_position]

    def near_duplicates(self, parts: Iterable[Compared]) -> pl.DataFrame:
        """Rows of ``NEAR_DUPLICATE_PAIRS``, sorted."""
        rows = []
        for ids, sets in parts:
            start = 0
            for batch in sets.batches(_SHINGLES_AT_ONCE):
                for row, other in self._candidates(batch):
                    similarity = jaccard(batch[row], self._sets[other])
                    if similarity >= self._threshold:
                        rows.append((ids[start + row], self._ids[other], similarity))
                start += len(batch)
        return pl.DataFrame(sorted(rows), schema=NEAR_DUPLICATE_PAIRS, orient="row")

    def _candidates(self, batch: ShingleSets) -> Iterator[tuple[int, int]]:
        """Pairs of a set of the batch and a held-out one that share a prefix shingle."""
        if not len(self._counts):
            return
        positions = self._lookup.find(batch.hashes)
        shared_counts = np.add.reduceat(positions >= 0, batch.borders[:-1], dtype=np.int64)
        prefixes = _prefix_lengths(batch.sizes, self._threshold)
        lacking = batch.sizes - shared_counts
        for row in np.flatnonzero(lacking < prefixes).tolist():
            row_positions = positions[batch.borders[row] : batch.borders[row + 1]]
            held = row_positions[row_positions >= 0]
            # the rarest ones, ties by position
            prefix = held[np.argsort(self._counts[held], kind="stable")[: prefixes[row] - lacking[row]]]
            holders = [
                self._holders[self._starts[position] : self._starts[position + 1]] for position in prefix.tolist()
            ]
            yield from ((row, other) for other in np.unique(np.concatenate(holders)).tolist())


def _prefix_lengths(sizes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Prefix length of each set such that near-duplicates always share a prefix shingle."""
    # The small margin keeps a pair whose product t n is whole but for rounding.
    shared: NDArray[np.int64] = np.ceil(threshold * sizes - 1e-9).astype(np.int64)
    return sizes - shared + 1
