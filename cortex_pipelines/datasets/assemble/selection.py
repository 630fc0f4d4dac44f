"""Select the rows of a data set: no near-duplicates across splits, bounded sizes.

Test is selected first, then validation, then train; excluded rows keep the reason.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cortex_pipelines.datasets.decontamination import fingerprints_of, matches
from cortex_pipelines.datasets.dedup.shingles import all_shingles
from cortex_pipelines.datasets.dedup.similarity_join import HeldOutRows, compared_rows, tokenised_texts
from cortex_pipelines.datasets.mix import (
    FEWEST_HELD_OUT,
    HELD_OUT_TOLERANCE,
    most_variants,
    sample,
    target_mix,
    with_tests,
)
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import DatasetError
from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import MANIFEST, PERSON
from cortex_pipelines.schemas.vocabulary import SPLITS

ORIGINAL, RENAMED, REWRITTEN, INJECTED = "original", "renamed", "rewritten:", "injected_error"
"""Values of ``origin``; the third is a prefix of the kind of rewrite."""
Texts = Sequence[tuple[str, ...]]
"""Columns compared across splits; those of a tuple are joined."""
_FEWEST_CHANGES = 60
"""Rows of a held-out split below which injected errors fill it up."""
_SHOWN = ("prompt", "suffix")
_IDENTITY = ("unit_id", "origin", "prompt", "completion", "suffix")


def is_variant() -> pl.Expr:
    """Whether a row is a variant of a unit, by its ``origin``."""
    origin = pl.col("origin")
    return (origin == RENAMED) | origin.str.starts_with(REWRITTEN)


def with_ids(candidates: pl.DataFrame, name: str) -> pl.DataFrame:
    """Add ``example_id``: a hash of prompt and completion."""
    # gaps of a unit differ in their suffix
    identity = [column for column in _IDENTITY if column in candidates.columns]
    parts = candidates.select(pl.col(identity).fill_null("")).iter_rows()
    ids = [hashlib.sha256("\x1f".join((name, *row)).encode()).hexdigest()[:32] for row in parts]
    return candidates.with_columns(pl.Series("example_id", ids, dtype=pl.String))


@dataclass(frozen=True)
class RowRules:
    """What a project's units demand of the rows of all data sets."""

    taught_languages: frozenset[str] = frozenset()  # with enough units for a share of their own
    held_out: tuple[str, ...] = ()  # bodies of validation and test units, and their documentation
    tests_beside_code: frozenset[str] = frozenset()  # ids of units in modules of tests in the file that they test
    max_injected_share: float = 1.0  # of train: errors put in on purpose, among the project's own changes


