"""``cortex predict``: expected outcome of a task."""

import json
from datetime import UTC, datetime

import click


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
    from cortex_pipelines.signing.verified_output import open_verified_output
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
