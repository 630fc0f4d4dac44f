"""Commands on routers and tasks."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.routing.serving.router import Router


@click.command("off-policy", epilog="Example: cortex off-policy decisions.jsonl --json")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--low", type=float, help="Smallest possible reward, with --high.")
@click.option("--high", type=float, help="Largest possible reward, with --low.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def off_policy(log: Path, low: float | None, high: float | None, as_json: bool) -> None:
    """Estimate a new policy's mean reward from the decisions of another in LOG.

    LOG holds one decision a line: its reward, the propensity (the probability with which it was
    taken) and the target (the probability with which the new policy would take it). Estimates are
    self-normalised (snips) and plain (ips) inverse propensity scores with 95 % intervals. Where the
    log does not support them, the reason is printed too. Rewards are taken to lie in the range that
    the log shows, or between --low and --high.
    """
    from cortex_pipelines.routing.evaluation.logged_policies import value_from_log

    worth = value_from_log(log, low, high)
    if as_json:
        click.echo(json.dumps(asdict(worth)))
        return
    for name, figures in (("snips", worth.snips), ("ips", worth.ips)):
        if figures.value is not None:
            click.echo(f"{name:<6} {figures.value:.4g} ({figures.low:.4g} to {figures.high:.4g})")
    click.echo(f"effective sample size {worth.effective:.1f}")
    if worth.refused:
        click.echo(f"refused: {worth.refused}")


@click.command(epilog='Example: cortex predict "Rotate the leaked API key" --master security')
@click.argument("task")
@click.option("--master", help="Master to predict for; without it, every master of the logs.")
def predict(task: str, master: str | None) -> None:
    """Predict success, duration, tokens and complexity of TASK, as JSON.

    `models` names the model behind each prediction: `constant` is the same for all tasks, `master`
    the usual value at the master; only `linear` reads the task.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.routing.outcomes.predict import expect
    from cortex_pipelines.signing.manifest import open_verified_output
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    predictors, version = open_verified_output(project, "outcome_predictors")
    predictions = expect(
        task,
        master,
        datetime.now(UTC),
        project.output("coordination_tables", None),
        predictors,
        project.output("outcome_evaluation", None),
        load_parameters(project.root).log_tables,
    )
    for row in predictions:
        click.echo(json.dumps({**row, "model_version": version}, ensure_ascii=False))


@click.command(epilog="Example: cortex review 3fa2b81c09 security --by anna")
@click.argument("task", required=False)
@click.argument("master", required=False)
@click.option("--by", help="Who decides; a pseudonym is kept. By default whoever is logged in.")
@click.option("--drop", is_flag=True, help="Delete TASK without an answer.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def review(task: str | None, master: str | None, by: str | None, drop: bool, as_json: bool) -> None:
    """List the tasks that the router left to a person, or decide that TASK belongs to MASTER.

    The most informative come first: those between two masters, and those whose guess the similar
    past tasks speak against. The gateway keeps them where `serving.review` of params.yaml is true.
    An answer is a record of the logs: `cortex update` pins it, and the next router learns from it.
    """
    import getpass

    from cortex_pipelines.serving import reviews
    from cortex_pipelines.versioning.root import find_root

    if task and bool(master) == drop:
        raise click.UsageError("give TASK and MASTER, or TASK and --drop")
    if drop and not task:
        raise click.UsageError("--drop goes with TASK")
    root = find_root()
    if task and drop:
        reviews.close_review(root, task)
        click.echo(f"{task} is deleted", err=True)
    elif task and master:
        path = reviews.decide(root, task, master, by or getpass.getuser())
        click.echo(f"{task} belongs to {master}, says {path.name}; now `cortex update`", err=True)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cortex_pipelines.serving.reviews import WAITING, review_queue, waiting_rows
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    if as_json:
        waiting = review_queue(root).open()
        click.echo(json.dumps([asdict(task) for task in waiting], indent=1))
        return
    rows = waiting_rows(root)
    if not rows:
        click.echo("no task waits for a person")
        return
    table = Table(*WAITING, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)  # people wrote the texts


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


_CHANCES = ("p_value", "p_loss", "p_corrected")


@click.group(epilog="Example: cortex router train coordination --out my-router")
def router() -> None:
    """Train a task router outside the asset graph, for an experiment or a notebook."""


@router.command(epilog="Example: cortex router train coordination --out my-router")
@click.argument("logs", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the router.")
def train(logs: Path, out: Path) -> None:
    """Train on all logs under LOGS and write a folder for `cortex route --model`."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.routing.router_from_logs import train_on_logs

    trained = train_on_logs(logs, out, load_parameters())
    click.echo(
        f"{'model':<10} {'accuracy':>8} {'loss':>7} {'ECE':>6}  {'against':<10} gained lost "
        "  p        p(loss)  p(Holm)  adopted"
    )
    for step in trained.steps:
        chance = ["" if step[p] is None else f"{step[p]:.2g}" for p in _CHANCES]
        click.echo(
            f"{step['model']:<10} {step['accuracy']:>8.4f} {step['loss']:>7.4f} {step['ece']:>6.4f}"
            f"  {step['against'] or '':<10} {step['gained']:>6} {step['lost']:>4}   "
            f"{chance[0]:<8} {chance[1]:<8} {chance[2]:<8} {'yes' if step['adopted'] else 'no'}"
        )
    click.echo(
        f"{trained.tasks} tasks, {trained.masters} masters, out of fold; {trained.seconds:.0f} s. "
        f'Try: cortex route --model {out} "a task"',
        err=True,
    )
