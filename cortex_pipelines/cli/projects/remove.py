"""``cortex remove``."""

import sys

import click


@click.command(epilog="Example: cortex remove flask --dry-run")
@click.argument("project")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--purge", is_flag=True, help="Also delete its notes, feedback, weights, and former versions of all projects."
)
def remove(project: str, dry_run: bool, yes: bool, purge: bool) -> None:
    """Take PROJECT out of params.yaml, the locks, data/, the indexes and Dagster's partitions.

    The ledger of releases and the audit log keep what they say of it.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.projects import erase
    from cortex_pipelines.projects.remove import plan_removal, remove_project
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    workspace = open_project(root)
    removal = plan_removal(workspace, project)
    for line in removal.describe(purge):
        click.echo(line, err=True)
    if dry_run:
        click.echo("nothing was removed (--dry-run)", err=True)
        return
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {project}?", abort=True, err=True)
    deleted = erase.erase_project(root, load_parameters(root), project) if purge else {}
    remove_project(workspace, removal)
    _sync_and_purge(project, purge)
    counts = ", ".join(f"{count} {kind}" for kind, count in deleted.items() if count)
    click.echo(
        f"{project} is removed{f'; deleted: {counts}' if counts else ''}; commit params.yaml, "
        "dvc.yaml, the locks and data/parameters",
        err=True,
    )


def _sync_and_purge(name: str, purge: bool) -> None:
    """Update Dagster, and purge earlier versions if requested."""
    from cortex_pipelines.orchestration.location import open_location
    from cortex_pipelines.orchestration.syncing import sync_project
    from cortex_pipelines.projects import forget
    from cortex_pipelines.versioning.dagster.instance import open_instance
    from cortex_pipelines.versioning.root import find_root

    project, definitions = open_location(find_root())
    instance = open_instance(project.root)
    sync_project(project, definitions, instance)
    if not purge:
        return
    purged = forget.purge(project, instance)
    weights = forget.drop_weights(project, lambda tags: tags["partition"] == name)
    sync_project(project, definitions, instance)
    click.echo(
        f"deleted: {purged.dvc_bytes:,} bytes of DVC's cache, {purged.mlflow_runs} MLflow runs, "
        f"{purged.dagster_runs} Dagster runs, {purged.row_caches} row caches, weights of "
        f"{len(weights)} models",
        err=True,
    )
    for remote, url in purged.remotes:
        click.echo(f"the remote {remote} ({url}) may still hold former versions", err=True)
