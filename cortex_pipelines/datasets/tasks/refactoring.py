"""Refactoring candidates: code to fix or improve, with the result.

Five sources: changes from history, code reviews, patterns, code smells with a mechanical fix, and injected bugs. Bugs
and smells are in the split of their unit, changes from history in that of the hash of their commit, reviews in that of
the hash of their path. A pattern is guidance, not code to hold out, so it is always in train.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from cortex_pipelines.annotation.fixes.build import SmellFix, smell_fixes
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.datasets.answerable import CHANGE, changes_alone, follows
from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finish_tables, judged_rows
from cortex_pipelines.datasets.assemble.selection import INJECTED
from cortex_pipelines.datasets.decontamination import Fingerprints, contaminated
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
from cortex_pipelines.parallel.ordered import mapped_rows
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import REFACTORING_DATASET

_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "cluster", "split", "split_reason"),
    *("revision", "blob", "licence", "start_byte", "end_byte", "cluster_size", "redactions"),
    *("category", "cyclomatic", "weight"),
)
ERROR_COLUMNS = ("unit_id", "buggy_code", "fixed_code", "error_type", "explanation")
"""Columns of INJECTED_ERRORS that examples are made from."""

_FIX = ("smell", "purpose", "before", "after", "explanation")

_SAID = ("type", "name_before", "name_after", "before", "after")

_SAME_CHANGE, _REPEATS = ("source", "commit", "type", "name_before", "name_after"), 2
"""Columns that the pairs of one change in many places have alike, and how many of these are examples."""
_MUCH_HISTORY, _MANY_CHANGES = 200, 50
"""Commits, and changes of train that can be known, from which these lead and injected errors are at most as many;
elsewhere errors are called ``repair``, of which training takes little (``adapters.task_shares``)."""
_SHARE_OF_ERRORS = 0.45


def error_candidates(
    units: pl.DataFrame, errors: pl.DataFrame, settings: DatasetSettings, much_history: bool = False
) -> pl.DataFrame:
    changes = errors.select(
        *("unit_id", "error_type", "explanation"),
        before="buggy_code",
        after="fixed_code",
        request=pl.lit("This code has an error."),
        title=pl.lit("The fixed code:"),
        kind=pl.lit("error" if much_history else "repair"),
        origin=pl.lit(INJECTED if much_history else "repair"),
        purpose=pl.lit("correctness"),
    )
    return _unit_candidates(units, changes, settings)


def smell_candidates(
    units: pl.DataFrame, fixes: Mapping[str, Sequence[SmellFix]], settings: DatasetSettings
) -> pl.DataFrame:
    """Code smells of eligible units, with their fixes."""
    rows = [(unit, *(getattr(fix, name) for name in _FIX)) for unit in units["unit_id"] for fix in fixes.get(unit, ())]
    schema = dict.fromkeys(("unit_id", *_FIX), pl.String)
    changes = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        request=pl.format("This code can be improved: {}.", "smell"),
        title=pl.lit("The improved code:"),
        kind="purpose",
        origin=pl.lit("smell_fix"),
    )
    # a unit with smells is of low quality, and its fix is what the data set is for
    return _unit_candidates(units, changes, settings).with_columns(weight=pl.lit(None, dtype=pl.Float64))


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
    file_splits = splits_by_file(splits, settings)
    licences = licences_by_file(files)
    codes = (pairs["before"] + "\n" + pairs["after"]).to_list()
    is_contaminated = contaminated(codes, benchmarks, pairs["language"].to_list())
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
        pl.format("Refactor this code: {}. {}", "type", "description").alias("request"),
        pl.lit("The refactored code:").alias("title"),
    ).hstack(location_columns)
    exclusion = (
        pl.when(is_contaminated)
        .then(pl.lit("contaminated"))
        .when(~pl.col("trainable"))
        .then(pl.lit("licence"))
        .when(pl.Series([not _matches_description(pair) for pair in pairs.iter_rows(named=True)], dtype=pl.Boolean))
        .then(pl.lit(CHANGE))
        .when(pairs.select(pl.col("pair_id").rank("ordinal").over(_SAME_CHANGE) > _REPEATS).to_series())
        .then(pl.lit("repeated_change"))
    )
    with_prompts = rows.hstack(prompt_columns(rows, settings))
    return candidates_of(with_prompts.with_columns(exclusion.otherwise("not_made").alias("not_made")))


def _matches_description(pair: Mapping[str, Any]) -> bool:
    """Whether a refactoring does what its description says and no more, in code of the language as it is today."""
    if pair["purity"] == "mixed" or not changes_alone(*(pair[name] for name in _SAID)):
        return False
    codes, path = (pair["before"], pair["after"]), pair["path_after"] or ""
    return all(parse_unit(code.encode(), pair["language"], "method", path) for code in codes)


def refactoring_tables(
    project: ProjectUnits,
    errors: pl.DataFrame,
    fixes: Mapping[str, Sequence[SmellFix]],
    pairs: pl.DataFrame,
    reviews: pl.DataFrame,
    patterns: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
    commits: int = 0,
) -> Tables:
    """Tables of the refactoring data set. ``commits``: number of commits in the history of the project."""
    shared = (files, project.splits, benchmarks, settings)
    after_review = reviews.with_columns(
        kind="purpose",
        origin=pl.lit("review"),
        request=pl.format("A reviewer says: {}", "explanation"),
        title=pl.lit("The code after the review:"),
    )
    after_pattern = patterns.with_columns(
        kind=pl.lit("pattern"),
        origin=pl.lit("pattern"),
        request=pl.format("Follow the pattern {}: {}", "name", "explanation"),
        title=pl.lit("The code that follows it:"),
    )
    guidance = change_candidates(after_pattern, *shared).with_columns(
        split=pl.lit("train"), split_reason=pl.lit("a pattern, which is guidance: train")
    )
    smells = smell_candidates(project.units, fixes, settings)
    changes = pl.concat([smells, pair_candidates(pairs, *shared), change_candidates(after_review, *shared)])
    # a pattern names what is to be written, and need not be the project's own code
    own_changes = pl.concat([_judged(changes, project, cache), guidance])
    to_learn = own_changes.filter(pl.col("not_made").is_null(), split="train")
    much_history = commits >= _MUCH_HISTORY and to_learn.height >= _MANY_CHANGES
    rules = replace(project.rules, max_injected_share=_SHARE_OF_ERRORS) if much_history else project.rules
    injected = error_candidates(project.units, errors, settings, much_history)
    candidates = pl.concat([own_changes, injected])
    # units are excluded per derived candidate, and most have nothing to fix
    return finish_tables("refactoring_dataset", REFACTORING_DATASET, candidates, settings, cache, rules=rules)


def _judged(changes: pl.DataFrame, project: ProjectUnits, cache: RowCache | None) -> pl.DataFrame:
    """Changes, without those whose result nobody could know from the code before and what is asked for."""
    columns = changes.with_columns(pl.col("completion").alias("code"), pl.lit("").alias("suffix"))
    judged = judged_rows(columns.with_columns(pl.col("kind").fill_null("")), project, cache and cache.scoped("changes"))
    texts = judged.select("origin", "not_made", "prompt", "completion").iter_rows()
    reasons = [
        CHANGE if origin == "history" and reason is None and not follows(prompt, answer) else reason
        for origin, reason, prompt, answer in texts
    ]
    return judged.drop("code", "suffix").with_columns(pl.Series("not_made", reasons, dtype=pl.String))


_KINDS = ("function", "method", "class")
_ROWS = pl.Schema(dict.fromkeys(("cache_key", *_FIX), pl.String))
_TEXTS = pl.Schema(dict.fromkeys(("cache_key", "code", "language", "path"), pl.String))


def _fixes(units: pl.DataFrame) -> pl.DataFrame:
    rows = [
        (key, *(getattr(fix, field) for field in _FIX))
        for key, *unit in units.iter_rows()
        for fix in smell_fixes(*unit)
    ]
    return pl.DataFrame(rows, schema=_ROWS, orient="row")


def cached_fixes(units: pl.DataFrame, cache: RowCache) -> dict[str, list[SmellFix]]:
    """Fixes of code smells by unit id; units without fixes are absent."""
    smelly_units = units.filter(pl.col("kind").is_in(_KINDS), pl.col("patterns").list.len() > 0)
    columns = smelly_units.select("code", "language", "path")
    keyed = [
        # all that the fixes depend on; of the path that is its extension
        hashlib.sha256("\0".join((language, PurePosixPath(path).suffix.lower(), code)).encode()).hexdigest()
        for code, language, path in columns.iter_rows()
    ]
    texts = dict(zip(keyed, columns.iter_rows(), strict=True))

    def compute(keys: pl.Series) -> pl.DataFrame:
        rows = [(key, *texts[key]) for key in keys]
        return mapped_rows(_fixes, pl.DataFrame(rows, _TEXTS, orient="row"), "Looking for fixes of smells")

    keys = pl.Series("cache_key", sorted(texts), dtype=pl.String)
    fixes_by_key: dict[str, list[SmellFix]] = {}
    for key, *fields in cache.rows("fixes", keys, compute).select(list(_ROWS)).iter_rows():
        fixes_by_key.setdefault(key, []).append(SmellFix(*fields))
    units_keyed = zip(smelly_units["unit_id"], keyed, strict=True)
    return {unit: fixes_by_key[key] for unit, key in units_keyed if key in fixes_by_key}
