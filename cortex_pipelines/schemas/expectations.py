"""Great Expectations for what a table's schema cannot say.

Relations between columns hold in every row, and a version that breaks one is not published. Volume and distributions
are held against the version before: a shift is a warning, because a project may simply have changed.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.schemas.table import Table

Profile = Mapping[str, Any]
"""What a later version is held against: ``rows`` and, by column, shares of values, quartiles or missing values."""
Declared = tuple[str, dict[str, Any]]  # class and arguments of an expectation
_COMPARED_FROM = 200  # rows, or present values of a column; distributions of fewer say little
_VOLUME = 2.0  # a version has at least half and at most twice as many rows as the one before
_DIVERGENCE = 0.2  # nats of Kullback-Leibler divergence between the shares of a column's values
_MISSING = 0.1  # by how much the share of missing values may differ; present ones may halve at most
_ROWS_A_VALUE = 20  # a text column with on average so many rows a value is held against their shares
_NEW_VALUES = 0.01  # share that is reserved for values that were not there before
_LEFT_OUT = frozenset({"author", "blob", "commit", "path", "revision", "user"})  # people, and what moves with a source
_LOST_VALUES = 0.05  # a value with at least this share has to be there again


@dataclass(frozen=True)
class ExpectationReport:
    failures: tuple[str, ...]  # broken relations, in words
    warnings: tuple[str, ...]  # shifts against the version before, in words
    document: Any = field(
        repr=False, compare=False
    )  # Great Expectations' own result; None if there was nothing to check


def profile(frame: pl.DataFrame) -> Profile:
    """Volume and distributions of a version, as JSON values."""
    columns = {name: _column_profile(frame[name]) for name in frame.columns if name not in _LEFT_OUT}
    return {"rows": frame.height, "columns": {name: figures for name, figures in columns.items() if figures}}


def _column_profile(values: pl.Series) -> dict[str, Any]:
    present = values.drop_nulls()
    figures: dict[str, Any] = {"missing": values.null_count() / len(values)} if values.null_count() else {}
    if len(present) < _COMPARED_FROM:
        return figures
    if values.dtype.is_numeric():
        figures["quartiles"] = [float(present.quantile(share, "nearest") or 0) for share in (0.25, 0.75)]
    elif values.dtype in (pl.String, pl.Boolean) and len(present) >= _ROWS_A_VALUE * present.n_unique():
        counts = present.cast(pl.String).value_counts(sort=False).sort(values.name)
        figures["shares"] = {value: count / len(present) for value, count in counts.iter_rows()}
    return figures


def validate(frame: pl.DataFrame, table: Table, before: Profile | None) -> ExpectationReport:
    """Hold a frame, whose rows keep the table's schema, against the relations of its table and the profile of the
    version before, if any. Great Expectations is loaded only where there is something to check.
    """
    declared = [*_relations(table, frame), *_shifts(frame, before)]
    if not declared:
        return ExpectationReport((), (), None)
    frames = load_expectations()
    from great_expectations import ExpectationSuite, expectations

    used = {kwargs[key] for _, kwargs in declared for key in ("column", "column_A", "column_B") if key in kwargs}
    rows = frame.select([name for name in frame.columns if name in used] or frame.columns[:1])
    suite = ExpectationSuite(table.name, [getattr(expectations, kind)(**kwargs) for kind, kwargs in declared])
    asset = frames.add_dataframe_asset(table.name)
    try:
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
            {"dataframe": rows.with_columns(pl.col(pl.Boolean).cast(pl.String)).to_pandas()}
        )
        report = batch.validate(suite)
    finally:
        frames.delete_asset(table.name)
    for result in report.results:
        observed = result.result.get("observed_value")
        if isinstance(observed, np.generic):  # which its pages cannot show
            result.result["observed_value"] = observed.item()
    broken = [result for result in report.results if not result.success]
    shifted = [result for result in broken if result.expectation_config.severity == "warning"]
    return ExpectationReport(
        failures=tuple(sorted(_describe(result) for result in broken if result not in shifted)),
        warnings=tuple(sorted(map(_describe, shifted))),
        document=report,
    )


def _relations(table: Table, frame: pl.DataFrame) -> Iterator[Declared]:
    for low, high in table.ascending:
        if frame[low].count() and frame[high].count():
            columns = {"column_A": high, "column_B": low, "or_equal": True}
            yield "ExpectColumnPairValuesAToBeGreaterThanB", columns | {"ignore_row_if": "either_value_is_missing"}


def _shifts(frame: pl.DataFrame, before: Profile | None) -> Iterator[Declared]:
    if before is None or before["rows"] < _COMPARED_FROM:
        return

    def warning(kind: str, **kwargs: Any) -> Declared:
        return kind, {**kwargs, "severity": "warning"}

    low, high = int(before["rows"] / _VOLUME), int(before["rows"] * _VOLUME)
    yield warning("ExpectTableRowCountToBeBetween", min_value=low, max_value=high)
    for name, figures in before["columns"].items() if frame.height >= _COMPARED_FROM else ():
        if name not in frame.columns:
            continue
        missing = figures.get("missing", 0.0)
        if missing < 1.0 and (missing or frame[name].null_count()):  # what was nowhere may come
            low, high = max((1 - missing) / 2, 1 - missing - _MISSING), min(1.0, 1 - missing + _MISSING)
            kind = "ExpectColumnProportionOfNonNullValuesToBeBetween"
            yield warning(kind, column=name, min_value=low, max_value=high)
        if frame[name].count() < _COMPARED_FROM:
            continue
        if "quartiles" in figures:
            low, high = figures["quartiles"]
            yield warning("ExpectColumnMedianToBeBetween", column=name, min_value=low, max_value=high)
        if shares := figures.get("shares"):
            common = [value for value, share in shares.items() if share >= _LOST_VALUES]
            yield warning("ExpectColumnDistinctValuesToContainSet", column=name, value_set=common)
            yield warning(
                "ExpectColumnKLDivergenceToBeLessThan",
                column=name,
                partition_object={"values": list(shares), "weights": list(shares.values())},
                threshold=_DIVERGENCE,
                tail_weight_holdout=_NEW_VALUES,
            )


def _describe(result: Any) -> str:
    """A broken expectation in words, with what was observed."""
    config = result.expectation_config
    kwargs, outcome = config.kwargs, result.result or {}
    if result.exception_info and result.exception_info.get("raised_exception"):
        return f"{config.type}: could not be checked: {result.exception_info.get('exception_message')}"
    if "column_A" in kwargs:
        count = outcome.get("unexpected_count")
        return f"{count} rows have {kwargs['column_B']} above {kwargs['column_A']}"
    observed = outcome.get("observed_value")
    if config.type == "expect_table_row_count_to_be_between":
        return f"{observed} rows, {kwargs['min_value']} to {kwargs['max_value']} expected"
    if config.type == "expect_column_kl_divergence_to_be_less_than":
        return f"column {kwargs['column']}: values are distributed otherwise than before ({_number(observed)} nats)"
    if config.type == "expect_column_distinct_values_to_contain_set":
        return f"column {kwargs['column']}: no {', '.join(map(str, outcome['partial_missing_list']))} any more"
    measure = "median" if "median" in config.type else "share of present values"
    low, high = _number(kwargs["min_value"]), _number(kwargs["max_value"])
    return f"column {kwargs['column']}: {measure} {_number(observed)}, {low} to {high} expected"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "infinite"


def write_data_docs(report: ExpectationReport, page: Path) -> Path | None:
    """Write Great Expectations' page of a table, if it checked anything; not an output, since it holds the time."""
    if report.document is None:
        return None
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_page_view().render(ValidationResultsPageRenderer().render(report.document)), encoding="utf-8")
    return page


@cache
def _page_view() -> Any:
    """Great Expectations' view of a page; each new one would compile its templates again."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


class _Later(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


_LATER = ("altair", "scipy.stats")
_DISPENSABLE = ("boto3", "botocore", "psycopg2", "rfc3987_syntax")
"""Great Expectations and the jsonschema that it loads do without these, as where they are not installed."""


@contextmanager
def _lightly() -> Iterator[None]:
    """Let an import leave out what nothing here uses: charts, clouds, a database, the grammar of addresses."""
    stand_ins: dict[str, Any] = {name: _Later(name) for name in _LATER} | dict.fromkeys(_DISPENSABLE)
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name, ...) is module:
                del sys.modules[name]


@cache
def load_expectations() -> Any:
    """Great Expectations with its context, loaded once a process (it takes seconds), without its analytics."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _lightly():
        import great_expectations

    # It logs its temporary folders, and sets its log level itself on import.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context.data_sources.add_pandas("frames")
