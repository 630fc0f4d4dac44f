"""Find near-duplicates across splits exactly, from scratch.

Independent of how the split was made: no MinHash, but a similarity join by rarest shingles, which misses no pair.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.prefix_index import PrefixIndex, prefix_lengths
from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles, jaccard
from cortex_pipelines.datasets.dedup.token_stream import languages_of, token_streams
from cortex_pipelines.datasets.settings import DatasetSettings
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

    def compared(frame: pl.DataFrame) -> Iterator[Compared]:
        for part in frame.iter_slices(_ROWS_AT_ONCE):
            yield from compared_rows(part.with_columns(_streams(part, text)), "stream", settings)

    return HeldOutRows(compared(other), settings.near_duplicate_threshold).near_duplicates(compared(train))


def compared_rows(frame: pl.DataFrame, stream: str, settings: DatasetSettings) -> Iterator[Compared]:
    """Rows of a data set in parts, by the token streams in a column."""
    for part in frame.iter_slices(_ROWS_AT_ONCE):
        yield part["example_id"].to_list(), all_shingles(part[stream].to_list(), settings.shingle_tokens)


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


def _compared_streams(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    text = pl.concat_str(columns, separator="\n").alias("compared")
    return _streams(rows.select(text, pl.col(f"^{_LANGUAGE}$")), "compared").to_frame()


def _streams(rows: pl.DataFrame, text: str) -> pl.Series:
    texts = rows[text].to_list()
    languages = rows[_LANGUAGE].to_list() if _LANGUAGE in rows.columns else languages_of(texts)
    return pl.Series("stream", token_streams(texts, languages), dtype=pl.String)


class HeldOutRows:
    """Rows that others are compared with.

    Sets with similarity t share at least t of the larger one, so each has one of the shared shingles among its rarest.
    Those that no held-out row has are the rarest, so that most of the others are decided by a look-up.
    """

    def __init__(self, parts: Iterable[Compared], threshold: float) -> None:
        self._ids = list[str]()
        sets = list[ShingleSets]()
        for ids, of_part in parts:
            self._ids += ids
            sets.append(of_part)
        self._sets = ShingleSets.concat(sets)
        del sets
        self._threshold = threshold
        self._index = PrefixIndex(self._sets, threshold)

    def near_duplicates(self, parts: Iterable[Compared]) -> pl.DataFrame:
        """Rows of ``NEAR_DUPLICATE_PAIRS``, sorted."""
        rows = []
        for ids, sets in parts:
            start = 0
            for batch in sets.batches(_SHINGLES_AT_ONCE):
                for row, other in self._candidates(batch).tolist():
                    similarity = jaccard(batch[row], self._sets[other])
                    if similarity >= self._threshold:
                        rows.append((ids[start + row], self._ids[other], similarity))
                start += len(batch)
        return pl.DataFrame(sorted(rows), schema=NEAR_DUPLICATE_PAIRS, orient="row")

    def _candidates(self, batch: ShingleSets) -> NDArray[np.int64]:
        """Pairs of a set of the batch and a held-out one that have a shingle among the rarest of both."""
        positions = self._index.find(batch.hashes)
        is_held = positions >= 0
        held_counts = np.add.reduceat(is_held, batch.borders[:-1], dtype=np.int64)
        # how many held shingles of each set are among its rarest
        most = prefix_lengths(batch.sizes, self._threshold) - (batch.sizes - held_counts)
        owner = np.repeat(np.arange(len(batch)), batch.sizes)
        is_near = is_held & (most > 0)[owner]
        owner, positions = owner[is_near], positions[is_near]
        order = np.lexsort((positions, self._index.counts[positions], owner))
        owner, positions = owner[order], positions[order]
        is_first = np.arange(len(owner)) - np.searchsorted(owner, owner) < most[owner]
        return self._index.candidates(owner[is_first], positions[is_first])
