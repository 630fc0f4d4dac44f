"""``cortex feedback``: what people do with completions."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from cortex_pipelines.cli.console import AS_JSON, FILE, INPUT, PATH, in_project, print_json, print_table, say
from cortex_pipelines.versioning.root import find_root, require_project

_SHOWN = 20


@click.group(epilog="Example: cortex feedback import ~/.continue/dev_data/0.2.0/autocomplete.jsonl")
def feedback() -> None:
    """Import what people do with completions, and show figures of it."""


@feedback.command("import", epilog="Example: cortex feedback import corrections.csv --project shop")
@click.argument("files", nargs=-1, type=INPUT)
@click.option("--project", help="Project of lines that name none.")
@click.option("--refused", type=FILE, help="Write each refused line's file, number and reason here, as JSON lines.")
@in_project
def import_(files: tuple[Path, ...], project: str | None, refused: Path | None) -> None:
    """Import FILES of feedback; without any, the log of this project's gateway.

    Each is the gateway's log, Continue's development data, Tabby's events, or a table of corrections (JSON lines or
    CSV), recognised line by line. What was imported before changes nothing. `cortex update` then pins what there is.
    """
    from contextlib import ExitStack

    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.feedback.project_feedback import ImportSummary, gateway_log, import_files

    root = find_root()
    parameters, summary = load_parameters(root), ImportSummary()
    if project is not None:
        require_project(project, parameters.projects)
    with ExitStack() as stack:
        out = stack.enter_context(refused.open("w", encoding="utf-8")) if refused else None
        rejected_lines = import_files(root, parameters, files or (gateway_log(root),), project, summary)
        for count, line in enumerate(rejected_lines):
            if out is not None:
                out.write(json.dumps(asdict(line)) + "\n")
            if count < _SHOWN:
                say(f"{line.file}, line {line.line}: {line.reason}")
    refused_count = sum(summary.refused.values())
    click.echo(f"{summary.lines:,} lines: {summary.taken:,} taken, {refused_count:,} refused")
    click.echo(f"{summary.new:,} new events, {summary.repeated:,} known already")
    for reason, count in summary.refused.most_common():
        click.echo(f"  {count:,} refused: {reason}")
    if refused_count and not summary.taken:
        sys.exit(1)


@feedback.command(epilog="Example: cortex feedback show --project shop --json")
@click.option("--project", help="Only this project's interactions.")
@AS_JSON
@click.option("--html", type=FILE, help="Write a page to this file.")
@in_project
def show(project: str | None, as_json: bool, html: Path | None) -> None:
    """Show figures with intervals by project, language, task and version.

    They are of data/interactions, which `cortex run interactions` makes of the pinned events.
    """
    from rich.table import Column

    from cortex_pipelines.atomic import write_whole
    from cortex_pipelines.feedback.metrics import GROUPS, SIMULATION, report, table_cells
    from cortex_pipelines.feedback.project_feedback import project_metrics

    groups = project_metrics(find_root(), project)
    if html is not None:
        write_whole(html, report(groups))
        say(f"{html} was written")
    if as_json:
        print_json(groups)
        return
    if not groups:
        click.echo("no interaction yet; `cortex feedback import` takes some in")
    for simulated in (False, True):
        if simulated and any(group["simulated"] for group in groups):
            click.echo(SIMULATION)
        for by in GROUPS:
            head, rows = table_cells([g for g in groups if g["by"] == by and g["simulated"] == simulated], by)
            if rows:  # a line for each figure: their names are too long to stand side by side
                names, *figures = zip(head, *rows, strict=True)
                groups_of = [Column(str(name), overflow="fold") for name in names[1:]]
                columns = [Column(str(names[0]), no_wrap=True), *groups_of]
                print_table(columns, [[*map(str, line)] for line in figures])


@feedback.command(epilog="Example: cortex feedback commits shop ../shop")
@click.argument("project")
@click.argument("repository", type=PATH)
@in_project
def commits(project: str, repository: Path) -> None:
    """Measure how much of PROJECT's accepted completions the next commit of REPOSITORY retains.

    Of completions in data/interactions whose text and file are known (Continue's are). What is
    found are new events: `cortex update` and `cortex run interactions` take them into the table.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.feedback.project_feedback import import_commits

    root = find_root()
    summary = import_commits(root, load_parameters(root), project, repository)
    click.echo(
        f"{summary.taken:,} completions were committed; {summary.new:,} new events, {summary.repeated:,} known already"
    )


@feedback.command(epilog="Example: cortex feedback simulate . --project shop --out simulated.jsonl")
@click.argument("repository", type=PATH)
@click.option("--project", required=True, help="Project that the events name.")
@click.option("--out", type=FILE, help="Write events to this file.")
@click.option("--url", help="Ask the gateway there, and send it the events.")
@click.option("--ending", default=".py", show_default=True, help="Files that end so.")
@click.option("--most", default=20, show_default=True, help="Number of changes of files.")
def simulate(repository: Path, project: str, out: Path | None, url: str | None, ending: str, most: int) -> None:
    """Simulate a developer who types the latest changes in the history of REPOSITORY.

    With --url a gateway suggests; otherwise a baseline does, which repeats the line that once
    followed. Each event is marked as simulated, and figures of people never contain one.
    """
    from cortex_pipelines.atomic import write_whole
    from cortex_pipelines.feedback import git_history
    from cortex_pipelines.feedback.project_feedback import git_folder, posting

    if (out is None) == (url is None):
        raise click.UsageError("give either --out or --url")
    changes = git_history.file_history(git_folder(repository), ending, most)
    if url is not None:
        with posting(url) as post:
            suggest = git_history.from_gateway(post, project)
            events = git_history.simulate(changes, lambda _: suggest, project, url)
            event_count = git_history.send(events, post)
        click.echo(f"{event_count:,} simulated events were sent to {url}")
    elif out is not None:
        typed = list(git_history.simulate(changes, git_history.from_before, project, "baseline"))
        write_whole(out, "".join(json.dumps(event) + "\n" for event in typed))
        click.echo(f"{len(typed):,} simulated events of {len(changes):,} changes in {out}")
