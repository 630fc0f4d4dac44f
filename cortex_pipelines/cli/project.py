"""Commands on a project: init, params, resolve, test-environment, backup, forget, remove."""

import sys
from pathlib import Path

import click

from cortex_pipelines.cli.console import (
    EXISTING_FILE,
    FILE,
    PATH,
    at_terminal,
    current_instance,
    current_project,
    in_project,
    say,
)
from cortex_pipelines.versioning.root import ProjectError, find_root, require_project


@click.command(epilog="Example: cortex init ../models --base Qwen/Qwen2.5-Coder-0.5B")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--base", help="Base model, as for `cortex models add`; asked for at a terminal.")
def init(folder: Path, base: str | None) -> None:
    """Create a project in FOLDER, outside of the repository of this package."""
    from cortex_pipelines.cli.bases import ask_base
    from cortex_pipelines.projects.base_model import add_base, base_note, base_source
    from cortex_pipelines.projects.create import create_project

    root = folder.resolve()
    if base is not None:
        base_source(base, root)  # a name that cannot be is refused before anything is written
    for sentence in create_project(root):
        say(sentence)
    if base is None and at_terminal():
        base = ask_base()
    if base is not None:
        try:
            for name, fact in add_base(root, base, measure=False):
                click.echo(f"  {name:<10} {fact}")
        except ValueError as error:
            again = f"the project is made; in it, `cortex models add` takes a base (instead of {base})"
            raise click.ClickException(f"{error}; {again}") from error
    if note := base_note(root):
        say(note)
    say("next: `cortex add NAME SOURCE`, then `cortex run --plan`")


@click.command(epilog="Example: cortex params itsdangerous --section datasets")
@click.argument("project", required=False)
@click.option("--section", help="Only this section, such as datasets.")
@click.option("--write", is_flag=True, help="Write the values to data/parameters, where DVC reads.")
@in_project
def params(project: str | None, section: str | None, write: bool) -> None:
    """Show the parameters in effect (for PROJECT), with the origin and meaning of each."""
    from cortex_pipelines.config import LAYOUT, resolve
    from cortex_pipelines.projects.parameter_file import origins
    from cortex_pipelines.versioning.parameters import FOLDER

    root = find_root()
    if write:
        from cortex_pipelines.catalog import open_project

        changed = open_project(root).effective.write(root)
        say(f"{FOLDER} {'was written' if changed else 'is up to date'}")
        return
    effective = resolve(root)
    if project is not None:
        require_project(project, effective.parameters.projects)
    if section is not None and section not in LAYOUT.sections:
        raise ProjectError(f"no section {section}; there is: {', '.join(LAYOUT.sections)}")
    for name in [section] if section else LAYOUT.sections:
        click.echo(f"{name}:")
        for value in origins(root, effective, name, project):
            click.echo("  # " + " ".join(filter(None, (value.meaning, f"[{value.source}]"))))
            click.echo(f"  {value.key}: {value.value}")
        click.echo()


