"""``cortex forget``: exclude authors, paths or repositories from all data."""

import click


@click.command(epilog="Example: cortex forget --path 'src/legacy/**' --project flask")
@click.option("--author", help="Mail address; only a keyed pseudonym of it is stored.")
@click.option("--path", help="Paths by pattern: * within a folder, ** over folders.")
@click.option("--repository", help="A source as in params.yaml, for example git:../shop.")
@click.option("--project", "partition", help="Only in this project.")
@click.option("--purge", is_flag=True, help="Delete former versions, after `cortex run`.")
def forget(
    author: str | None,
    path: str | None,
    repository: str | None,
    partition: str | None,
    purge: bool,
) -> None:
    """Exclude something from all data from now on, and list the models trained on it.

    First run `cortex forget --author ADDRESS` (or --path, --repository), then `cortex run`, which
    rebuilds the data sets without it, then `cortex forget --purge`, which deletes earlier versions.
    """
    if purge:
        _purge()
        return
    import getpass
    from datetime import UTC, datetime

    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.operations import memories
    from cortex_pipelines.operations.projects import forgetting
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    stones = forgetting.tombstones(root, author, path, repository, partition)
    new = forgetting.bury(root, stones)
    entries = memories.bury(root, stones)
    project = open_project(root)
    named = {stone.project for stone in stones}
    models = forgetting.trained_on(
        project, project.partitions if None in named else [name for name in named if name]
    )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    forgetting.mark(project, models, getpass.getuser(), at, "trained on what is forgotten")
    for model in models:
        click.echo(f"{model.name}/{model.number}\tmade from {', '.join(model.projects)}")
    click.echo(
        f"{len(new)} tombstones written to params.yaml, {len(models)} model versions marked, "
        f"{entries} entries of memories deleted; now `cortex run`, then `cortex forget --purge`",
        err=True,
    )


def _purge() -> None:
    from cortex_pipelines.operations import memories
    from cortex_pipelines.operations.projects import forgetting
    from cortex_pipelines.orchestration.location import open_location
    from cortex_pipelines.orchestration.syncing import sync_project
    from cortex_pipelines.versioning.dagster.instance import open_instance
    from cortex_pipelines.versioning.root import find_root

    project, definitions = open_location(find_root())
    instance = open_instance(project.root)
    done = forgetting.purge(project, instance)
    memories.wipe_answers(project.root)
    sync_project(project, definitions, instance)
    click.echo(
        f"deleted: {done.dvc_bytes:,} bytes of DVC's cache, {done.mlflow_runs} MLflow runs, "
        f"{done.dagster_runs} Dagster runs with their previews, {done.row_caches} row caches, "
        f"{done.index_bytes:,} bytes of search indexes, the cached answers of the memories",
        err=True,
    )
    for name, url in done.remotes:
        click.echo(
            f"the remote {name} ({url}) may still hold former versions; `dvc gc --workspace "
            f"--cloud --remote {name}` deletes everything there that is not in this workspace, "
            "including versions of other branches and people",
            err=True,
        )
