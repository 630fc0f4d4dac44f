"""Metadata of a materialisation for the UI: columns, counts, the loss curve."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from cortex_pipelines.charts import chart
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.project import Stage

_PREVIEW_ROWS = 5
_PREVIEW_CHARACTERS = 60
_PLOTTED = ("language", "kind", "category", "reason", "operator", "master", "label_source")
"""Categorical columns that characterise a table."""
_MOST_BARS = 12
_MOST_CHARS = 28
_BAR, _LONGEST = "█", 20  # A bar of text, and the length of the longest: a chart for each column costs seconds a run


def describe(stage: Stage, version: str) -> dict[str, Any]:
    project, asset, folder = stage.project, stage.asset, stage.output
    verdict, numbers = read_json(folder / "verdict.json"), read_json(folder / "metrics.json")
    metadata: dict[str, Any] = {name: verdict[name] for name in ("verdict", "reason") if name in verdict}
    if {"improvement", "improvement_low", "improvement_high"} <= numbers.keys():
        interval = "{improvement:.3g} ({improvement_low:.3g} to {improvement_high:.3g})"
        metadata["improvement"] = interval.format_map(numbers)
    metadata |= {"dvc_md5": version, "dagster/uri": folder.relative_to(project.root).as_posix()}
    rows = 0
    for table in asset.tables:
        frame = pl.scan_parquet(folder / f"{table.name}.parquet")
        count = int(frame.select(pl.len()).collect().item())
        if table in asset.splits:
            rows += count
        metadata[f"{table.name}/rows"] = count
        metadata[f"{table.name}/preview"] = dg.MetadataValue.md(preview(frame.head(_PREVIEW_ROWS).collect()))
        for column in [name for name in _PLOTTED if name in table.schema]:
            counts = frame.group_by(column).len().sort(["len", column], descending=[True, False]).head(_MOST_BARS)
            if bars := {str(value): int(count) for value, count in counts.collect().iter_rows()}:
                metadata[f"{table.name}/by {column}"] = dg.MetadataValue.md(bar_table(column, bars))
    if asset.tables:
        metadata["dagster/row_count"] = rows
        metadata["dagster/column_schema"] = column_schema(asset.tables[0])
        metadata["dagster/column_lineage"] = column_lineage(asset.tables[0], stage.wiring.assets)
    metadata |= {f"metric/{name}": _rounded(value) for name, value in sorted(numbers.items()) if value is not None}
    training = read_json(folder / "training.json")
    losses = {
        name: [(float(point["step"]), float(point["loss"])) for point in training.get(key) or []]
        for name, key in (("training loss", "steps"), ("validation loss", "validation"))
    }
    if any(losses.values()):
        metadata["loss curve"] = dg.MetadataValue.md(f"![loss by optimiser step]({line_chart(losses)})")
    return metadata


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def column_schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(c.name, str(c.dtype), c.meaning, constraints=dg.TableColumnConstraints(nullable=c.nullable))
            for c in table.columns
        ]
    )


def column_lineage(table: Table, upstream: Iterable[VersionedAsset]) -> dg.TableColumnLineage:
    """Lineage of columns that are passed on unchanged: declared once, used by both tables."""
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for other in upstream:
        for column in other.tables[0].columns if other.tables else ():
            if any(column is own_column for own_column in table.columns):
                dep = dg.TableColumnDep(dg.AssetKey(other.name), column.name)
                deps.setdefault(column.name, []).append(dep)
    return dg.TableColumnLineage(deps)


def preview(frame: pl.DataFrame) -> str:
    def cell(value: Any) -> str:
        text = str(value).replace("\n", " ⏎ ").replace("|", "\\|")
        short = text[:_PREVIEW_CHARACTERS] + "…" if len(text) > _PREVIEW_CHARACTERS else text
        return short.replace("`", "'")

    lines = ["| " + " | ".join(frame.columns) + " |", "|" + " --- |" * frame.width]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in frame.iter_rows()]
    return "\n".join(lines)


def bar_table(column: str, bars: Mapping[str, int]) -> str:
    most = max(bars.values())
    lines = [f"| {column} | rows | |", "| --- | ---: | --- |"]
    for name, count in bars.items():
        cell = name[:_MOST_CHARS].replace("|", "\\|")
        lines.append(f"| {cell} | {count:,} | {_BAR * -(-_LONGEST * count // most)} |")
    return "\n".join(lines)


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    def draw(axes: Any) -> None:
        for name, points in series.items():
            axes.plot([x for x, _ in points], [y for _, y in points], ".-", label=name)
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="upper right")

    return chart(draw, 6, 2.5)
