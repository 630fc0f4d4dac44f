"""Commands on a project's own files: init, params, resolve, test-environment, backup."""

import sys
from pathlib import Path

import click

from cortex_pipelines.cli.console import EXISTING_FILE, PATH, at_terminal, current_project, say
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

    back_up(current_project(), repository, password_file, everything, forget_earlier, moved_from)
    say("backed up, without .cortex/keys: keep these, and the password, at another place")


@click.command(epilog="Example: cortex restore /mnt/backup/shop shop")
@click.argument("repository", metavar="WHERE")
@click.argument("into", type=PATH)
@_PASSWORD
@click.option("--path", type=PATH, help="Folder that was backed up; needed where WHERE holds backups of several.")
def restore(repository: str, into: Path, password_file: Path | None, path: Path | None) -> None:
    """Restore the last snapshot in WHERE to the empty folder INTO."""
    from cortex_pipelines.projects.backups import restore as bring_back

    bring_back(repository, into, password_file, path)
    say(f"restored; put .cortex/keys back into {into}, then `cortex run` there makes what is missing")
