"""``cortex forget`` and ``cortex remove``: exclude people, paths and projects."""

import sys
from pathlib import Path

import click

from cortex_pipelines.cli.console import FILE, current_instance, current_project, say
from cortex_pipelines.versioning.root import find_root


@click.command(epilog="Example: cortex forget --path 'src/legacy/**' --project flask")
@click.option("--author", help="Mail address; only keyed pseudonyms of it are stored.")
@click.option("--user", help="User of the gateway, as `GET /audit` names them; stored likewise.")
@click.option("--path", help="Paths by pattern, as in .gitignore; / in front for the root.")
@click.option("--repository", help="A source as in params.yaml, for example git:../shop.")
@click.option("--project", "partition", help="Only in this project.")
@click.option("--purge", is_flag=True, help="Delete former versions, after `cortex run`.")
@click.option("--weights", is_flag=True, help="With --purge: weights of marked models, too.")
@click.option("--certificate", type=FILE, help="Write a signed account of a deletion and its progress.")
@click.option("--deletion", help="With --certificate: which; otherwise the last one.")
def forget(
    author: str | None,
    user: str | None,
    path: str | None,
    repository: str | None,
    partition: str | None,
    purge: bool,
    weights: bool,
    certificate: Path | None,
    deletion: str | None,
) -> None:
    """Exclude something from all data from now on, and list the models trained on it.

    First run `cortex forget --author ADDRESS` (or --user, --path, --repository), then `cortex run`, which rebuilds the
    data sets without it, then `cortex forget --purge`, which deletes earlier versions, then `cortex forget
    --certificate FILE`. An author is also forgotten as a user of that name.
    """
    if deletion and not certificate:
        raise click.UsageError("--deletion requires --certificate")
    if weights and not purge:
        raise click.UsageError("--weights requires --purge")
    if purge:
        _purge(weights)
    if certificate:
        from cortex_pipelines.projects.certificate import certify

        content = certify(current_project(), certificate, deletion)
        say(*(f"outstanding: {sentence}" for sentence in content["outstanding"]))
        say(
            f"{certificate} says what became of deletion {content['id']}; with {certificate}.sig beside it "
            "`cortex verify` says whether it was changed"
        )
    if purge or certificate:
        return
    if author and user:
        raise click.UsageError("--author and --user are two requests: an author is a user, too")
    import getpass
    from datetime import UTC, datetime

    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.projects import certificate as deletion_certificate
    from cortex_pipelines.projects import erase, forget

    root, by = find_root(), getpass.getuser()
    stones = forget.create_tombstones(root, author, path, repository, partition, user)
    new = forget.add_tombstones(root, stones)
    deleted = erase.erase(root, load_parameters(root), stones, author or user)
    project = current_project()

    def affected_projects(*, of_users: bool) -> list[str]:
        projects = {stone.project for stone in stones if (stone.user is not None) == of_users}
        return list(project.partitions) if None in projects else [name for name in projects if name]

    models = forget.models_trained_on(project, affected_projects(of_users=False), affected_projects(of_users=True))
    timestamp = datetime.now(UTC).isoformat(timespec="seconds")
    forget.mark_models(project, models, by, timestamp, "trained on what is forgotten")
    for model in models:
        click.echo(f"{model.name}/{model.number}\tmade from {', '.join(model.projects)}")
    name = deletion_certificate.record_deletion(project, stones, deleted, models, by)
    counts = ", ".join(f"{count} {kind}" for kind, count in deleted.items() if count) or "nothing else"
    say(
        f"{len(new)} tombstones written to params.yaml, {len(models)} model versions marked, "
        f"deleted: {counts} (deletion {name}); now `cortex run`, then `cortex forget --purge`"
    )


def _purge(weights: bool) -> None:
    from cortex_pipelines.orchestration.location import sync_project
    from cortex_pipelines.projects import certificate, erase, forget
    from cortex_pipelines.retrieval.notes import project_notes

    project, instance = current_project(), current_instance()
    purged = forget.purge(project, instance, weights)
    mirrors = erase.drop_mirrors(project.root)
    project_notes.wipe_answers(project.root)
    sync_project(project, instance)
    counts = {
        "bytes of DVC's cache": purged.dvc_bytes,
        "MLflow runs": purged.mlflow_runs,
        "Dagster runs": purged.dagster_runs,
        "row caches": purged.row_caches,
        "bytes of search indexes": purged.index_bytes,
        "copies of sources": mirrors,
        "weights": list(purged.weights),
    }
    certificate.record_purge(project, counts)
    say(
        f"deleted: {purged.dvc_bytes:,} bytes of DVC's cache, {purged.mlflow_runs} MLflow runs, "
        f"{purged.dagster_runs} Dagster runs with their previews, {purged.row_caches} row caches, "
        f"{purged.index_bytes:,} bytes of search indexes, {mirrors} copies of sources, weights "
        f"of {len(purged.weights)} marked models, the cached answers of the memories"
    )
    if addresses := certificate.not_rebuilt(project):
        say(
            f"{len(addresses)} outputs may still hold what was forgotten ({addresses[0]}…): `cortex run`, then "
            "`cortex forget --purge` again"
        )
    for name, url in purged.remotes:
        say(
            f"the remote {name} ({url}) may still hold former versions; `dvc gc --workspace --cloud --remote {name}` "
            "deletes everything there that is not in this workspace, including versions of other branches and people"
        )


@click.command(epilog="Example: cortex remove flask --dry-run")
@click.argument("project")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--purge", is_flag=True, help="Also its notes, feedback, weights, and former versions of all projects.")
def remove(project: str, dry_run: bool, yes: bool, purge: bool) -> None:
    """Take PROJECT out of params.yaml, the locks, data/, the indexes and Dagster's partitions.

    The ledger of releases and the audit log keep what they say of it.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.orchestration.location import sync_project
    from cortex_pipelines.projects import erase, forget
    from cortex_pipelines.projects.remove import plan_removal, remove_project

    workspace = current_project()
    root, removal = workspace.root, plan_removal(workspace, project)
    say(*removal.describe(purge))
    if dry_run:
        say("nothing was removed (--dry-run)")
        return
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {project}?", abort=True, err=True)
    deleted = erase.erase_project(root, load_parameters(root), project) if purge else {}
    remove_project(workspace, removal)
    remaining, instance = current_project(), current_instance()
    sync_project(remaining, instance)
    if purge:
        purged = forget.purge(remaining, instance)
        weights = forget.drop_weights(remaining, lambda tags: tags["partition"] == project)
        sync_project(remaining, instance)
        say(
            f"deleted: {purged.dvc_bytes:,} bytes of DVC's cache, {purged.mlflow_runs} MLflow runs, "
            f"{purged.dagster_runs} Dagster runs, {purged.row_caches} row caches, weights of {len(weights)} models"
        )
        say(*(f"the remote {remote} ({url}) may still hold former versions" for remote, url in purged.remotes))
    counts = ", ".join(f"{count} {kind}" for kind, count in deleted.items() if count)
    say(
        f"{project} is removed{f'; deleted: {counts}' if counts else ''}; commit params.yaml, "
        "dvc.yaml, the locks and data/parameters"
    )
