"""``cortex keys``: who may ask the gateway."""

import re
from datetime import UTC, datetime, timedelta

import click

from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.serving.security.roles import DEFAULT_ROLE, ROLES, SCOPES

_DAYS = re.compile(r"([1-9]\d{0,4})d")


@click.group(epilog="Example: cortex keys create anna --role user --project shop --expires 90d")
def keys() -> None:
    """Create, list and revoke API keys for `cortex serve`."""


@keys.command(epilog="Example: cortex keys create anna --role user --project shop")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(tuple(ROLES)),
    help=f"What it may ask for, as a set of scopes; without role and scopes {DEFAULT_ROLE}.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(tuple(SCOPES)),
    help="What it may ask for besides the role; several times.",
)
@click.option("--project", "projects", multiple=True, help="Only models of this project; several times.")
@click.option("--model", "models", multiple=True, help="Only this model, such as shop@1.2.0; several times.")
@click.option("--expires", help="In how many days, such as 90d; by default never.")
def create(
    name: str,
    role: str | None,
    scopes: tuple[str, ...],
    projects: tuple[str, ...],
    models: tuple[str, ...],
    expires: str | None,
) -> None:
    """Make a key called NAME and print it; only its hash is kept."""
    lifetime = None
    if expires is not None:
        if (match := _DAYS.fullmatch(expires)) is None:
            raise click.BadParameter(f"{expires} is not a number of days such as 90d", None)
        lifetime = timedelta(days=int(match[1]))
    token = _ring().create(name, scopes, projects, lifetime, role or "", models)
    click.echo("this key is shown once; clients send it as `Authorization: Bearer KEY`", err=True)
    click.echo(token)


@keys.command("list", epilog="Example: cortex keys list")
def list_keys() -> None:
    """List the keys with role, scopes, projects, models and state; no key itself is kept."""
    current_time = datetime.now(UTC)
    for key in _ring().keys:
        models = ", ".join((*key.projects, *key.models)) or "all projects"
        until = f"until {key.expires}" if key.expires else "without end"
        permissions = ", ".join(filter(None, (key.role, *key.scopes)))
        click.echo(f"{key.name}: {key.state(current_time)}, {until}, {permissions}, {models}")


@keys.command(epilog="Example: cortex keys revoke ci")
@click.argument("name")
def revoke(name: str) -> None:
    """Let the key NAME count no longer; a gateway that runs knows it at the next request."""
    _ring().revoke(name)
    click.echo(f"{name} is revoked", err=True)


def _ring() -> KeyRing:
    from cortex_pipelines.serving.exported_gateway import served_root
    from cortex_pipelines.signing.keys import keys_folder

    return KeyRing(keys_folder(served_root()))
