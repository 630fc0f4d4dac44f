"""``cortex experiment``: compare two ways of answering a project on its requests."""

import json
from typing import Any, Unpack, get_args

import click

from cortex_pipelines.release.experiments.plan import ExperimentOptions, Metric


@click.group(epilog="Example: cortex experiment start shop champion base --share 0.5")
def experiment() -> None:
    """Compare two ways of answering a project on its requests (A/B, A/A)."""


@experiment.command(epilog="Example: cortex experiment start shop champion base --share 0.5")
@click.argument("project")
@click.argument("a")
@click.argument("b")
@click.option("--share", type=float, default=0.5, show_default=True, help="Share of users answered by B.")
@click.option(
    "--metric",
    type=click.Choice(get_args(Metric)),
    default="accepted",
    show_default=True,
    help="Share of requests to compare: answers accepted, or answered without failure.",
)
@click.option("--smallest", type=float, default=0.05, show_default=True, help="Smallest difference that matters.")
@click.option(
    "--most-answers", type=int, default=20_000, show_default=True, help="Answers after which it ends in any case."
)
@click.option(
    "--tolerance",
    type=float,
    default=0.02,
    show_default=True,
    help="Guardrail: share of failed, and of withheld, answers of B beyond those of A.",
)
@click.option("--slowest", type=float, help="Guardrail: seconds that 95 % of B's answers keep to.")
@click.option("--why", default="by hand", help="Reason, for the record.")
def start(project: str, a: str, b: str, **terms: Unpack[ExperimentOptions]) -> None:
    """Divide the users of PROJECT between A and B from the next request on.

    A and B are `champion` or a release's number, either with `:base`, `:context`, `:adapter` or
    `:both` for another way than the released one; `base` or `context` is answered without an
    adapter. With `+NAME` at its end prompts are made by the templates in `prompts/NAME`. The same
    twice is an A/A test. Nothing is promoted at its end.
    """
    from cortex_pipelines.serving.experiment_arms import start as begin
    from cortex_pipelines.serving.project_gateway import read_catalogue
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    plan = begin(root, read_catalogue(root).models, project, a, b, **terms)
    click.echo(f"{plan.describe()}; `cortex experiment status {project}`", err=True)


@experiment.command(epilog="Example: cortex experiment status shop --json")
@click.argument("project", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of text.")
def status(project: str | None, as_json: bool) -> None:
    """Show all experiments, or those of PROJECT, with what they have shown; the oldest first."""
    from cortex_pipelines.release.experiments import project_experiments
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    entries = [
        project_experiments.experiment_state(root, entry)
        for entry in project_experiments.experiment_log(root).entries()
        if project in (None, entry.plan.project)
    ]
    if as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    lines = [line for entry in entries for line in _lines(entry)]
    click.echo("\n".join(lines) or "no experiment yet; `cortex experiment start` begins one")


@experiment.command(epilog='Example: cortex experiment stop shop --why "seen enough"')
@click.argument("project")
@click.option("--why", default="by hand", help="Reason, for the record.")
def stop(project: str, why: str) -> None:
    """End the experiment of PROJECT and print what it showed; its champion answers again."""
    from cortex_pipelines.release.experiments import project_experiments
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    entry = project_experiments.stop(root, project, why)
    click.echo("\n".join(_lines(project_experiments.experiment_state(root, entry))))


def _lines(state: dict[str, Any]) -> list[str]:
    plan, arms, difference = state["plan"], state["arms"], state["difference"]
    lines = [f"{plan['id']}: {state['state']}" + (f", {state['reason']}" if state["reason"] else "")]
    for name in ("a", "b"):
        counts = arms[name]
        p95 = "" if counts["p95"] is None else f", 95 % within {counts['p95']:.2f} s"
        lines.append(
            f"  {name} {plan[name]}: {counts['users']} users, {counts['good']} of "
            f"{counts['answers']} {plan['metric']}, {counts['failed']} failed, "
            f"{counts['withheld']} withheld{p95}"
        )
    lines.append(
        f"  b less a {difference['value']:+.1%} ({difference['low']:+.1%} to "
        f"{difference['high']:+.1%}, at every look), smallest that matters {plan['smallest']:.1%}"
    )
    return lines
