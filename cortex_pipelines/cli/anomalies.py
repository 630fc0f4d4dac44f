"""``cortex anomalies``: score log records by the fitted detectors."""

import json
from pathlib import Path

import click


@click.command(epilog="Example: cortex anomalies new/heartbeat-history.jsonl")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--log", help="Watched log that FILE continues; defaults to the log of the same name."
)
def anomalies(file: Path, log: str | None) -> None:
    """Score the records in FILE by the fitted detectors; print a summary and each alert as JSON.

    FILE holds new records of a log that `worker_anomalies` watches. A window of records is an alert
    when its score exceeds a threshold that normal windows rarely reach.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.operations.inference.watching import watch_file
    from cortex_pipelines.operations.made import made_output
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    folder, version = made_output(project, "worker_anomalies")
    watched = watch_file(file, log, folder, load_parameters(project.root))
    shown = watched.as_json()
    alerts = shown.pop("alerts")
    summary = {**shown, "alerts": len(alerts), "model_version": version}
    for row in (summary, *alerts):
        click.echo(json.dumps(row, ensure_ascii=False))