@click.command(epilog="Example: git merge feature; cortex resolve; git commit")
@in_project
def resolve() -> None:
    """Join lock files and generated files that a git merge, rebase or cherry-pick left in conflict.

    Stages, pins and releases of both branches are kept; what both ran differently is run again by
    `cortex run` unless one side fits the merged inputs. params.yaml is edited by hand.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.ledger import ensure_keys, project_models
    from cortex_pipelines.versioning.dvc import stages
    from cortex_pipelines.versioning.merging.git_merge import resolve as join_conflicts

    root = find_root()

    def generate() -> None:
        project = open_project(root)
        ensure_keys(root, project_models(project))
        stages.write(project)

    resolution = join_conflicts(root, generate)
    say(*resolution.notes)
    for file in resolution.files:
        added = " and added to git's index" if file in resolution.staged else ""
        say(f"{file}: both sides joined{added}")
    say(*map(str, resolution.remaining))
    if resolution.remaining:
        sys.exit(1)
    if resolution.files:
        say("next: `git commit` (or `git rebase --continue`), then `cortex run`")
    else:
        say("no file of the project is in conflict")


@click.command("merge-driver", hidden=True, epilog="Example: cortex merge-driver %O %A %B %P")
@click.argument("base", type=PATH)
@click.argument("ours", type=PATH)
@click.argument("theirs", type=PATH)
@click.argument("file")
def merge_driver(base: Path, ours: Path, theirs: Path, file: str) -> None:
    """Join BASE, OURS and THEIRS, versions of FILE, into OURS, as git asks a driver to."""
    from cortex_pipelines.versioning.merging.conflicts import Versions
    from cortex_pipelines.versioning.merging.git_merge import join_file

    texts = (path.read_bytes().decode("utf-8") for path in (base, ours, theirs))
    text, notes = join_file(file, Versions(*texts))
    say(*(f"cortex: {note}" for note in notes))
    ours.write_text(text, encoding="utf-8", newline="\n")


_SHOWN = 12


@click.command("test-environment", epilog="Example: cortex test-environment shop 'pytest<9'")
@click.argument("project")
@click.argument("packages", nargs=-1)
@in_project
def test_environment(project: str, packages: tuple[str, ...]) -> None:
    """Pin the packages that the tests of PROJECT need, so that they can run.

    Its files are read for what it declares (pyproject.toml, PKG-INFO, setup.cfg, lists of requirements; nothing of it
    is run), PACKAGES are added, and uv resolves them to versions with hashes, wheels only. They are written to
    environments/PROJECT.txt, which belongs into git, and named in params.yaml.
    """
    from cortex_pipelines.projects.test_environment import pin_environment

    pinned = pin_environment(current_project(), project, packages)
    for title, names in (
        (f"{pinned.packages} packages in {pinned.requirements}, for:", pinned.requested),
        ("left out, as no index has it by that name:", pinned.unavailable),
    ):
        if names:
            say(title, *(f"  {name}" for name in names[:_SHOWN]))
        if len(names) > _SHOWN:
            say(f"  and {len(names) - _SHOWN} more")
    say(f"next: `cortex run --project {project}`")


_PASSWORD = click.option(
    "--password-file",
    type=EXISTING_FILE,
    help="File with the password, outside of the project; otherwise RESTIC_PASSWORD_FILE.",
)


@click.command(epilog="Example: cortex backup /mnt/backup/shop --password-file ~/.shop-backup")
@click.argument("repository", metavar="WHERE")
@_PASSWORD
@click.option("--all", "everything", is_flag=True, help="With all that could be made again.")
@click.option("--forget-earlier", is_flag=True, help="Delete earlier snapshots, after deletions.")
@click.option(
    "--moved-from", type=PATH, multiple=True, help="Folder where this project was: backups of it in WHERE are its own."
)
@in_project
def backup(
    repository: str, password_file: Path | None, everything: bool, forget_earlier: bool, moved_from: tuple[Path, ...]
) -> None:
    """Add an encrypted snapshot of the project to the folder WHERE, by restic.

    WHERE is for this project alone; one that holds another project's backups is refused.

    It holds what nothing makes again exactly: parameters, locks and ledger, git's history, the
    registry and runs, models, feedback, memories, the gateway's state, Dagster's history. Keys are
    never in it. Let nothing else write to the project meanwhile.
    """
    from cortex_pipelines.projects.backups import back_up

    project = current_project()
    back_up(project, repository, password_file, everything, forget_earlier, moved_from)
    say("backed up, without .cortex/keys: keep these, and the password, at another place")
    if not (project.root / ".git").is_dir():
        say("git's history is not in it, since it lies outside of the project's folder: back that repository up, too")


@click.command(epilog="Example: cortex restore /mnt/backup/shop shop")
@click.argument("repository", metavar="WHERE")
@click.argument("into", type=PATH)
@_PASSWORD
@click.option("--path", type=PATH, help="Folder that was backed up; needed where WHERE holds backups of several.")
def restore(repository: str, into: Path, password_file: Path | None, path: Path | None) -> None:
    """Restore the last snapshot in WHERE to the empty folder INTO."""
    from cortex_pipelines.projects.backups import restore as bring_back

    bring_back(repository, into, password_file, path)
    if not (into / ".git").is_dir():
        say(f"git's history was outside of the project: put {into} where it was in its repository, or run `git init`")
    say(f"restored; put .cortex/keys back into {into}, then `cortex run` there makes what is missing")


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
@in_project
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
    if (purge or certificate) and (author or user or path or repository or partition):
        raise click.UsageError(
            "--purge and --certificate are steps of their own: first `cortex forget` with what to forget, "
            "then `cortex run`, then these"
        )
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
    project = current_project()
    if new and not user and forget.covers_nothing(project, new):
        say("no file and no commit that was read so far is of it; is it spelt as git shows it?")
    deleted = erase.erase(root, load_parameters(root), stones, author or user)

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
@in_project
def remove(project: str, dry_run: bool, yes: bool, purge: bool) -> None:
    """Take PROJECT out of params.yaml, the locks, data/, the indexes and Dagster's partitions.

    The ledger of releases and the audit log keep what they say of it.
    """
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.orchestration.location import sync_project
    from cortex_pipelines.projects import erase, forget
    from cortex_pipelines.projects.remove import finish_removal, plan_removal, remove_project

    workspace = current_project()
    root, params = workspace.root, load_parameters(workspace.root)
    mark = erase.removal_mark(root, project)
    is_removed = purge and project not in params.projects and mark in mark.parent.glob("*")
    removal = None if is_removed else plan_removal(workspace, project)
    say(*(removal.describe(purge) if removal else [f"{project} is removed already; to delete: what `--purge` deletes"]))
    if dry_run:
        say("nothing was removed (--dry-run)")
        return
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {project}?", abort=True, err=True)
    if removal:
        erase.mark_removal(root, params, project)
    deleted = erase.erase_project(root, params, project) if purge else {}
    if removal:
        remove_project(workspace, removal)
    finish_removal(root)
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
        mark.unlink()
    counts = ", ".join(f"{count} {kind}" for kind, count in deleted.items() if count)
    say(
        f"{project} is removed{f'; deleted: {counts}' if counts else ''}; commit params.yaml, "
        "dvc.yaml, the locks and data/parameters"
    )
