"""``cortex anomalies``: score records of a log by fitted detectors, or any table by itself."""

import json
from pathlib import Path

import click


class _Anomalies(click.Group):
    """A group whose first argument may be a file, for ``anomalies records FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks = not args or args[0] in self.commands or args[0] in ("-h", "--help")
        return super().parse_args(ctx, args if asks else ["records", *args])


@click.group(cls=_Anomalies, epilog="Example: cortex anomalies score pump.csv --out scores.csv")
def anomalies() -> None:
    """Score records of a watched log, or of any table of measurements.

    Without a command, FILE is taken as that of `cortex anomalies records`.
    """


@anomalies.command(epilog="Example: cortex anomalies records new/heartbeat-history.jsonl")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--log", help="Watched log that FILE continues; defaults to the log of the same name.")
def records(file: Path, log: str | None) -> None:
    """Score the records in FILE by the fitted detectors; print a summary and each alert as JSON.

    FILE holds new records of a log that `worker_anomalies` watches. A window of records is an alert
    when its score exceeds a threshold that normal windows rarely reach.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.monitoring.anomalies.worker_scores import score_file
    from cortex_pipelines.signing.verified_output import open_verified_output
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    folder, version = open_verified_output(project, "worker_anomalies")
    watched = score_file(file, log, folder, load_parameters(project.root))
    values = watched.as_json()
    alerts = values.pop("alerts")
    summary = {**values, "alerts": len(alerts), "model_version": version}
    for row in (summary, *alerts):
        click.echo(json.dumps(row, ensure_ascii=False))


@anomalies.command(epilog="Example: cortex anomalies score pump.csv --out scores.csv")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--fit-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.15,
    show_default=True,
    help="Share of the records, the earliest, that are usual and learnt from.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File for timestamp, score and alarm of each record."
)
def score(file: Path, fit_share: float, out: Path) -> None:
    """Score the records of the table FILE (CSV) and raise alarms on about 1 % of usual ones.

    FILE has a column timestamp and one or more of numbers; other columns are ignored. A later
    record is judged by its past only. No project is needed.
    """
    from cortex_pipelines.monitoring.anomalies.table_scores import score_table

    scored = score_table(file, fit_share, out)
    click.echo(
        f"{scored.records:,} records, {scored.learnt:,} learnt from, {scored.alarms:,} alarms; "
        f"columns: {', '.join(scored.columns)}",
        err=True,
    )
    if scored.ignored:
        click.echo(f"ignored, as they hold no numbers: {', '.join(scored.ignored)}", err=True)
