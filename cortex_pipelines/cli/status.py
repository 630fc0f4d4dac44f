"""``cortex status`` and ``cortex summary``."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import (
    AS_JSON_LIST,
    FILE,
    current_instance,
    current_project,
    in_project,
    print_json,
    say,
    text_console,
)
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.projects.status import AdapterOutcome
    from cortex_pipelines.versioning.project import Project

_MOST_PROJECTS = 20
_COLUMNS = ("asset", "rows", "version")
_COLOURS = {"fresh": "green", "stale": "yellow", "missing": "red"}


@click.command(epilog="Example: cortex status --json")
@AS_JSON_LIST
@click.option("--project", help="Only this project, and what is made from all.")
@click.option("--page", type=FILE, help="Write a page to this file.")
@in_project
def status(as_json: bool, project: str | None, page: Path | None) -> None:
    """Show the versions of every asset in Dagster, DVC and MLflow, and what is stale.

    With more than 20 projects, a line each counts their outputs. The page also shows models, decisions about
    training, drift, feedback, ledger and deletions.
    """
    root = find_root()
    rows = _rows(root)
    if project is not None:
        workspace = current_project()
        workspace.selected(project)
        rows = [_with_row_count(workspace, row) for row in rows if row["partition"] in (project, None)]
    if page is not None:
        from cortex_pipelines.atomic import write_whole
        from cortex_pipelines.projects.status import status_page

        write_whole(page, status_page(current_project(), rows, count_states(rows)))
        say(f"{page} was written")
    if as_json:
        print_json([{key: row[key] for key in row if key not in ("rows", "agree")} for row in rows])
        return
    _print(rows)
    from cortex_pipelines.monitoring.policy import last_decisions

    if lines := last_decisions(root):
        click.echo("\n".join(["", "Training:", *lines]))


def _rows(root: Path) -> list[dict[str, Any]]:
    from cortex_pipelines.projects import status_cache

    cached = status_cache.read_cached_status(root)
    if cached is not None:
        return cached
    from cortex_pipelines.projects.status import status_rows
    from cortex_pipelines.versioning.dvc.dvc_store import cache_folder

    before = status_cache.collect_state(root, (cache_folder(root),))
    project = current_project()
    few = len(project.partitions) <= _MOST_PROJECTS  # else those of one project are shown on request
    rows = [
        _with_row_count(project, row) if few or row["partition"] is None else row
        for row in status_rows(project, current_instance())
    ]
    status_cache.cache_status(root, before, rows)
    return rows


def _with_row_count(project: "Project", row: dict[str, Any]) -> dict[str, Any]:
    from cortex_pipelines.projects.status import count_rows

    return row if "rows" in row else row | {"rows": count_rows(project, row["asset"], row["partition"])}


def state(row: dict[str, Any]) -> str:
    """State of a row: fresh, stale, or missing without an output."""
    if row["dvc_md5"] is None or row["data_version"] is None:
        return "missing"
    return "fresh" if row["fresh"] else "stale"


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Column, Table

    partitions = sorted({row["partition"] for row in rows if row["partition"]})
    columns = [Column(name, no_wrap=True) for name in _COLUMNS]
    table = Table(*columns, "state", "why not fresh", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    by_partition: dict[str | None, list[dict[str, Any]]] = {partition: [] for partition in (*partitions, None)}
    for row in rows:
        by_partition[row["partition"]].append(row)
    many = len(partitions) > _MOST_PROJECTS
    for partition, group in by_partition.items():
        table.add_row(f"[bold]{partition or 'all projects'}", *(["", "", count_states(group)] if many else []))
        if not many or partition is None:
            for row in group:
                version = (row["dvc_md5"] or "-")[:12] + ("" if row["agree"] else " (views differ)")
                count, word = "" if row.get("rows") is None else f"{row['rows']:,}", state(row)
                cells = (f"  {row['asset']}", count, version, f"[{_COLOURS[word]}]{word}")
                table.add_row(*cells, escape(row["reason"]))
        if not many or partition in (partitions[-1], None):
            table.add_section()
    text_console().print(table, markup=True)
    click.echo(count_states(rows) + ("; `cortex status --project NAME` shows each of a project's" if many else ""))


def count_states(rows: list[dict[str, Any]]) -> str:
    """Number of outputs in each state, in one line."""
    counts = Counter(state(row) for row in rows)
    return ", ".join(f"{counts[word]} {word}" for word in _COLOURS)


@click.command(epilog="Example: cortex report")
@click.option("--out", type=FILE, help="File to write, instead of .cortex/report.html.")
@click.option("--no-open", is_flag=True, help="Only write it.")
@in_project
def report(out: Path | None, no_open: bool) -> None:
    """Open one page on projects, data, models, releases and usage: what is good or wrong, and what to do.

    `cortex serve` shows it at /report.
    """
    from cortex_pipelines.atomic import write_whole
    from cortex_pipelines.projects.report import FILE as PAGE
    from cortex_pipelines.projects.report import report_page

    project = current_project()
    page = (out or project.root / PAGE).absolute()
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, report_page(project, page.parent))
    say(f"{page} was written")
    if not no_open and sys.stdout.isatty():
        click.launch(str(page))


@click.command(epilog="Example: cortex summary")
@in_project
def summary() -> None:
    """Show what was built for each project, how each model did, and where the reports are."""
    from rich import box
    from rich.table import Table

    from cortex_pipelines.projects.base_model import base_note
    from cortex_pipelines.projects.status import model_scores, outcome, project_data

    project = current_project()
    console = text_console()
    data = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    data.add_column("project", no_wrap=True)
    for name in ("files", "units of code", "training examples"):
        data.add_column(name, justify="right")
    data.add_column("report", overflow="fold")
    for row in project_data(project):
        data.add_row(*row)
    console.print(data)
    evaluated = list(model_scores(project))
    for model in evaluated:
        click.echo(f"{click.style(model.name, bold=True)}: {model.verdict or 'no verdict yet'}")
        if model.reason:
            click.echo(f"  {model.reason}")
        head = ("on held-out items", "model", "compared with", "improvement", "items")
        table = Table(*head, box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
        for score in model.scores:
            table.add_row(*score)
        console.print(table)
        click.echo(f"  {model.report}\n")
    if not evaluated:
        click.echo("No model is evaluated yet: `cortex run` makes what is missing.")
        return
    click.echo("In brackets: 95 % intervals. An interval that includes 0 shows no difference.")
    adapters = [result for name in project.partitions if (result := outcome(project, name))]
    for result in adapters:
        _print_outcome(result)
    if adapters and (note := base_note(project.root)):
        click.echo(f"\nRead these answers with this in mind: {note}.")
    if adapters:
        click.echo("\nNext: `cortex serve` answers on port 8008, its page shows base and adapter side by side;")
        click.echo("`cortex releases` has every model and its champion, `cortex status` every output and its version.")


def _print_outcome(result: "AdapterOutcome") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for answer in result.answers:
        title = Text(f"\n{answer.path}, held out:\n{answer.prompt}")
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="")
        for head in ("without the adapter", "with it", "in the repository"):
            table.add_column(head, overflow="fold", ratio=1)
        table.add_row(*map(Text, (answer.base, answer.adapter, answer.expected)))
        Console().print(table)
    if result.gain:
        click.echo(f"{result.project}: bits per byte saved on held-out completions, over the base: {result.gain}")
    click.echo(f"{result.project}: {result.served}")
