"""Exclude benchmark items from the data, so that they cannot be memorised.

Texts are compared by 64-bit hashes of token shingles. The fingerprints of HumanEval and MBPP are shipped
(``fingerprints/README.md`` explains how they were made); users' lists are read from their files.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.datasets.dedup.prefix_index import PrefixIndex
from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles, shared_count
from cortex_pipelines.datasets.dedup.token_stream import languages_of, token_streams
from cortex_pipelines.datasets.settings import Benchmark, DatasetSettings
from cortex_pipelines.parallel.ordered import mapped_rows

SHIPPED = Path(__file__).parent / "fingerprints"
SHIPPED_TOKENS = 10
# Texts with fewer shingles are common phrases (`def is_even(n): return ...`).
FEWEST_SHINGLES = 12
_SHINGLES_AT_ONCE = 1 << 18


class BenchmarkError(ValueError):
    """A benchmark list cannot be read, or its hash differs from params.yaml."""


@dataclass(frozen=True)
class Fingerprints:
    """Benchmark texts as shingle hashes."""

    sets: ShingleSets  # shingles of each text
    tokens: int
    share: float  # of a text's shingles, from which on another text contains it

    @cached_property
    def index(self) -> PrefixIndex:
        return PrefixIndex(self.sets, self.share)


def contaminated(
    texts: Sequence[str], fingerprints: Sequence[Fingerprints], languages: Sequence[str | None] | None = None
) -> pl.Series:
    """Whether each text contains an item of a benchmark. ``languages``: language of each text; guessed if None."""
    rows = pl.DataFrame(
        {"text": texts, "language": languages or languages_of(texts)}, {"text": pl.String, "language": pl.String}
    )
    work = partial(_contaminated, fingerprints=fingerprints)
    return mapped_rows(work, rows, "Looking for benchmark items")["contaminated"]


def _contaminated(rows: pl.DataFrame, fingerprints: Sequence[Fingerprints]) -> pl.DataFrame:
    texts = rows["text"].to_list()
    streams = token_streams(texts, rows["language"].to_list())
    found: set[int] = set()
    # of the shipped benchmarks only hashes exist, made with the quotes of their texts
    for view in (texts, streams, [stream.replace('"', "'") for stream in streams]):
        sets = {tokens: all_shingles(view, tokens) for tokens in {benchmark.tokens for benchmark in fingerprints}}
        found.update(*(matches(sets[benchmark.tokens], benchmark) for benchmark in fingerprints))
    return pl.DataFrame(
        {"contaminated": [index in found for index in range(rows.height)]}, {"contaminated": pl.Boolean}
    )


def load_fingerprints(root: Path, settings: DatasetSettings) -> list[Fingerprints]:
    """Load the shipped benchmarks and the user's lists.

    Raises BenchmarkError: a list cannot be read or its hash differs from params.yaml.
    """
    user_lists = [_load_user_list(root, benchmark, settings) for benchmark in settings.decontaminate]
    return [*_shipped(settings.contamination_share), *user_lists]


def fingerprints_of(texts: Sequence[str], tokens: int, share: float) -> Fingerprints:
    """Fingerprints of some texts, without those too short to be distinctive."""
    sets = all_shingles(texts, tokens)
    return Fingerprints(sets.select(np.flatnonzero(sets.sizes >= FEWEST_SHINGLES)), tokens, share)


@cache
def _shipped(share: float) -> tuple[Fingerprints, ...]:
    shipped = []
    for path in sorted(SHIPPED.glob("*.parquet")):
        frame = pl.read_parquet(path)
        counts = frame["item"].value_counts().sort("item")["count"].to_numpy().astype(np.int64)
        borders = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        shipped.append(Fingerprints(ShingleSets(frame["shingle"].to_numpy(), borders), SHIPPED_TOKENS, share))
    return tuple(shipped)


def matches(sets: ShingleSets, benchmark: Fingerprints) -> Iterator[int]:
    """Index of each text that contains a share of an item's shingles, once per item."""
    index, start = benchmark.index, 0
    for batch in sets.batches(_SHINGLES_AT_ONCE):
        positions = index.find(batch.hashes)
        held = np.flatnonzero(positions >= 0)
        texts = np.searchsorted(batch.borders, held, side="right") - 1
        for text, item in index.candidates(texts, positions[held]).tolist():
            if shared_count(batch[text], benchmark.sets[item]) >= index.needed[item]:
                yield start + text
        start += len(batch)


def _load_user_list(root: Path, benchmark: Benchmark, settings: DatasetSettings) -> Fingerprints:
    path = root / benchmark.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            f"datasets.decontaminate: {benchmark.path} cannot be read ({error.strerror}); give a "
            "file relative to the project root, or take the entry out of params.yaml"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != benchmark.sha256:
        raise BenchmarkError(
            f"datasets.decontaminate: {benchmark.path} has sha256 {digest}, params.yaml says "
            f"{benchmark.sha256}; write the former if the file is the one that is meant"
        )
    texts = list(_texts_in(data, path))
    streams = token_streams(texts, languages_of(texts))
    texts += [stream for stream, text in zip(streams, texts, strict=True) if stream != text]
    return fingerprints_of(texts, settings.contamination_tokens, settings.contamination_share)


def _texts_in(data: bytes, path: Path) -> Iterator[str]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame = pl.read_parquet(path)
        for column in frame.select(pl.col(pl.String)).iter_columns():
            yield from column.drop_nulls()
    elif suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            try:
                row = json.loads(line) if line.strip() else []
            except (ValueError, RecursionError) as error:
                raise BenchmarkError(
                    f"datasets.decontaminate: {path.name}, line {number} is not valid JSON ({error}); each "
                    "line has to be an object with the texts as its values, or a string"
                ) from error
            values = row.values() if isinstance(row, dict) else [row]
            yield from (value for value in values if isinstance(value, str))
    else:
        yield data.decode("utf-8", "replace")