def select_rows(
    candidates: pl.DataFrame,
    name: str,
    texts: Texts,
    settings: DatasetSettings,
    rules: RowRules = RowRules(),
    cache: RowCache | None = None,
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Selected rows by split, and the excluded ones, with the reason in ``left_out``.

    ``candidates``: rows with ``example_id``, ``split``, ``kind``, ``language``, ``path``, ``weight``, ``origin`` and
    the columns compared. Variants (by ``origin``) are selected for train only, up to their share.
    """
    first = pl.col("example_id").is_first_distinct()
    left_out = [candidates.filter(~first).with_columns(left_out=pl.lit("repeated"))]
    distinct = candidates.filter(first)
    # of several answers to one prompt none is the right one; what people wrote is theirs
    answers = pl.col("completion").n_unique().over([name for name in _SHOWN if name in distinct.columns])
    is_ambiguous = (answers > 1) & (pl.col("origin") != PERSON)
    left_out.append(distinct.filter(is_ambiguous).with_columns(left_out=pl.lit("several_answers")))
    rows = with_streams(with_tests(distinct.filter(~is_ambiguous), rules.tests_beside_code), name, texts, cache)
    originals = rows.filter(~is_variant())
    is_bounded = (pl.col("origin") == INJECTED) & pl.lit(rules.max_injected_share < 1)
    kind_caps = settings.max_by_kind.get(name, {})
    of_train = _cap_by_kind(originals.filter(pl.col("split") == "train"), kind_caps, "train", settings)
    mix = target_mix(of_train, rules.taught_languages, settings)
    limits = {"train": settings.max_train, "validation": settings.max_validation, "test": settings.max_test}
    selected: dict[str, pl.DataFrame] = {}
    held_out = HeldOut(settings)

    def select(
        split: str, of_split: pl.DataFrame, limit: int | None, added: bool = False, reason: str = "sample"
    ) -> pl.DataFrame:
        """Rows that may stand in a split, sampled; the others are left out. ``added``: to rows selected before."""
        others = {other: frame for other, frame in selected.items() if other != split}
        distinct = of_split
        for stream in stream_names(texts) if others and not of_split.is_empty() else ():
            compared = compared_rows(distinct, stream, settings)
            duplicates = held_out.of(others, stream).near_duplicates(compared)
            distinct = distinct.join(duplicates, on="example_id", how="anti", maintain_order="left")
        left_out.append(_without(of_split, distinct, "near_duplicate_elsewhere"))
        usable = distinct.filter(~shows_held_out(distinct, [*others.values()], rules)) if split == "train" else distinct
        left_out.append(_without(distinct, usable, "shows_held_out"))
        of_kinds = _cap_by_kind(usable, kind_caps, split, settings)
        of_originals = split == "train" and not added
        of_split_mix = target_mix(of_kinds, rules.taught_languages, settings) if of_originals else mix
        fewest = (limit or 0) if added else FEWEST_HELD_OUT
        tolerance = HELD_OUT_TOLERANCE if split != "train" else 0.0
        sampled = sample(of_kinds, of_split_mix, limit, split, settings, fewest, tolerance)
        left_out.append(_without(usable, sampled, reason))
        return sampled

    for split in reversed(SPLITS):
        of_split = originals.filter(pl.col("split") == split)
        selected[split] = select(split, of_split.filter(~is_bounded), limits[split])
        injected = of_split.filter(is_bounded)
        if injected.height:
            most = _most_injected(selected[split].height, split, limits[split], rules)
            injected = select(split, injected, most, added=True, reason="injected_share")
            selected[split] = pl.concat([selected[split], injected])
    most = most_variants(selected["train"], rules.taught_languages, settings)
    variants = select("train", rows.filter(is_variant() & (pl.col("split") == "train")), most, added=True)
    selected["train"] = pl.concat([selected["train"], variants])
    return selected, pl.concat(left_out, how="diagonal").drop(stream_names(texts), strict=False)


def with_streams(rows: pl.DataFrame, name: str, texts: Texts, cache: RowCache | None = None) -> pl.DataFrame:
    """The rows of a data set with the token streams that they are compared by, in columns called ``stream_names``."""
    streams = [tokenised_texts(rows, name, columns, cache) for columns in texts]
    return rows.with_columns(each.alias(name) for each, name in zip(streams, stream_names(texts), strict=True))


def stream_names(texts: Texts) -> list[str]:
    return [f"stream of {'+'.join(columns)}" for columns in texts]


def _most_injected(own_changes: int, split: str, limit: int | None, rules: RowRules) -> int:
    """Injected errors beside so many own changes; a held-out split takes as many more as it needs to judge by."""
    most = round(own_changes * rules.max_injected_share / (1 - rules.max_injected_share))
    if split != "train":
        most = max(most, _FEWEST_CHANGES - own_changes)
    return most if limit is None else max(min(most, limit - own_changes), 0)


def _without(rows: pl.DataFrame, others: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Rows that are not among the others, with the reason as ``left_out``."""
    left_out = rows.join(others.select("example_id"), on="example_id", how="anti", maintain_order="left")
    return left_out.with_columns(left_out=pl.lit(reason))


_HELD_OUT_TOKENS = 5
_HELD_OUT_SHARE = 0.7
_ROWS_AT_ONCE = 1024  # whose shingles take some 8 MB


def shows_held_out(rows: pl.DataFrame, held_out_rows: Sequence[pl.DataFrame], rules: RowRules) -> pl.Series:
    """Whether a row of train holds most token runs of a held-out answer, of this task or of any unit.

    Imports do not count: those of one package are alike, and stand in most files.
    """
    no_imports = (frame.filter(pl.col("kind").ne_missing("import")) for frame in held_out_rows)
    answers = [*rules.held_out, *(text for frame in no_imports for text in frame["completion"])]
    shown = pl.concat_str("prompt", "completion", *(["suffix"] if "suffix" in rows.columns else []))
    fingerprints = fingerprints_of(list(dict.fromkeys(answers)), _HELD_OUT_TOKENS, _HELD_OUT_SHARE)
    holds: list[bool] = []
    for part in rows.iter_slices(_ROWS_AT_ONCE):
        sets = all_shingles(part.select(shown).to_series().to_list(), _HELD_OUT_TOKENS)
        indices = set(matches(sets, fingerprints))
        holds += [index in indices for index in range(part.height)]
    return pl.Series("shows_held_out", holds, dtype=pl.Boolean)


class HeldOut:
    """Indices of the rows of finished splits; of each stream that which was asked for last is kept."""

    def __init__(self, settings: DatasetSettings) -> None:
        self._settings = settings
        self._indices: dict[str, tuple[tuple[str, ...], HeldOutRows]] = {}

    def of(self, splits: Mapping[str, pl.DataFrame], stream: str) -> HeldOutRows:
        names, index = self._indices.pop(stream, ((), None))
        if index is None or names != tuple(splits):
            del index  # before there is another one
            give_back()
            parts = (part for rows in splits.values() for part in compared_rows(rows, stream, self._settings))
            index = HeldOutRows(parts, self._settings.near_duplicate_threshold)
            give_back()
        self._indices[stream] = tuple(splits), index
        return index


def require_no_leakage(rows: Mapping[str, pl.DataFrame], name: str, texts: Texts, settings: DatasetSettings) -> None:
    """Check that no near-duplicates cross the splits of a finished data set, which may have ``stream_names``.

    What is trained on is compared once more, from its texts on, by ``adapters.data.checks``.
    Raises DatasetError: a near-duplicate crosses the splits.
    """
    held_out = HeldOut(settings)
    for columns, stream in zip(texts, stream_names(texts), strict=True):
        for split, other_splits in (("train", SPLITS[1:]), ("validation", SPLITS[2:])):
            others = held_out.of({other: rows[other] for other in other_splits}, stream)
            leaks = others.near_duplicates(compared_rows(rows[split], stream, settings))
            if leaks.height:
                raise DatasetError(
                    f"{name}: {leaks.height} rows of {split} have a near-duplicate in another "
                    f"split by {' and '.join(columns)}, for example {leaks['example_id'][0]} and "
                    f"{leaks['other_example_id'][0]}; this must not happen, please report it"
                )


def _cap_by_kind(rows: pl.DataFrame, bounds: Mapping[str, int], split: str, settings: DatasetSettings) -> pl.DataFrame:
    train = 1 - settings.validation_share - settings.test_share
    scale = {"validation": settings.validation_share, "test": settings.test_share}.get(split, train) / train
    for kind, bound in bounds.items():
        of_kind = rows.filter(pl.col("kind") == kind)
        mix = target_mix(of_kind, (), settings)
        sampled = sample(of_kind, mix, max(round(bound * scale), min(bound, 1)), split, settings)
        is_sampled = pl.col("example_id").is_in(sampled["example_id"].implode())
        rows = rows.filter((pl.col("kind") != kind) | is_sampled)
    return rows


FILTERS = (
    *("generated", "licence", "syntax", "deprecated", "longest_line", "mean_line", "alphanumeric", "comments"),
    *("contaminated", "near_duplicate"),
)
"""Filters of units, in order."""

ROW_FILTERS = (
    *("body_size", "no_gap", "prompt_size", "answer_in_prompt", "repeated", "several_answers"),
    *("near_duplicate_elsewhere", "shows_held_out", "sample", "injected_share"),
)
"""Filters of candidates whose unit passed ``FILTERS``, in order."""


def manifest(rows: Mapping[str, pl.DataFrame], left_out: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Build the manifest: one entry per row and per excluded candidate or unit.

    ``left_out``: excluded rows with ``left_out`` (the reason), ``unit_id`` and further columns.
    """
    row_entries = pl.concat(
        [_manifest_columns(rows[split].with_columns(pl.lit(split).alias("split")), None) for split in SPLITS]
    ).with_columns(_filters(None))
    reasons = left_out["left_out"].unique().sort().to_list()
    reason_entries = [_reason_entries(left_out, reason, settings) for reason in reasons]
    return MANIFEST.conform(pl.concat([row_entries, *reason_entries]))


def is_empty(tables: Mapping[str, pl.DataFrame], reason: str) -> bool:
    """Whether the data set is empty for this reason, according to its manifest."""
    return bool(tables[MANIFEST.name]["left_out"].eq(reason).any())


def count_redactions(units: pl.DataFrame, redactions: pl.DataFrame) -> pl.Series:
    """Number of privacy placeholders in each unit.

    ``units``: columns ``source``, ``path``, ``start_line`` and ``end_line``.
    """
    lines: dict[tuple[str, str], list[int]] = {}
    for source, path, line in redactions.select("source", "path", "line").sort("line").iter_rows():
        lines.setdefault((source, path), []).append(line)
    counts = [
        bisect_right(redaction_lines, end) - bisect_left(redaction_lines, start)
        if (redaction_lines := lines.get((source, path)))
        else 0
        for source, path, start, end in units.select("source", "path", "start_line", "end_line").iter_rows()
    ]
    return pl.Series("redactions", counts, dtype=pl.Int64)


def _reason_entries(left_out: pl.DataFrame, reason: str, settings: DatasetSettings) -> pl.DataFrame:
    """Entries excluded by one filter: the first by hash, the rest counted by language."""
    rows = left_out.filter(pl.col("left_out") == reason).with_row_index("at")
    kinds = rows["kind"] if "kind" in rows.columns else [""] * rows.height
    # entries of the same unit, kind and text are numbered, independent of row order
    keys = [name for name in ("unit_id", "kind", "origin", "prompt", "completion") if name in rows.columns]
    sorted_rows = rows.select("at", *keys).sort(*keys, nulls_last=True, maintain_order=True)
    ordinals = sorted_rows.with_columns(number=pl.col("at").cum_count().over("unit_id")).sort("at")["number"]
    ids = [
        hashlib.sha256("\x1f".join((reason, unit, kind or "", str(ordinal))).encode()).hexdigest()[:32]
        for unit, kind, ordinal in zip(rows["unit_id"], kinds, ordinals, strict=True)
    ]
    with_entry_ids = (
        rows.select(name for name in rows.columns if name in MANIFEST.schema)
        .with_columns(pl.Series("entry_id", ids, dtype=pl.String), pl.lit(None, dtype=pl.String).alias("split"))
        .sort("entry_id")
    )
    entries = _manifest_columns(with_entry_ids.head(settings.max_named_left_out), "entry_id")
    summarised = with_entry_ids.slice(settings.max_named_left_out).group_by("language").len().sort("language")
    more = [
        {"entry_id": f"more:{reason}:{language}", "left_out": reason, "language": language, "count": count}
        for language, count in summarised.iter_rows()
    ]
    entries = pl.concat([entries, pl.DataFrame(more, schema=entries.schema)])
    return entries.with_columns(_filters(reason))


def _manifest_columns(frame: pl.DataFrame, entry: str | None) -> pl.DataFrame:
    with_entry = frame.with_columns(
        pl.col(entry or "example_id").alias("entry_id"), pl.lit(1, dtype=pl.Int64).alias("count")
    )
    return with_entry.select(
        pl.col(name).cast(dtype) if name in with_entry.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in MANIFEST.schema.items()
    )


def _filters(reason: str | None) -> pl.Expr:
    passed: Sequence[str] = (*FILTERS, *ROW_FILTERS)
    if reason in passed:
        passed = passed[: passed.index(reason)]
    # excluded before any filter
    if reason and reason.startswith(("review_", "pattern_", "feedback_")):
        passed = ()
    # excluded before the row filters
    if reason and reason.startswith(("documentation_", "tests_", "unanswerable")):
        passed = FILTERS
    return pl.lit(list(passed), dtype=pl.List(pl.String)).alias("filters")
