"""Refactoring candidates: code to fix or improve, with the result.

Four sources: injected bugs, code smells with a mechanical fix, changes from history, and code
reviews. Bugs and smells are in the split of their unit; a change from history or a review is in the
split of its resulting file or, where that is gone, of the hash of its path.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.annotation.fixes.build import SmellFix
from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finished_tables
from cortex_pipelines.datasets.filters.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.prompts.unit_text import LINE_COMMENTS, Place
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import side_by_hash
from cortex_pipelines.datasets.tasks.reviews import why_not
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets.refactoring import REFACTORING_DATASET

_S = pl.String
SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("unit_id", "source", "path", "language", "kind", "origin"), _S),
        **dict.fromkeys(("prompt", "completion", "cluster", "split", "split_reason"), _S),
        **dict.fromkeys(("purpose", "error_type", "refactoring", "smell", "explanation"), _S),
        **dict.fromkeys(("revision", "blob", "licence", "not_made", "category"), _S),
        **dict.fromkeys(("start_byte", "end_byte", "cluster_size", "redactions"), pl.Int64),
        "cyclomatic": pl.Int64,
        "weight": pl.Float64,
    }
)
_PLACE = pl.Schema(
    {**dict.fromkeys(("path", "split", "split_reason", "licence"), _S), "trainable": pl.Boolean}
)
_OF_UNIT = (
    *("unit_id", "source", "path", "language", "cluster", "split", "split_reason"),
    *("revision", "blob", "licence", "start_byte", "end_byte", "cluster_size", "redactions"),
    *("category", "cyclomatic", "weight"),
)
ERROR_COLUMNS = ("unit_id", "buggy_code", "fixed_code", "error_type", "explanation")
"""Columns of INJECTED_ERRORS that examples are made from."""

FixesOf = Mapping[str, Sequence[SmellFix]]
"""Fixes of smells by unit id."""

_CODES = ("before", "after")
_FIX = ("smell", "purpose", "before", "after", "explanation")
# What Python strips; polars takes the separators of ASCII for text.
_WHITE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def error_candidates(
    units: pl.DataFrame, errors: pl.DataFrame, settings: DatasetSettings
) -> pl.DataFrame:
    """Injected bugs of eligible units.

    Args:
        units: Units of ``units.prepared_units``.
        errors: INJECTED_ERRORS of the same project.
        settings: Bounds.
    """
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
    return _of_units(units, changes, settings)


def smell_candidates(
    units: pl.DataFrame, fixes: FixesOf, settings: DatasetSettings
) -> pl.DataFrame:
    """Code smells of eligible units, with their fixes.

    Args:
        units: Units of ``units.prepared_units``.
        fixes: Fixes of each unit's smells.
        settings: Bounds.
    """
    rows = [
        (unit, *(getattr(fix, name) for name in _FIX))
        for unit in units["unit_id"]
        for fix in fixes.get(unit, ())
    ]
    schema = dict.fromkeys(("unit_id", *_FIX), _S)
    changes = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.format("This code can be improved: {}.", "smell").alias("request"),
        pl.lit("The improved code:").alias("title"),
        pl.col("purpose").alias("kind"),
        pl.lit("smell_fix").alias("origin"),
    )
    # a unit with smells is of low quality, and its fix is what the data set is for
    alike = pl.lit(None, dtype=pl.Float64).alias("weight")
    return _of_units(units, changes, settings).with_columns(alike)


def _of_units(
    units: pl.DataFrame, changes: pl.DataFrame, settings: DatasetSettings
) -> pl.DataFrame:
    """Candidates from changes of units, in order."""
    joined = changes.join(
        units.select(*_OF_UNIT, "indent"), on="unit_id", maintain_order="left_right"
    )
    return _candidates(joined.hstack(_tasks(joined, settings)))


def _candidates(rows: pl.DataFrame) -> pl.DataFrame:
    """Candidate columns, null where the rows lack one."""
    return rows.select(
        pl.col(name) if name in rows.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )


def pair_candidates(
    pairs: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Candidates from version history.

    Args:
        pairs: REFACTORING_PAIRS of one project.
        files: REPOSITORY_FILES of the same project, for the licence.
        splits: UNIT_SPLITS of the same project.
        benchmarks: What must not be trained on.
        settings: Bounds and shares.
    """
    sides = _sides(splits)
    licences = _licences(files)
    codes = (pairs["before"] + "\n" + pairs["after"]).to_list()
    dirty = contaminated(codes, benchmarks, settings)
    places = [_place_of(pair, sides, licences, settings) for pair in pairs.iter_rows(named=True)]
    place_columns = pl.DataFrame(places, schema=_PLACE, orient="row")
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
    ).hstack(place_columns)
    listed = pl.Series([name is not None for name in dirty], dtype=pl.Boolean)
    barred = (
        pl.when(listed)
        .then(pl.lit("contaminated"))
        .when(~pl.col("trainable"))
        .then(pl.lit("licence"))
    )
    made = rows.hstack(_tasks(rows, settings))
    return _candidates(made.with_columns(barred.otherwise("not_made").alias("not_made")))


