"""``cortex graph``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.retrieval.graph.questions import AnswerStep, CodeGraph, GraphAnswer


@click.command(epilog="Example: cortex graph callers parse_duration --project shop")
@click.argument("question", type=click.Choice(["callers", "breaks", "tests", "path"]))
@click.argument("name")
@click.argument("to", required=False)
@click.option("--index", "index_folder", type=click.Path(path_type=Path), help="Folder of `cortex index`.")
@click.option("--project", help="Use this project only; by default all projects.")
@click.option(
    "--depth", type=click.IntRange(1, 20), default=3, show_default=True,
    help="Most steps of breaks and tests.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a line a place.")
def graph(
    question: str, name: str, to: str | None, index_folder: Path | None, project: str | None, depth: int, as_json: bool
) -> None:
    """Show who calls NAME, what breaks if it changes, its tests, or the path from NAME to TO.

    NAME is a path, path:qualified.name, or the name of a function or type.
    """
    if index_folder is not None and project is not None:
        raise click.UsageError("give --index for a folder or --project, not both")
    if (to is None) == (question == "path"):
        raise click.UsageError("path needs two names; callers, breaks and tests need one")
    answer = _open(index_folder, project).ask(question, name, to, depth)
    if as_json:
        click.echo(json.dumps(answer.as_json(), indent=1))
        return
    for step in answer.steps:
        click.echo(_line(step, answer))
    if answer.notice:
        click.echo(answer.notice, err=True)


def _open(index_folder: Path | None, project: str | None) -> "CodeGraph":
    from cortex_pipelines.retrieval.graph.open_graph import index_graph, project_graph

    if index_folder is not None:
        from cortex_pipelines.api import load_parameters

        return index_graph(index_folder, load_parameters())
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.versioning.root import find_root

    return project_graph(open_project(find_root()), project)


def _line(step: "AnswerStep", answer: "GraphAnswer") -> str:
    span = f":{step.start_line}-{step.end_line}" if step.name else ""
    symbol = f"  {step.name}" if step.name else ""
    if step.relation == "changes_with":
        return f"{step.path}{span}  changes with {step.of} ({step.weight} commits)"
    distance = f" ({step.distance} steps away)" if step.distance > 1 and answer.question != "path" else ""
    line_numbers = ", ".join(map(str, step.lines[:5])) + (", …" if len(step.lines) > 5 else "")
    lines = f", line{'s' * (len(step.lines) > 1)} {line_numbers}" if line_numbers else ""
    return f"{step.path}{span}{symbol}  {step.relation} {step.of}{lines} [{step.resolution}]{distance}"
