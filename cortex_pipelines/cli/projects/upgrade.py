"""``cortex upgrade``: migrate a project to this version."""

import click

from cortex_pipelines.versioning.root import find_root


@click.command(epilog="Example: pip install --upgrade cortex-pipelines && cortex upgrade")
def upgrade() -> None:
    """Upgrade params.yaml, dvc.yaml and dvc.lock of an earlier version.

    Outputs are kept: a stage becomes stale only if a value or its code has changed.
    """
    from cortex_pipelines.projects.upgrade import upgrade as bring_up_to_date

    for sentence in bring_up_to_date(find_root()):
        click.echo(sentence, err=True)
