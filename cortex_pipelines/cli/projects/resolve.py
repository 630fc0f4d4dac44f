"""``cortex resolve`` and the merge driver that git calls."""

import sys
from pathlib import Path

import click

from cortex_pipelines.versioning.root import find_root


@click.command(epilog="Example: git merge feature; cortex resolve; git commit")
def resolve() -> None:
    """Join lock files and generated files that a git merge, rebase or cherry-pick left in conflict.

    Stages, pins and releases of both branches are kept; what both ran differently is run again by
    `cortex run` unless one side fits the merged inputs. params.yaml is edited by hand.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.ledger import ensure_keys, project_models
    from cortex_pipelines.versioning.dvc import stages
    from cortex_pipelines.versioning.merging.resolve import resolve as join_conflicts

    root = find_root()

    def generate() -> None:
        project = open_project(root)
        ensure_keys(root, project_models(project))
        stages.write(project)

    resolution = join_conflicts(root, generate)
    for note in resolution.notes:
        click.echo(note, err=True)
    for file in resolution.files:
        added = " and added to git's index" if file in resolution.staged else ""
        click.echo(f"{file}: both sides joined{added}", err=True)
    for conflict in resolution.remaining:
        click.echo(str(conflict), err=True)
    if resolution.remaining:
        sys.exit(1)
    if resolution.files:
        next_step = "`git commit` (or `git rebase --continue`), then `cortex run`"
        click.echo(f"next: {next_step}", err=True)
    else:
        click.echo("no file of the project is in conflict", err=True)


@click.command("merge-driver", hidden=True, epilog="Example: cortex merge-driver %O %A %B %P")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
@click.argument("file")
def merge_driver(base: Path, ours: Path, theirs: Path, file: str) -> None:
    """Join BASE, OURS and THEIRS, versions of FILE, into OURS, as git asks a driver to."""
    from cortex_pipelines.versioning.merging.conflicts import Versions
    from cortex_pipelines.versioning.merging.files import join_file

    texts = (path.read_bytes().decode("utf-8") for path in (base, ours, theirs))
    text, notes = join_file(file, Versions(*texts))
    for note in notes:
        click.echo(f"cortex: {note}", err=True)
    ours.write_text(text, encoding="utf-8", newline="\n")
