"""Commands on learned models: what was compared, which candidate is used, and why a model answers as it does."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.cli.console import (
    AS_JSON,
    AS_JSON_LIST,
    EXISTING_INPUT,
    PATH,
    TASK,
    NamedPath,
    current_project,
    in_project,
    print_json,
    print_table,
    say,
)
from cortex_pipelines.versioning.root import ProjectError, find_root

if TYPE_CHECKING:
    from cortex_pipelines.learned.defects.likelihood import CodeModel
    from cortex_pipelines.learned.defects.predict import Recogniser
    from cortex_pipelines.learned.settings import DefectSettings


@click.command(epilog="Example: cortex leaderboard --json")
@AS_JSON_LIST
@in_project
def leaderboard(as_json: bool) -> None:
    """Compare the candidates of each learned task with its simplest one, and show which is adopted.

    A candidate is adopted if the interval of its difference to the simplest lies above zero; a
    positive difference is better. The intervals of a task's differences hold together. Seconds and
    megabytes (peak of the process) are those of the last training on this machine.
    """
    from cortex_pipelines.tracking.leaderboard import HEAD, rendered
    from cortex_pipelines.tracking.leaderboard import leaderboard as read

    rows = read(current_project())
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("nothing was compared yet; `cortex run outcome_evaluation --upstream` compares predictors of outcomes")
    print_table(HEAD, rendered(rows))


@click.command(epilog="Example: cortex forecast requests.csv --horizon 24")
@click.argument("series", type=EXISTING_INPUT)
@click.option("--horizon", type=int, help="Steps ahead. By default a season of the series, at most 24.")
@AS_JSON
def forecast(series: Path, horizon: int | None, as_json: bool) -> None:
    """Forecast SERIES, a CSV file with the columns time and value, with a band of 80 %.

    Several ways forecast the latest values from what came before them; a combination by their
    errors there is used, unless one is clearly better. Seasons are found in the series. The LSTM
    takes part in a project where `performance_analyser` is made.
    """
    from cortex_pipelines.learned.forecast.predict import forecast_series
    from cortex_pipelines.learned.forecast.series import read_series

    trained = None
    try:
        folder = find_root() / "data" / "performance_analyser"
    except ProjectError:
        folder = None
    if folder is not None and (folder / "network.json").exists():
        from cortex_pipelines.signing.manifest import open_verified_output

        trained, _ = open_verified_output(current_project(), folder.name)
    answer = forecast_series(read_series(series), horizon, trained)
    if as_json:
        print_json(answer)
        return
    print_table(
        ("time", "mean", "low", "high"),
        ([row["time"], *(f"{row[name]:.6g}" for name in ("mean", "low", "high"))] for row in answer["forecast"]),
    )
    seasons = f"seasons of {' and '.join(map(str, answer['seasons']))} steps" if answer["seasons"] else "no season"
    say(f"by {answer['winner']}, on {answer['origins']} origins; {seasons}", *answer["notes"])


@click.command(epilog="Example: cortex defects src/search.py --json")
@click.argument("paths", nargs=-1, required=True, type=NamedPath(path_type=Path, exists=True), metavar="PATH...")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Lines of the table.")
@AS_JSON_LIST
@in_project
def defects(paths: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Rank the statements of files by how likely each is wrong, in six languages.

    A statement is suspect if a small edit makes the code much likelier to the base language model;
    where `pattern_recogniser` is made, by the way that won there. The score orders statements, it is
    no probability; `shown` says whether an alarm is worth a look by itself.
    """
    from cortex_pipelines.learned.defects.predict import rank_statements

    recogniser, model, settings = opened_recogniser()
    ranking = rank_statements(paths, recogniser, model, settings)
    for sentence in ranking.left_out:
        click.echo(sentence, err=True)
    if as_json:
        print_json(ranking.rows)
        return
    print_table(
        ("place", "score", "kind", "likelier"),
        (
            [f"{row['path']}:{row['line']}", f"{row['score']:.3f}", row["kind"], row["suggestion"] or ""]
            for row in ranking.rows[:top]
        ),
    )
    say(f"{len(ranking.rows)} statements, by {recogniser.way}; alarms are off: on real fixes few are right")


def opened_recogniser() -> "tuple[Recogniser, CodeModel, DefectSettings]":
    """The project's recogniser (the plain way, where none is made), its base model and its settings."""
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.learned.defects.likelihood import CodeModel
    from cortex_pipelines.learned.defects.predict import FILE, Recogniser
    from cortex_pipelines.release.open_model import pinned_base
    from cortex_pipelines.signing.manifest import open_verified_output

    project = current_project()
    settings = load_parameters(project.root).defects
    recogniser = Recogniser()
    if (project.output("pattern_recogniser", None) / FILE).exists():
        recogniser = Recogniser.load(open_verified_output(project, "pattern_recogniser")[0])
    return recogniser, CodeModel(pinned_base(project), project.root, settings.threads), settings


@click.group(epilog='Example: cortex explain route "Rotate the leaked API key"')
def explain() -> None:
    """Say why a model answers as it does."""


@explain.command(epilog='Example: cortex explain route "Rotate the leaked API key" --json')
@click.argument("task", type=TASK)
@click.option("--model", type=PATH, help="Folder of `cortex router train`; without it the project's champion.")
@AS_JSON
def route(task: str, model: Path | None, as_json: bool) -> None:
    """Show what each word of TASK counts for, the nearest known tasks, and what would change the master."""
    from cortex_pipelines.cli.routing import opened_router

    if model is None:
        find_root()  # before seconds of imports
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
@click.argument("task", type=TASK)
@click.option("--master", required=True, help="Master to predict for.")
@AS_JSON
@in_project
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
@click.argument("path", type=NamedPath(path_type=Path, dir_okay=False, exists=True))
@click.option("--line", type=click.IntRange(1), help="Line of the statement; by default that of the most suspect one.")
@AS_JSON
@in_project
def defect(path: Path, line: int | None, as_json: bool) -> None:
    """Show why a statement of PATH is suspect: which edits make the code likelier, and by how much.

    A gain is in nats, under the base language model: 2.3 make the code ten times as likely.
    """
    from cortex_pipelines.learned.defects.predict import explain_statement

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
@click.argument("series", type=EXISTING_INPUT)
@click.option("--time", "time_text", help="Time of the value; by default the last.")
@AS_JSON
def anomaly(series: Path, time_text: str | None, as_json: bool) -> None:
    """Show how a value of SERIES (columns time and value) stands to its forecast from those before it, and why.

    A season is shown where it tells earlier values better than a random lag does.
    """
    from cortex_pipelines.learned.forecast.predict import explain_value
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