def review_candidates(
    reviews: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Candidates from code reviews.

    Args:
        reviews: Rows of ``reviews.review_rows`` of one project.
        files: REPOSITORY_FILES of the same project, for the licence.
        splits: UNIT_SPLITS of the same project.
        benchmarks: What must not be trained on.
        settings: Bounds and shares.
    """
    sides, licences = _sides(splits), _licences(files)
    places = [
        _place_of(
            {"source": review["source"], "path_after": review["path"], "path_before": None},
            sides,
            licences,
            settings,
        )
        for review in reviews.iter_rows(named=True)
    ]
    place_columns = pl.DataFrame(places, schema=_PLACE, orient="row")
    known = pl.col("source").is_not_null() & pl.col("trainable")
    rows = (
        reviews.drop("path")
        .hstack(place_columns)
        .with_columns(
            known.alias("trainable"),
            pl.coalesce("source", "export_source").alias("source"),
            pl.col("unit_id").alias("cluster"),
            pl.col("purpose").alias("kind"),
            pl.lit("review").alias("origin"),
            pl.lit("").alias("indent"),
            pl.format("A reviewer says: {}", "explanation").alias("request"),
            pl.lit("The code after the review:").alias("title"),
        )
    )
    barred = pl.Series("barred", list(why_not(rows, benchmarks, settings)), dtype=_S)
    rows = rows.with_columns(barred)
    usable = rows.filter(pl.col("barred").is_null())
    rest = rows.filter(pl.col("barred").is_not_null()).with_columns(
        pl.col("barred").alias("not_made")
    )
    made = _candidates(usable.hstack(_tasks(usable, settings)))
    return pl.concat([made, _candidates(rest)])


def _place_of(
    pair: dict[str, Any],
    sides: Mapping[Place, tuple[str, str]],
    licences: Mapping[Place, tuple[str | None, bool]],
    settings: DatasetSettings,
) -> tuple[str | bool | None, ...]:
    """Path, split, split reason, licence and its permission of each change."""
    path = pair["path_after"] or pair["path_before"] or ""
    places = [(pair["source"], place) for place in (path, pair["path_before"]) if place]
    known = next((sides[place] for place in places if place in sides), None)
    if known is None:
        side = side_by_hash(f"{pair['source']}:{path}", settings)
        known = side, f"path of the change, no longer in the project: {side} by hash"
    licence = next((licences[place] for place in places if place in licences), (None, True))
    return path, *known, *licence


def _licences(files: pl.DataFrame) -> dict[Place, tuple[str | None, bool]]:
    """Licence of each file, and whether it may be trained on."""
    columns = files.select("source", "path", "licence", "trainable").iter_rows()
    return {(source, path): (licence, trainable) for source, path, licence, trainable in columns}


def _sides(splits: pl.DataFrame) -> dict[Place, tuple[str, str]]:
    """Split of each file and its reason."""
    known = splits.filter(pl.col("split").is_not_null()).unique(
        ["source", "path"], keep="first", maintain_order=True
    )
    return {
        (source, path): (split, reason)
        for source, path, split, reason in known.select(
            "source", "path", "split", "split_reason"
        ).iter_rows()
    }


def _tasks(rows: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Prompt and completion of each change, or an exclusion reason.

    Args:
        rows: Columns ``language``, ``path``, ``indent``, ``before``, ``after``, and the lines
            ``request`` and ``title`` that stand around the code before.
        settings: Bounds.
    """
    comment = pl.col("language").replace_strict(LINE_COMMENTS, return_dtype=_S)
    written = (pl.col("indent") + pl.col(name).str.strip_chars_end(_WHITE) for name in _CODES)
    lines = ((comment + " " + pl.col(name)).alias(name) for name in ("path", "request", "title"))
    before, after = map(pl.col, _CODES)
    largest = pl.max_horizontal(before.str.len_bytes(), after.str.len_bytes())
    why = (
        pl.when(before == after)
        .then(pl.lit("answer_in_prompt"))
        .when(largest > settings.max_change_bytes)
        .then(pl.lit("body_size"))
    )
    parts = ("path", "request", "before", pl.lit(""), "title", pl.lit(""))
    prompt = pl.concat_str(*parts, separator="\n")
    made = pl.when(pl.col("not_made").is_null())
    return (
        rows.select(
            *(code_column.alias(name) for code_column, name in zip(written, _CODES, strict=True)),
            *lines,
        )
        .with_columns(why.alias("not_made"))
        .select(made.then(prompt).alias("prompt"), made.then(after).alias("completion"), "not_made")
    )


def refactoring_tables(
    project: ProjectUnits,
    errors: pl.DataFrame,
    fixes: FixesOf,
    pairs: pl.DataFrame,
    reviews: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the refactoring data set.

    Args:
        project: Units and their surroundings.
        errors: INJECTED_ERRORS of the same project.
        fixes: Fixes of smells by unit id.
        pairs: REFACTORING_PAIRS of the same project.
        reviews: Rows of ``reviews.review_rows`` of the same project.
        files: REPOSITORY_FILES of the same project.
        benchmarks: What must not be trained on.
        settings: Sizes and shares.
        cache: Cached results of unchanged texts; the tables are the same without it.
    """
    candidates = pl.concat(
        [
            error_candidates(project.units, errors, settings),
            smell_candidates(project.units, fixes, settings),
            pair_candidates(pairs, files, project.splits, benchmarks, settings),
            review_candidates(reviews, files, project.splits, benchmarks, settings),
        ]
    )
    # units are excluded per derived candidate, and most have nothing to fix
    return finished_tables(
        "refactoring_dataset", REFACTORING_DATASET, candidates, project, (), settings, cache
    )
