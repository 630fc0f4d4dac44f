"""``cortex init``: create a project."""

from pathlib import Path

import click


@click.command(epilog="Example: cortex init ../models")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Create a project in FOLDER, outside of the repository of this package."""
    from cortex_pipelines.projects.create import create_project

    for sentence in create_project(folder.resolve()):
        click.echo(sentence, err=True)
    click.echo("next: `cortex add NAME SOURCE`, then `cortex run --plan`", err=True)
