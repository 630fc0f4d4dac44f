"""Filter, cluster and split units before they become examples."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

import polars as pl

from cortex_pipelines.datasets.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import DatasetError, assign_splits, cluster_units
from cortex_pipelines.datasets.tasks.completion import FUNCTIONS, STATEMENTS, bodies, completion_candidates
from cortex_pipelines.datasets.tasks.naming import naming_example, unit_name
from cortex_pipelines.datasets.unit_text import FileKey, file_bytes, with_layout
from cortex_pipelines.rowcache import RowCache, unit_rows
from cortex_pipelines.schemas.datasets import UNIT_SPLITS

_COMMENT_LINE = r"(?m)^[ \t]*(?:#|//|/\*|\*).*$"


def left_out(settings: DatasetSettings) -> pl.Expr:
    """Name of the first filter that excludes a unit, or null.

    Needs the columns ``code``, ``generated``, ``trainable``, ``has_error`` and ``deprecated``. Thresholds on lines,
    letters and comments are StarCoder's (arXiv 2305.06161).
    """
    code = pl.col("code")
    lines = code.str.split("\n").list.eval(pl.element().str.len_chars())
    letters = code.str.count_matches(r"[\p{L}\p{N}]") / code.str.len_chars()
    comments = code.str.count_matches(_COMMENT_LINE) / lines.list.len()
    broken = {
        "generated": pl.col("generated"),
        "licence": ~pl.col("trainable"),
        "syntax": pl.col("has_error"),
        "deprecated": pl.col("deprecated"),
        "longest_line": lines.list.max() > settings.longest_line,
        "mean_line": lines.list.mean() > settings.mean_line,
        "alphanumeric": ~(letters >= settings.min_alphanumeric),
        "comments": comments > settings.max_comment_share,
    }
    return pl.coalesce(*(pl.when(holds).then(pl.lit(reason)) for reason, holds in broken.items()))


_DEPRECATED = re.compile(r"^[ \t/*]*(?:@deprecated\b|Deprecated:|\.\. deprecated::)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"\A(?:\s*(?:@|#\[[^\]]*\])[^\n]*\n)*?\s*(?:@(?:\w+\.)*[Dd]eprecated\b|#\[deprecated)")
_WARNS = re.compile(r"\bwarn\((?:[^()]|\([^()]*\))*DeprecationWarning")


def deprecated(units: pl.DataFrame) -> pl.Series:
    """Whether a unit, or one around it, is marked as deprecated; a function is too if it warns that it is."""
    ends: dict[FileKey, int] = {}
    flags: dict[str, bool] = {}
    rows = units.select(
        *("source", "path", "unit_id", "language", "kind", "name", "code", "docstring", "start_byte", "end_byte")
    ).sort("source", "path", "start_byte", -pl.col("end_byte"))
    for source, path, unit, language, kind, name, code, docstring, start, end in rows.iter_rows():
        marked = _DEPRECATED.search(docstring or "") or _ATTRIBUTE.search(code)
        if not marked and kind in FUNCTIONS:
            marked = _WARNS.search(code) if language == "python" else None
        if not marked and kind in FUNCTIONS and " is deprecated" in code:
            marked = re.search(rf"\b{re.escape(name)} is deprecated", code)
        if marked:
            ends[source, path] = max(end, ends.get((source, path), 0))
        flags[unit] = start < ends.get((source, path), 0)
    return pl.Series("deprecated", [flags[unit] for unit in units["unit_id"]], dtype=pl.Boolean)


# Columns that an example of a unit depends on.
_OF_EXAMPLE = (
    *("unit_id", "source", "kind", "name", "code", "language", "path", "context", "indent", "docstring", "imports"),
    *("start_byte", "body_start_byte"),
)
_FILTER_COLUMNS = ("unit_id", "code", "generated", "trainable", "has_error", "deprecated")
_PROVENANCE = ("source", "path", "revision", "licence", "trainable")
FILE_COLUMNS = (*_PROVENANCE, "text")
UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "kind", "name", "context", "code", "docstring"),
    *("start_byte", "end_byte", "body_start_byte", "start_line", "end_line", "has_error", "generated"),
)
"""Columns of ANNOTATED_UNITS and REPOSITORY_FILES that a split depends on."""


def split_units(
    units: pl.DataFrame,
    files: pl.DataFrame,
    line_times: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> pl.DataFrame:
    """Every unit with its split, or the filter that excluded it.

    Of near-duplicates only the first is used. ``line_times``: table LINE_TIMES.
    Raises DatasetError: the project is too small to be split.
    """
    laid_out = with_layout(units, file_bytes(files), settings)
    filtered_units = _with_exclusions(laid_out, files, benchmarks, settings, cache)
    eligible = filtered_units.filter(pl.col("left_out").is_null()).drop("left_out")
    is_statement = pl.col("kind").is_in(STATEMENTS)
    with_bodies = eligible.filter(~is_statement).with_columns(bodies(eligible.filter(~is_statement)))
    clusters = IncrementalClustering(cache, "units", settings)
    statements = eligible.filter(is_statement).sort("unit_id")
    firsts_of = clusters.firsts("statements", statements["code"].to_list(), statements["language"].to_list())
    statements = statements.with_columns(cluster=statements["unit_id"].gather(firsts_of))
    clustered = pl.concat([cluster_units(with_bodies, clusters), statements], how="diagonal")
    firsts = clustered.filter(pl.col("cluster") == pl.col("unit_id"))
    candidates = _in_every_data_set(firsts, settings, cache)
    times = _change_times(firsts, line_times) if settings.split_by == "time" else None
    try:
        unit_splits = assign_splits(firsts, candidates.to_list(), settings, times)
    except DatasetError as error:
        excluded = filtered_units["left_out"].drop_nulls().value_counts(sort=True)
        reasons = ", ".join(f"{reason} {count}" for reason, count in excluded.iter_rows())
        if "licence" in reasons:
            reasons += "; if the code is yours, set `licence` of the project in params.yaml"
        raise DatasetError(f"{error}. Left out of {units.height} units: {reasons or 'none'}") from None
    return _table(filtered_units, clustered.select("unit_id", "cluster"), unit_splits)


def eligible_units(
    units: pl.DataFrame, files: pl.DataFrame, splits: pl.DataFrame, texts: dict[FileKey, bytes],
    settings: DatasetSettings,
) -> pl.DataFrame:  # fmt: skip
    """Eligible units: the first of each near-duplicate cluster.

    Returns the units with layout, ``cluster``, ``split``, ``split_reason``, ``licence`` and ``revision``, sorted by
    ``unit_id``. ``texts``: text of each file (``unit_text.file_bytes``).
    """
    eligible = splits.filter(pl.col("left_out").is_null())
    columns = ("unit_id", "cluster", "cluster_size", "split", "split_reason")
    laid_out = with_layout(units, texts, settings)
    return (
        laid_out.join(eligible.select(columns), on="unit_id", maintain_order="left")
        .join(files.select(_PROVENANCE).drop("trainable"), on=["source", "path"], how="left",
              maintain_order="left")
    )  # fmt: skip


def cluster_splits(splits: pl.DataFrame) -> pl.DataFrame:
    """Columns ``unit_id``, ``split`` and ``split_reason`` of each unit's near-duplicate cluster, used or not."""
    firsts = splits.filter(pl.col("left_out").is_null()).select("cluster", "split", "split_reason")
    return splits.select("unit_id", "cluster").join(firsts, on="cluster", how="left").drop("cluster")


