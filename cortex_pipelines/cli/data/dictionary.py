"""``cortex dictionary``: the data dictionary, generated from the table declarations."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.root import ProjectError, find_root

if TYPE_CHECKING:
    from cortex_pipelines.schemas.table import Column, Table
    from cortex_pipelines.versioning.asset import VersionedAsset
    from cortex_pipelines.versioning.project import Project

FILE = Path("data") / "README.md"

_INTRODUCTION = """# Data dictionary

Generated from `cortex_pipelines/schemas/` by `cortex dictionary`; a test fails when it is out of
date. Every table is a Parquet file, `data/<asset>/<project>/<table>.parquet` (without the project
where an asset is made from all of them), sorted by its key.
"""


@click.command(epilog="Example: cortex dictionary --check")
@click.option("--check", is_flag=True, help="Only fail if the file is out of date.")
def dictionary(check: bool) -> None:
    """Write data/README.md: every table and column, with its meaning."""
    from cortex_pipelines.catalog import open_project

    project = open_project(find_root())
    path, text = project.root / FILE, render(project)
    if not check:
        write_whole(path, text)
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        raise ProjectError(f"{FILE} is out of date; run `cortex dictionary`")


def render(project: "Project") -> str:
    """Render the dictionary as Markdown, assets in pipeline order."""
    parts = [part for asset in project.graph.order for part in _asset(asset)]
    return "\n".join([_INTRODUCTION, *parts])


def _asset(asset: "VersionedAsset") -> Iterator[str]:
    if not asset.tables:
        return
    yield f"## {asset.name}\n\n{asset.description.splitlines()[0]}\n"
    table_by_columns: dict[tuple[Column, ...], str] = {}
    for table in asset.tables:
        yield from _table(table, table_by_columns.setdefault(table.columns, table.name))


def _table(table: "Table", described: str) -> Iterator[str]:
    yield f"### {table.name}.parquet\n\n{table.meaning} Key: {', '.join(table.key) or 'none'}.\n"
    if described != table.name:
        yield f"Columns as in {described}.parquet.\n"
        return
    yield "| column | type | missing | meaning |\n| --- | --- | --- | --- |"
    for column in table.columns:
        missing = "yes" if column.nullable else ""
        yield f"| `{column.name}` | {column.dtype} | {missing} | {_meaning(column)} |"
    yield ""


def _meaning(column: "Column") -> str:
    meaning = column.meaning
    if column.one_of is not None:
        meaning += f". One of: {', '.join(column.one_of)}"
    if column.between is not None:
        meaning += f". From {column.between[0]:g} to {column.between[1]:g}"
    return meaning.replace("|", "\\|").replace("\n", " ")
