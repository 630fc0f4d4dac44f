"""``cortex backup`` and ``cortex restore``: encrypted copies of what nothing makes again."""

from pathlib import Path

import click

_PASSWORD = click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the password, outside of the project; otherwise RESTIC_PASSWORD_FILE.",
)


@click.command(epilog="Example: cortex backup /mnt/backup/shop --password-file ~/.shop-backup")
@click.argument("where")
@_PASSWORD
@click.option("--all", "everything", is_flag=True, help="With all that could be made again.")
@click.option("--forget-earlier", is_flag=True, help="Delete earlier snapshots, after deletions.")
@click.option(
    "--moved-from",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder where this project was: backups of it in WHERE are its own.",
)
def backup(
    where: str, password_file: Path | None, everything: bool, forget_earlier: bool, moved_from: tuple[Path, ...]
) -> None:
    """Add an encrypted snapshot of the project to the folder WHERE, by restic.

    WHERE is for this project alone; one that holds another project's backups is refused.

    It holds what nothing makes again exactly: parameters, locks and ledger, git's history, the
    registry and runs, models, feedback, memories, the gateway's state, Dagster's history. Keys are
    never in it. Let nothing else write to the project meanwhile.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.backups import back_up
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    back_up(project, where, password_file, everything, forget_earlier, moved_from)
    click.echo("backed up, without .cortex/keys: keep these, and the password, at another place", err=True)


@click.command(epilog="Example: cortex restore /mnt/backup/shop shop")
@click.argument("where")
@click.argument("into", type=click.Path(path_type=Path))
@_PASSWORD
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    help="Folder that was backed up; needed where WHERE holds backups of several.",
)
def restore(where: str, into: Path, password_file: Path | None, path: Path | None) -> None:
    """Restore the last snapshot in WHERE to the empty folder INTO."""
    from cortex_pipelines.projects.backups import restore as bring_back

    bring_back(where, into, password_file, path)
    click.echo(f"restored; put .cortex/keys back into {into}, then `cortex run` there makes what is missing", err=True)