def _with_exclusions(
    units: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None,
) -> pl.DataFrame:
    """Units with ``left_out``: the filter that excludes them, apart from near-duplicates."""
    with_files = units.join(
        files.select(_PROVENANCE), on=["source", "path"], how="left", maintain_order="left"
    ).with_columns(pl.col("trainable").fill_null(False), deprecated(units))
    filters = left_out(settings).alias("left_out")
    inputs = with_files.select(_FILTER_COLUMNS)
    filtered_units = with_files.hstack(unit_rows(cache, "quality", inputs, partial(_selected, columns=filters)))
    dirty = partial(_contaminated, benchmarks=benchmarks)
    eligible = filtered_units.filter(pl.col("left_out").is_null())
    contaminated_ids = _ids_where(eligible.select("unit_id", "code", "language"), "contaminated", dirty, cache)
    is_contaminated = pl.col("unit_id").is_in(contaminated_ids.implode())
    return filtered_units.drop("deprecated").with_columns(
        left_out=pl.when(is_contaminated).then(pl.lit("contaminated")).otherwise("left_out")
    )


def _selected(batch: pl.DataFrame, columns: pl.Expr) -> pl.DataFrame:
    return batch.select(columns)


def _contaminated(batch: pl.DataFrame, benchmarks: Sequence[Fingerprints]) -> Iterable[bool]:
    return contaminated(batch["code"].to_list(), benchmarks, batch["language"].to_list())


