"""Trials of a hyperparameter search as nested MLflow runs, with their importance."""

import json
from pathlib import Path
from typing import Any

from cortex_pipelines.hyperparameter_search import TRIALS_FILE

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


def record_trials(client: Any, experiment: str, parent: str, folder: Path) -> None:
    """Log each trial as a child of the output's run, if there was a search.

    Each has the trial's parameters, its ``value`` (with every step on the way), and the tags ``trial``, ``trial_state``
    and ``best``; the parent gets ``importance.png``.
    """
    file = folder / TRIALS_FILE
    if not file.exists():
        return
    search = json.loads(file.read_text(encoding="utf-8"))
    for trial in search["trials"]:
        _record(client, experiment, parent, trial, best=trial["number"] == search["best"])
    client.log_artifact(parent, str(file))
    if search["importance"]:
        client.log_figure(parent, _figure(search), "importance.png")


def _record(client: Any, experiment: str, parent: str, trial: dict[str, Any], *, best: bool) -> None:
    from mlflow.entities import Metric, Param

    run = client.create_run(
        experiment,
        run_name=f"trial {trial['number']}",
        tags={
            "mlflow.parentRunId": parent,
            "trial": str(trial["number"]),
            "trial_state": trial["state"],
            "best": str(best).lower(),
        },
    )
    start_time, run_id = run.info.start_time, run.info.run_id
    steps = [Metric("value", value, start_time, step) for step, value in trial["steps"]]
    last = [] if steps or trial["value"] is None else [Metric("value", trial["value"], start_time, 0)]
    client.log_batch(
        run_id, metrics=steps + last, params=[Param(name, str(value)) for name, value in trial["parameters"].items()]
    )
    client.set_terminated(run_id, _STATUS[trial["state"]])


def _figure(search: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    shares = sorted(search["importance"].items(), key=lambda pair: (pair[1], pair[0]))
    figure = Figure(figsize=(6, 1 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shares], [share for _, share in shares])
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of the differences in {search['objective']} (fANOVA)")
    return figure
