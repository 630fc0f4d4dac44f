"""Commands on routers and tasks."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import (
    AS_JSON,
    AS_JSON_LIST,
    INPUT,
    NAMED,
    PATH,
    TASK,
    current_project,
    in_project,
    print_json,
    print_table,
    say,
)
from cortex_pipelines.cli.own_logs import KEEP_RARE, MAP, mapping_of, other_files, print_account, print_mapping
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.routing.serving.router import Router


@click.command("off-policy", epilog="Example: cortex off-policy decisions.jsonl --json")
@click.argument("log", type=INPUT)
@click.option("--low", type=float, help="Smallest possible reward, with --high.")
@click.option("--high", type=float, help="Largest possible reward, with --low.")
@AS_JSON
def off_policy(log: Path, low: float | None, high: float | None, as_json: bool) -> None:
    """Estimate a new policy's mean reward from the decisions of another in LOG.

    LOG holds one decision a line: its reward, the propensity (the probability with which it was taken) and the target
    (the probability with which the new policy would take it). Estimates are self-normalised (snips) and plain (ips)
    inverse propensity scores with 95 % intervals. Where the log does not support them, the reason is printed too.
    Rewards are taken to lie in the range that the log shows, or between --low and --high.
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
@click.argument("task", type=TASK)
@click.option("--master", help="Master to predict for; without it, every master of the logs.")
@in_project
def predict(task: str, master: str | None) -> None:
    """Predict success, duration, tokens and complexity of TASK, as JSON.

    `models` names the adopted candidate behind each prediction: `mean` is the same for all tasks,
    `mean_by_master` the usual value at the master; only `linear` and `lightgbm` read the task.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.routing.outcomes.predict import expect
    from cortex_pipelines.signing.manifest import open_verified_output

    project = current_project()
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
@click.option("--by", help="Who decides, stored as a pseudonym. By default the user that is logged in.")
@click.option("--drop", is_flag=True, help="Delete TASK without an answer.")
@AS_JSON_LIST
@in_project
def review(task: str | None, master: str | None, by: str | None, drop: bool, as_json: bool) -> None:
    """List the tasks that the router left to a person, or decide that TASK belongs to MASTER.

    The most informative come first: those between two masters, and those whose guess the similar
    past tasks speak against. The gateway keeps them where `serving.review` of params.yaml is true.
    An answer is a record of the logs: `cortex update` pins it, and the next router learns from it.
    """
    import getpass

    from cortex_pipelines.serving import reviews

    if task and bool(master) == drop:
        raise click.UsageError("give TASK and MASTER, or TASK and --drop")
    if drop and not task:
        raise click.UsageError("--drop requires TASK")
    root = find_root()
    if task and drop:
        reviews.close_review(root, task)
        say(f"{task} is deleted")
    elif task and master:
        path = reviews.decide(root, task, master, by or getpass.getuser())
        say(f"{task} belongs to {master}, says {path.name}; now `cortex update`")
    elif as_json:
        print_json([asdict(waiting) for waiting in reviews.review_queue(root).open()])
    elif rows := reviews.waiting_rows(root):
        print_table(reviews.WAITING, rows)
    else:
        click.echo("no task waits for a person")


@click.command(epilog='Example: cortex route "Rotate the leaked API key"')
@click.argument("task", required=False, type=TASK)
@click.option("--file", "file", type=INPUT, help="JSON lines with tasks.")
@click.option("--out", type=PATH, help="File for the decisions of --file.")
@click.option("--model", type=PATH, help="Folder of `cortex router train`; without it the project's champion.")
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
        raise click.UsageError("--out requires --file")
    if model is None:
        find_root()  # before seconds of imports
    from cortex_pipelines.routing.serving.tasks import Task, read_tasks, route_lines

    tasks = read_tasks(file) if file is not None else [Task("null", str(task))]
    opened = opened_router(model)
    lines = route_lines(opened, tasks, explore)
    if task is not None:
        say(_decision_words(json.loads(lines[0]), opened.in_scope))
    text = "".join(f"{line}\n" for line in lines)
    wrong = sum(each.text is None for each in tasks)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    if tasks and wrong == len(tasks):
        say("no line holds a task; each says why")
        sys.exit(1)
    if out is not None:
        unread = f"; {wrong} lines without a task say why there" if wrong else ""
        say(f"{len(lines) - wrong} decisions in {out}{unread}")


def opened_router(model: Path | None) -> "Router":
    if model is None:
        from cortex_pipelines.release.open_model import open_router

        return open_router(current_project())
    from cortex_pipelines.routing.router_from_logs import open_model

    return open_model(model)


def _decision_words(decision: Mapping[str, Any], in_scope: float) -> str:
    """Who takes a task, how sure that is, who is next, and why, in a sentence; below ``in_scope`` nobody should."""
    master, alternatives = decision["master"], decision["alternatives"]
    if master is None:
        return "nobody is named: no keyword of the rules fits; a person decides"
    runner_up = f"; next is {alternatives[0]['master']}, {alternatives[0]['probability']:.1%}" if alternatives else ""
    reason = "which is too little" if decision["in_scope"] >= in_scope else "but the task is unlike all known ones"
    abstention = f", {reason}: a person decides" if decision["abstained"] else ""
    like = f"; most like “{decision['evidence'][0]['text'][:80]}”" if decision["evidence"] else ""
    return f"{master}, {decision['confidence']:.0%} sure{abstention}{runner_up}{like}"


_CHANCES = ("p_value", "p_loss", "p_corrected")


@click.group(epilog="Example: cortex router train coordination --out my-router")
def router() -> None:
    """Train a task router outside the asset graph, for an experiment or a notebook."""


@router.command(epilog="Example: cortex router train exports --map task=summary,master=agent --out my-router")
@click.argument("logs", type=NAMED)
@MAP
@KEEP_RARE
@click.option("--out", required=True, type=PATH, help="Folder for the router.")
def train(logs: Path, facts: str | None, keep_rare: bool, out: Path) -> None:
    """Train on all logs under LOGS and write a folder for `cortex route --model`.

    The logs are read as `cortex logs` shows. All shares are of tasks that the model had not seen.
    """
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.routing.dataset.accounting import account
    from cortex_pipelines.routing.router_from_logs import open_training_logs, train_on_opened
    from cortex_pipelines.routing.selection.held_out import percent

    parameters, mapping = load_parameters(), mapping_of(facts)
    opened = open_training_logs(logs, parameters, mapping)
    accounting = account(opened.events, opened.unread, keep_rare)
    if opened.other_files:
        click.echo(other_files(opened.other_files))
    print_mapping(opened, mapping)
    print_account(opened, accounting, keep_rare)
    trained = train_on_opened(opened, accounting, out, parameters)
    click.echo(f"\n{trained.held_out.sentence()}\n")
    width = max(len(score.master) for score in trained.held_out.masters)
    click.echo(f"{'master':<{width}} tasks precision recall  takes its tasks for")
    for score in trained.held_out.masters:
        precision = "" if score.precision is None else percent(score.precision)
        confusions = ", ".join(f"{master} {count}" for master, count in score.taken_for)
        click.echo(f"{score.master:<{width}} {score.tasks:>5} {precision:>9} {percent(score.recall):>6}  {confusions}")
    click.echo(
        f"\n{'model':<10} {'accuracy':>8} {'loss':>7} {'ECE':>6}  {'against':<10} gained lost "
        "  p        p(loss)  p(Holm)  adopted"
    )
    for step in trained.steps:
        chance = ["" if step[p] is None else f"{step[p]:.2g}" for p in _CHANCES]
        click.echo(
            f"{step['model']:<10} {step['accuracy']:>8.4f} {step['loss']:>7.4f} {step['ece']:>6.4f}"
            f"  {step['against'] or '':<10} {step['gained']:>6} {step['lost']:>4}   "
            f"{chance[0]:<8} {chance[1]:<8} {chance[2]:<8} {'yes' if step['adopted'] else 'no'}"
        )
    say(
        f"{trained.tasks} tasks, {trained.masters} masters, out of fold; {trained.seconds:.0f} s. "
        f'Try: cortex route --model {out} "a task"'
    )
