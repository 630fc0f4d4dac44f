"""``cortex audit``: the log of who asked the gateway for what."""

import click


@click.group(epilog="Example: cortex audit verify")
def audit() -> None:
    """Check the audit log of `cortex serve`."""


@audit.command(epilog="Example: cortex audit verify --head 5feceb66ffc8")
@click.option("--head", help="A hash that an earlier call printed and that has to be in the log.")
def verify(head: str | None) -> None:
    """Say whether the log is whole and, if not, where it breaks.

    Note the printed hash: with --head, a later call also detects removed lines at the end, or a
    replaced log.
    """
    from cortex_pipelines.serving.exported_gateway import served_root
    from cortex_pipelines.serving.security.audit import FILE
    from cortex_pipelines.serving.security.audit import verify as verified

    path = served_root() / ".cortex" / "serving" / FILE
    if not path.exists():
        raise click.ClickException(f"no {path}: nobody has asked yet, or it was deleted")
    verification = verified(path, head)
    if verification.problem:
        raise click.ClickException(f"{path}: {verification.problem}; {verification.entries} entries before are whole")
    click.echo(f"{verification.entries} entries are whole, the last is {verification.head}")
    if verification.redacted:
        click.echo(
            f"{verification.redacted} of them without who asked, by `cortex forget`, whose certificates say how many",
            err=True,
        )
    if verification.unfinished:
        click.echo("behind it is a line that a killed process left unfinished", err=True)
