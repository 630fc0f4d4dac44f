"""``cortex status`` and ``cortex summary``."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from cortex_pipelines.versioning.root import find_root

_COLUMNS = ("asset", "rows", "version")
_COLOURS = {"fresh": "green", "stale": "yellow", "missing": "red"}


@click.command(epilog="Example: cortex status --json")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to this file.")
def status(as_json: bool, page: Path | None) -> None:
    """Show the versions of every asset in Dagster, DVC and MLflow, and what is stale.

    The page also shows models, decisions about training, drift, feedback, ledger and deletions.
    """
    rows = _rows(find_root())
    if page is not None:
        _write_page(page, rows)
    if as_json:
        public_rows = [{key: row[key] for key in row if key != "rows"} for row in rows]
        click.echo(json.dumps(public_rows, indent=1))
        return
    _print(rows)
    for line in _decisions(find_root()):
        click.echo(line)


def _write_page(path: Path, rows: list[dict[str, Any]]) -> None:
    """Outputs, models, decisions, drift, feedback, ledger and deletions on one page."""
    from cortex_pipelines.atomic import write_whole
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.status import status_page

    write_whole(path, status_page(open_project(find_root()), rows, count_states(rows)))
    click.echo(f"{path} was written", err=True)


def _decisions(root: Path) -> list[str]:
    """The latest decisions about training, where there were any."""
    from cortex_pipelines.monitoring.policy import last_decisions

    lines = last_decisions(root)
    return ["", "Training:", *lines] if lines else []


def _rows(root: Path) -> list[dict[str, Any]]:
    from cortex_pipelines.projects import status_cache

    rows = status_cache.read_cached_status(root)
    return _worked_out(root) if rows is None else rows


def _worked_out(root: Path) -> list[dict[str, Any]]:
    from cortex_pipelines.orchestration.location import open_location
    from cortex_pipelines.projects import status_cache
    from cortex_pipelines.projects.status import count_rows
    from cortex_pipelines.projects.status import status_rows as rows_of
    from cortex_pipelines.versioning.dagster.instance import open_instance
    from cortex_pipelines.versioning.dvc.dvc_store import cache_folder

    before = status_cache.collect_state(root, (cache_folder(root),))
    project, definitions = open_location(root)
    rows = [
        row | {"rows": count_rows(project, row["asset"], row["partition"])}
        for row in rows_of(project, definitions, open_instance(root))
    ]
    status_cache.cache_status(root, before, rows)
    return rows


def state(row: dict[str, Any]) -> str:
    """State of a row: fresh, stale, or missing without an output."""
    if row["dvc_md5"] is None or row["data_version"] is None:
        return "missing"
    return "fresh" if row["fresh"] else "stale"


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    partitions = sorted({row["partition"] for row in rows if row["partition"]})
    columns = [Column(name, no_wrap=True) for name in _COLUMNS]
    table = Table(*columns, "state", "why not fresh", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for partition in (*partitions, None):
        table.add_row(f"[bold]{partition or 'all projects'}")
        for row in rows:
            if row["partition"] == partition:
                table.add_row(*_cells(row))
        table.add_section()
    Console().print(table)
    click.echo(count_states(rows))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from rich.markup import escape

    views_agree = row["data_version"] == row["dvc_md5"] == row["mlflow_digest"]
    version = (row["dvc_md5"] or "-")[:12] + ("" if views_agree else " (views differ)")
    count = f"{row['rows']:,}" if row["rows"] else ""
    word = state(row)
    return f"  {row['asset']}", count, version, f"[{_COLOURS[word]}]{word}", escape(row["reason"])


def count_states(rows: list[dict[str, Any]]) -> str:
    """Number of outputs in each state, in one line."""
    counts = Counter(state(row) for row in rows)
    return ", ".join(f"{counts[word]} {word}" for word in _COLOURS)


@click.command(epilog="Example: cortex summary")
def summary() -> None:
    """Show what was built for each project, how each model did, and where the reports are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.summary import model_scores, project_data
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    console = Console()
    data = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    data.add_column("project", no_wrap=True)
    for name in ("files", "units of code", "training examples"):
        data.add_column(name, justify="right")
    data.add_column("report", overflow="fold")
    for row in project_data(project):
        numbers = (f"{number:,}" for number in (row.files, row.units, row.examples))
        data.add_row(row.name, *numbers, row.report or "not made yet")
    console.print(data)
    evaluated = list(model_scores(project))
    for model in evaluated:
        console.print(f"[bold]{model.name}[/bold]: {model.verdict or 'no verdict yet'}")
        if model.reason:
            click.echo(f"  {model.reason}")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
        for name in ("on held-out items", "model", "compared with", "improvement", "items"):
            table.add_column(name)
        for score in model.scores:
            compared = f"{score.against} {score.reference}"
            table.add_row(score.what, score.model, compared, score.difference, f"{score.items:,}")
        console.print(table)
        click.echo(f"  {model.report}\n")
    if evaluated:
        click.echo("In brackets: 95 % intervals. An interval that includes 0 shows no difference.")
    else:
        click.echo("No model is evaluated yet: `cortex run` makes what is missing.")