def _in_every_data_set(units: pl.DataFrame, settings: DatasetSettings, cache: RowCache | None) -> pl.Series:
    """Ids of units that give both a completion and a naming example."""
    functions = units.filter(pl.col("kind").is_in(FUNCTIONS))
    return _ids_where(functions.select(_OF_EXAMPLE), "example", partial(_usable, settings=settings), cache)


def _usable(batch: pl.DataFrame, settings: DatasetSettings) -> Iterator[bool]:
    for unit in completion_candidates(batch, settings).iter_rows(named=True):
        name = unit_name(unit, settings) if unit["completion"] is not None else None
        yield name is not None and naming_example(unit, unit["kind"], name, settings) is not None


def _ids_where(
    inputs: pl.DataFrame, fact: str, predicate: Callable[[pl.DataFrame], Iterable[bool]], cache: RowCache | None
) -> pl.Series:
    return inputs["unit_id"].filter(unit_rows(cache, fact, inputs, partial(_holds, predicate=predicate))["holds"])


def _holds(batch: pl.DataFrame, predicate: Callable[[pl.DataFrame], Iterable[bool]]) -> pl.DataFrame:
    return pl.Series("holds", list(predicate(batch)), dtype=pl.Boolean).to_frame()


_UNITS_AT_ONCE = 1024


def _change_times(units: pl.DataFrame, line_times: pl.DataFrame) -> dict[str, datetime]:
    """When the newest line of each unit was written, by unit id; units without history are absent."""
    file = ("source", "path")
    runs = line_times.select(*file, "first_line", "last_line", "committed_at").partition_by(
        file, as_dict=True, include_key=False
    )
    newest: dict[str, datetime] = {}
    # file by file: all units of a project with all lines of their files are gigabytes
    spans = units.select(*file, "unit_id", "start_line", "end_line")
    for key, of_file in spans.partition_by(file, as_dict=True, include_key=False).items():
        for part in of_file.iter_slices(_UNITS_AT_ONCE) if key in runs else ():
            overlapping = part.join_where(
                runs[key], pl.col("first_line") <= pl.col("end_line"), pl.col("last_line") >= pl.col("start_line")
            )
            newest.update(overlapping.group_by("unit_id").agg(pl.col("committed_at").max()).iter_rows())
    return newest


def _table(filtered_units: pl.DataFrame, clusters: pl.DataFrame, unit_splits: pl.DataFrame) -> pl.DataFrame:
    sizes = clusters.group_by("cluster").agg(pl.len().cast(pl.Int64).alias("cluster_size"))
    rows = (
        filtered_units.select("unit_id", "source", "path", "kind", "left_out")
        .join(clusters, on="unit_id", how="left")
        .join(sizes, on="cluster", how="left")
        .join(unit_splits.select("unit_id", "split", "split_reason"), on="unit_id", how="left")
    )
    duplicate = pl.col("cluster").is_not_null() & (pl.col("cluster") != pl.col("unit_id"))
    in_use = rows.with_columns(left_out=pl.when(duplicate).then(pl.lit("near_duplicate")).otherwise("left_out"))
    when_used = pl.when(pl.col("left_out").is_null())
    return UNIT_SPLITS.conform(in_use.with_columns(when_used.then(pl.col("split", "split_reason"))))
