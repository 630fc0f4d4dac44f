"""Commands that say why a model answers as it does."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cortex_pipelines.cli.console import AS_JSON, EXISTING_FILE, PATH, current_project, print_json, print_table, say


@click.group(epilog='Example: cortex explain route "Rotate the leaked API key"')
def explain() -> None:
    """Say why a model answers as it does."""


@explain.command(epilog='Example: cortex explain route "Rotate the leaked API key" --json')
@click.argument("task")
@click.option("--model", type=PATH, help="Folder of `cortex router train`; without it the project's champion.")
@AS_JSON
def route(task: str, model: Path | None, as_json: bool) -> None:
    """Show what each word of TASK counts for, the nearest known tasks, and what would change the master."""
    from cortex_pipelines.cli.routing import opened_router
    from cortex_pipelines.routing.serving.explanation import explain as explain_routing

    explanation = explain_routing(opened_router(model), task).as_json()
    if as_json:
        print_json(explanation)
        return
    click.echo(str(explanation["master"]))
    print_table(("word", "weight"), [(row["word"], f"{row['weight']:+.3f}") for row in explanation["attributions"]])
    for row in explanation["evidence"]:
        click.echo(f"{row['similarity']:.2f}  {row['master']}  {row['text'][:100]}")
    if changed := explanation["counterfactual"]:
        click.echo(f"without {', '.join(changed['without'])}: {changed['master']}")


@explain.command(epilog='Example: cortex explain predict "Rotate the leaked API key" --master security')
@click.argument("task")
@click.option("--master", required=True, help="Master to predict for.")
@AS_JSON
def predict(task: str, master: str, as_json: bool) -> None:
    """Show what each feature of TASK adds to its predicted outcome at a master, and the most alike earlier tasks.

    Only for predictors that read the task, and where later tasks show that the heaviest features
    matter more than random ones.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.routing.outcomes.explanation import explain_outcomes
    from cortex_pipelines.signing.manifest import open_verified_output

    project = current_project()
    predictors, _ = open_verified_output(project, "outcome_predictors")
    parameters = load_parameters(project.root)
    explanation = explain_outcomes(
        task,
        master,
        datetime.now(UTC),
        project.output("coordination_tables", None),
        predictors,
        project.output("outcome_evaluation", None),
        parameters,
    )
    if as_json:
        print_json(explanation)
        return
    for name, target in explanation["targets"].items():
        click.echo(f"{name}: {target['predicted']:.4g} by {target['candidate']}")
        if target["attributions"] is None:
            say(target["why"])
            continue
        rows = [(row["feature"], str(row["value"]), f"{row['weight']:+.3f}") for row in target["attributions"]]
        print_table(("feature", "value", f"adds ({target['scale']})"), rows)
    for row in explanation["evidence"]:
        outcomes = ", ".join(f"{name} {value:.4g}" for name, value in row["outcomes"].items() if value is not None)
        click.echo(f"{row['similarity']:.2f}  {outcomes}  {row['text'][:100]}")


@explain.command(epilog="Example: cortex explain defect src/search.py --line 12")
@click.argument("path", type=EXISTING_FILE)
@click.option("--line", type=click.IntRange(1), help="Line of the statement; by default that of the most suspect one.")
@AS_JSON
def defect(path: Path, line: int | None, as_json: bool) -> None:
    """Show why a statement of PATH is suspect: which edits make the code likelier, and by how much.

    A gain is in nats, under the base language model: 2.3 make the code ten times as likely.
    """
    from cortex_pipelines.cli.learned import opened_recogniser
    from cortex_pipelines.learned.defects.explanation import explain_statement

    explanation = explain_statement(path, line, *opened_recogniser())
    if as_json:
        print_json(explanation)
        return
    location = f"{explanation['path']}:{explanation['line']}"
    click.echo(f"{location}: {explanation['code']}")
    click.echo(f"rank {explanation['rank']:g} of {explanation['statements']} by {explanation['way']}")
    print_table(("way", "above the others"), [(row["way"], f"{row['above']:+.1f}") for row in explanation["ways"]])
    print_table(
        ("gain", "kind", "code"), [(f"{row['gain']:+.2f}", row["kind"], row["code"]) for row in explanation["edits"]]
    )


@explain.command(epilog="Example: cortex explain anomaly requests.csv --time 2026-01-12T05:00:00Z")
@click.argument("series", type=EXISTING_FILE)
@click.option("--time", "time_text", help="Time of the value; by default the last.")
@AS_JSON
def anomaly(series: Path, time_text: str | None, as_json: bool) -> None:
    """Show how a value of SERIES (columns time and value) stands to its forecast from those before it, and why.

    A season is shown where it tells earlier values better than a random lag does.
    """
    from cortex_pipelines.learned.forecast.explanation import explain_value
    from cortex_pipelines.learned.forecast.series import read_series
    from cortex_pipelines.timestamps import moment

    time = moment(time_text) if time_text is not None else None
    if time_text is not None and time is None:
        raise click.UsageError(f"--time: {time_text!r} is not a time of a known form")
    answer = explain_value(read_series(series), time)
    if as_json:
        print_json(answer)
        return
    position = f"{answer['outside']} the band" if answer["outside"] else "inside the band"
    click.echo(f"{answer['time']}: {answer['value']:.6g} is {position}, {answer['low']:.6g} to {answer['high']:.6g}")
    parts = [("level", answer["level"]), *((f"season of {row['lag']}", row["value"]) for row in answer["seasons"])]
    parts += [("latest values", answer["rest"]), ("forecast", answer["mean"])]
    print_table(("part", "value"), [(name, f"{value:.6g}") for name, value in parts])
    say(f"errors as large: {answer['chance']:.1%} of earlier ones; by {answer['winner']}", *answer["notes"])
