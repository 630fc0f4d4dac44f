"""Data contracts checked by Great Expectations, derived from ``schemas.py`` alone."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.schemas.table import Column, Table

# Names that pandas gives to a column of each polars type. Arrow-backed types would be twice as
# slow to validate.
_PANDAS_TYPES: Mapping[type[pl.DataType], str] = {
    pl.Int64: "int64",
    pl.Float64: "float64",
    pl.Boolean: "bool",
    pl.String: "str",
}


@dataclass(frozen=True)
class ContractResult:
    table: str
    success: bool  # whether every expectation is met
    failures: tuple[str, ...]  # descriptions of the failed expectations
    statistics: Mapping[str, int]  # `evaluated`, `successful`, `unsuccessful` (numbers of expectations) and `rows`
    document: Any = field(repr=False, compare=False)  # great Expectations' own result, for its Data Docs


def validate(frame: pl.DataFrame, table: Table) -> ContractResult:
    """Check a frame against a table's contract.

    ``table``: its contract: columns and order, types, missing values, allowed values and ranges, unique key, fewest
    rows.
    """
    great_expectations = _great_expectations()
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    suite = great_expectations.ExpectationSuite(name=table.name, expectations=list(expectations(table, frame)))
    batch = (
        context.data_sources.add_pandas("frames")
        .add_dataframe_asset(table.name)
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame.to_pandas()})
    )
    report = batch.validate(suite)
    failures = tuple(sorted(_describe_failure(result) for result in report.results if not result.success))
    numbers = report.statistics
    return ContractResult(
        table=table.name,
        success=bool(report.success),
        failures=failures,
        statistics={
            "evaluated": int(numbers["evaluated_expectations"]),
            "successful": int(numbers["successful_expectations"]),
            "unsuccessful": int(numbers["unsuccessful_expectations"]),
            "rows": frame.height,
        },
        document=report,
    )


def expectations(table: Table, frame: pl.DataFrame) -> Iterator[Any]:
    _great_expectations()
    from great_expectations import expectations as gx

    yield gx.ExpectTableColumnsToMatchOrderedList(column_list=list(table.schema))
    yield gx.ExpectTableRowCountToBeBetween(min_value=table.min_rows)
    for column in table.columns:
        if column.name in frame.columns:
            yield from _column_expectations(column, frame)
    keys = [name for name in table.key if name in frame.columns]
    if len(keys) == 1:
        yield gx.ExpectColumnValuesToBeUnique(column=keys[0])
    elif keys and len(keys) == len(table.key):
        yield gx.ExpectCompoundColumnsToBeUnique(column_list=keys)


def _column_expectations(column: Column, frame: pl.DataFrame) -> Iterator[Any]:
    from great_expectations import expectations as gx

    if not column.nullable:
        yield gx.ExpectColumnValuesToNotBeNull(column=column.name)
    if column.one_of is not None:
        yield gx.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.one_of))
    if column.between is not None:
        low, high = column.between
        yield gx.ExpectColumnValuesToBeBetween(column=column.name, min_value=low, max_value=high)
    kind = column.dtype if isinstance(column.dtype, type) else type(column.dtype)
    # A missing value turns an integer column into floats in pandas: its type is not checked then.
    if kind in _PANDAS_TYPES and not column.nullable and not frame[column.name].has_nulls():
        yield gx.ExpectColumnValuesToBeOfType(column=column.name, type_=_PANDAS_TYPES[kind])


def write_data_docs(results: Mapping[str, list[ContractResult]], out: Path) -> Path:
    """Write Great Expectations' Data Docs: one page per table, and an index.

    They contain the time of the check, so they are not part of any output.
    """
    _great_expectations()
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for title, suite_results in sorted(results.items()):
        for result in suite_results:
            page = "".join(c if c.isalnum() else "_" for c in f"{title}_{result.table}") + ".html"
            rendered = ValidationResultsPageRenderer().render(result.document)
            (out / page).write_text(_page_view().render(rendered), encoding="utf-8")
            link = pages.link(page, f"{title}: {result.table}")
            verdict = "kept" if result.success else "broken"
            rows.append((link, verdict, result.statistics["rows"], "; ".join(result.failures)))
    index = out / "index.html"
    table = pages.table(("Table", "Contract", "Rows", "Broken"), rows)
    index.write_text(pages.page("Data contracts", [table]), encoding="utf-8")
    return index


@cache
def _page_view() -> Any:
    """Great Expectations' view of a page; each new one would compile its templates again."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def _describe_failure(result: Any) -> str:
    config = result.expectation_config
    name = config.type.removeprefix("expect_").replace("_", " ")
    settings = {
        key: value for key, value in config.kwargs.items() if key not in ("batch_id", "column") and value is not None
    }
    column = config.kwargs.get("column")
    location = f"column {column}: " if column else ""
    expected = ", ".join(f"{key} {value}" for key, value in sorted(settings.items()))
    return f"{location}{name}" + (f" ({expected})" if expected else "") + _observed(result)


def _observed(result: Any) -> str:
    outcome = result.result or {}
    if result.exception_info and result.exception_info.get("raised_exception"):
        return f"; could not be checked: {result.exception_info.get('exception_message')}"
    if outcome.get("unexpected_count"):
        examples = ", ".join(repr(value) for value in outcome["partial_unexpected_list"][:3])
        return f"; {outcome['unexpected_count']} of {outcome['element_count']}: {examples}"
    return f"; found {outcome['observed_value']}" if "observed_value" in outcome else ""


def _great_expectations() -> Any:
    """Import Great Expectations lazily (it takes seconds), without its analytics."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    # It logs its temporary folders, and sets its log level itself on import.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)

    return great_expectations
