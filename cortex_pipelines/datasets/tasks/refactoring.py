"""Refactoring candidates: code to fix or improve, with the result.

Five sources: injected bugs, code smells with a mechanical fix, changes from history, code reviews, and patterns. Bugs
and smells are in the split of their unit; a change from history or a review is in the split of its resulting file or,
where that is gone, of the hash of its path. A pattern is guidance, not code to hold out, so it is always in train.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from cortex_pipelines.annotation.fixes.build import SmellFix
from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finish_tables
from cortex_pipelines.datasets.filters.decontamination import Fingerprints, find_contamination
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import (
    LOCATION,
    candidates_of,
    change_candidates,
    licences_by_file,
    locate_change,
    prompt_columns,
    splits_by_file,
)
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets.refactoring import REFACTORING_DATASET

_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "cluster", "split", "split_reason"),
    *("revision", "blob", "licence", "start_byte", "end_byte", "cluster_size", "redactions"),
    *("category", "cyclomatic", "weight"),
)
ERROR_COLUMNS = ("unit_id", "buggy_code", "fixed_code", "error_type", "explanation")
"""Columns of INJECTED_ERRORS that examples are made from."""

FixesByUnit = Mapping[str, Sequence[SmellFix]]
"""Fixes of smells by unit id."""

_FIX = ("smell", "purpose", "before", "after", "explanation")


def error_candidates(units: pl.DataFrame, errors: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Injected bugs of eligible units. ``units``: units of ``unit_splits.build.eligible_units``."""
    changes = errors.select(
        *("unit_id", "error_type", "explanation"),
        pl.col("buggy_code").alias("before"),
        pl.col("fixed_code").alias("after"),
        pl.lit("This code has an error.").alias("request"),
        pl.lit("The code put right:").alias("title"),
        pl.lit("error").alias("kind"),
        pl.lit("injected_error").alias("origin"),
        pl.lit("correctness").alias("purpose"),
    )
    return _unit_candidates(units, changes, settings)


def smell_candidates(units: pl.DataFrame, fixes: FixesByUnit, settings: DatasetSettings) -> pl.DataFrame:
    """Code smells of eligible units, with their fixes. ``units``: units of ``unit_splits.build.eligible_units``."""
    rows = [(unit, *(getattr(fix, name) for name in _FIX)) for unit in units["unit_id"] for fix in fixes.get(unit, ())]
    schema = dict.fromkeys(("unit_id", *_FIX), pl.String)
    changes = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.format("This code can be improved: {}.", "smell").alias("request"),
        pl.lit("The improved code:").alias("title"),
        pl.col("purpose").alias("kind"),
        pl.lit("smell_fix").alias("origin"),
    )
    # a unit with smells is of low quality, and its fix is what the data set is for
    no_weight = pl.lit(None, dtype=pl.Float64).alias("weight")
    return _unit_candidates(units, changes, settings).with_columns(no_weight)


def _unit_candidates(units: pl.DataFrame, changes: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    with_units = changes.join(units.select(*_UNIT_COLUMNS, "indent"), on="unit_id", maintain_order="left_right")
    return candidates_of(with_units.hstack(prompt_columns(with_units, settings)))


def pair_candidates(
    pairs: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    file_splits = splits_by_file(splits)
    licences = licences_by_file(files)
    codes = (pairs["before"] + "\n" + pairs["after"]).to_list()
    benchmark_names = find_contamination(codes, benchmarks, settings, pairs["language"].to_list())
    locations = [locate_change(pair, file_splits, licences, settings) for pair in pairs.iter_rows(named=True)]
    location_columns = pl.DataFrame(locations, schema=LOCATION, orient="row")
    rows = pairs.select(
        *("source", "language", "before", "after", "purpose", "smell"),
        pl.col("pair_id").alias("unit_id"),
        pl.col("pair_id").alias("cluster"),
        pl.col("type").alias("refactoring"),
        pl.col("description").alias("explanation"),
        pl.col("commit").alias("revision"),
        pl.col("purpose").alias("kind"),
        pl.lit("history").alias("origin"),
        pl.lit("").alias("indent"),
        pl.format("Refactor this code: {}.", "type").alias("request"),
        pl.lit("The refactored code:").alias("title"),
    ).hstack(location_columns)
    is_contaminated = pl.Series([name is not None for name in benchmark_names], dtype=pl.Boolean)
    exclusion = pl.when(is_contaminated).then(pl.lit("contaminated")).when(~pl.col("trainable")).then(pl.lit("licence"))
    with_prompts = rows.hstack(prompt_columns(rows, settings))
    return candidates_of(with_prompts.with_columns(exclusion.otherwise("not_made").alias("not_made")))


def review_candidates(
    reviews: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Candidates from code reviews. ``reviews``: rows of ``reviews.review_rows`` of one project."""
    rows = reviews.with_columns(
        pl.col("purpose").alias("kind"),
        pl.lit("review").alias("origin"),
        pl.format("A reviewer says: {}", "explanation").alias("request"),
        pl.lit("The code after the review:").alias("title"),
    )
    return change_candidates(rows, files, splits, benchmarks, settings)


def pattern_candidates(
    patterns: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Candidates from the project's patterns. ``patterns``: rows of ``patterns.pattern_rows`` of one project."""
    rows = patterns.with_columns(
        pl.lit("pattern").alias("kind"),
        pl.lit("pattern").alias("origin"),
        pl.format("Follow the pattern {}: {}", "name", "explanation").alias("request"),
        pl.lit("The code that follows it:").alias("title"),
    )
    candidates = change_candidates(rows, files, splits, benchmarks, settings)
    reason = pl.lit("a pattern, which is guidance: train").alias("split_reason")
    return candidates.with_columns(pl.lit("train").alias("split"), reason)


def refactoring_tables(
    project: ProjectUnits,
    errors: pl.DataFrame,
    fixes: FixesByUnit,
    pairs: pl.DataFrame,
    reviews: pl.DataFrame,
    patterns: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the refactoring data set.

    ``reviews``: rows of ``reviews.review_rows`` of the same project. ``patterns``: rows of ``patterns.pattern_rows``
    of the same project.
    """
    candidates = pl.concat(
        [
            error_candidates(project.units, errors, settings),
            smell_candidates(project.units, fixes, settings),
            pair_candidates(pairs, files, project.splits, benchmarks, settings),
            review_candidates(reviews, files, project.splits, benchmarks, settings),
            pattern_candidates(patterns, files, project.splits, benchmarks, settings),
        ]
    )
    # units are excluded per derived candidate, and most have nothing to fix
    return finish_tables("refactoring_dataset", REFACTORING_DATASET, candidates, project.name, settings, cache)
