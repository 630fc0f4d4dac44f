"""Tables and columns as contracts that frames are checked against."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

UTC = pl.Datetime("us", "UTC")  # type of time stamps: microseconds, UTC


_PAIRS = (("start", "end"), ("low", "high"))


class ContractError(ValueError):
    """A table violates its declared contract and must not be published."""


@dataclass(frozen=True)
class Column:
    name: str
    dtype: pl.DataType | type[pl.DataType]  # polars type, matched exactly
    meaning: str  # meaning of a value, with its unit
    nullable: bool = False  # whether a value may be missing
    one_of: tuple[str, ...] | None = None  # allowed values of a categorical column
    between: tuple[float, float] | None = None  # minimum and maximum value, inclusive


@dataclass(frozen=True)
class Table:
    name: str  # name of the Parquet file, without its extension
    meaning: str
    columns: tuple[Column, ...]  # the columns, in order
    key: tuple[str, ...]  # columns that identify a row; rows are sorted by them and unique in them
    min_rows: int = 0  # minimum number of rows

    @property
    def schema(self) -> pl.Schema:
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def ascending(self) -> tuple[tuple[str, str], ...]:
        """Pairs that no row reverses, by their names: ``start_line`` and ``end_line``, ``low`` and ``high``."""
        names = tuple(self.schema)
        pairs = [(name, name.replace(first, last)) for first, last in _PAIRS for name in names if first in name]
        return tuple((low, high) for low, high in pairs if high in names)

    def read(self, folder: Path, *columns: str) -> pl.DataFrame:
        """Read the table from an asset's output folder: all columns, or the named ones.

        Raises ContractError: another version made it, without one of these columns.
        """
        path = folder / f"{self.name}.parquet"
        try:
            return pl.read_parquet(path, columns=list(columns) or None)
        except pl.exceptions.ColumnNotFoundError:
            missing = ", ".join(name for name in columns if name not in pl.read_parquet_schema(path))
            raise ContractError(
                f"{path}: another version of cortex-pipelines made it, without the column {missing}; "
                "`cortex run` makes it again"
            ) from None

    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        return self.conform(pl.DataFrame(rows, schema=self.schema, orient="row"))

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The declared columns in order, rows sorted by the key; ContractError if a column breaks its contract."""
        missing = [name for name in self.schema if name not in frame.columns]
        if missing:
            raise ContractError(f"table {self.name}: no column {', '.join(missing)}; has {', '.join(frame.columns)}")
        selected = frame.select(list(self.schema))
        for column, actual in zip(self.columns, selected.dtypes, strict=True):
            if actual != column.dtype:
                raise ContractError(
                    f"table {self.name}, column {column.name}: type is {actual}, must be {column.dtype}"
                )
        problems = self.violations(selected)
        if problems:
            raise ContractError(f"table {self.name}: " + "; ".join(problems))
        is_sorted = len(self.key) == 1 and selected[self.key[0]].is_sorted()
        return selected.sort(self.key) if self.key and not is_sorted else selected

    def violations(self, frame: pl.DataFrame) -> list[str]:
        """Contract violations in the rows of a frame with the right columns, in words."""
        problems = [
            f"column {column.name}: {count} {problem}"
            for column in self.columns
            for problem, count in _column_violations(column, frame[column.name]).items()
            if count
        ]
        if self.key:
            repeated = frame.height - frame.select(self.key).unique().height
            if repeated:
                problems.append(f"{repeated} rows repeat the key ({', '.join(self.key)})")
        if frame.height < self.min_rows:
            problems.append(f"{frame.height} rows, at least {self.min_rows} are needed")
        return problems


def _column_violations(column: Column, values: pl.Series) -> dict[str, int]:
    counts: dict[str, int] = {}
    if not column.nullable:
        counts["values are missing"] = values.null_count()
    present = values.drop_nulls()
    if column.one_of is not None:
        counts[f"values are not one of {', '.join(column.one_of)}"] = int((~present.is_in(list(column.one_of))).sum())
    if column.between is not None:
        low, high = column.between
        counts[f"values are outside {low:g} to {high:g}"] = int((~present.is_between(low, high)).sum())
    return counts
