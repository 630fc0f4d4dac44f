"""Commands on learned models: what was compared, and which candidate is used."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortex_pipelines.cli.console import (
    AS_JSON,
    AS_JSON_LIST,
    EXISTING_FILE,
    current_project,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from cortex_pipelines.learned.defects.likelihood import CodeModel
    from cortex_pipelines.learned.defects.predict import Recogniser
    from cortex_pipelines.learned.settings import DefectSettings


@click.command(epilog="Example: cortex leaderboard --json")
@AS_JSON_LIST
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
@click.argument("series", type=EXISTING_FILE)
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
    from cortex_pipelines.versioning.root import ProjectError, find_root

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
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="PATH...")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Lines of the table.")
@AS_JSON_LIST
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
