"""``cortex route``: route tasks to masters."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.routing.serving.router import Router


@click.command(epilog='Example: cortex route "Rotate the leaked API key"')
@click.argument("task", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="JSON lines with tasks.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the decisions of --file.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Folder of `cortex router train`; without it the project's champion.",
)
@click.option(
    "--explore",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of tasks routed to a randomly drawn one of the best masters.",
)
def route(task: str | None, file: Path | None, out: Path | None, model: Path | None, explore: float) -> None:
    """Route TASK to a master, as JSON; with --file, one line per task in order."""
    if (task is None) == (file is None):
        raise click.UsageError("give one task in quotes, or --file tasks.jsonl")
    if out is not None and file is None:
        raise click.UsageError("--out goes with --file")
    from cortex_pipelines.routing.serving.tasks import Task, read_tasks, route_lines

    tasks = read_tasks(file) if file is not None else [Task("null", str(task))]
    lines = route_lines(_router(model), tasks, explore)
    if out is None:
        for line in lines:
            click.echo(line)
        return
    out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(f"{len(lines)} decisions in {out}", err=True)


def _router(model: Path | None) -> "Router":
    if model is not None:
        from cortex_pipelines.routing.router_from_logs import open_model

        return open_model(model)
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.open_model import open_router
    from cortex_pipelines.versioning.root import find_root

    return open_router(open_project(find_root()))
