"""``cortex test-environment``: packages that a project's tests need."""

import click

_SHOWN = 12


@click.command("test-environment", epilog="Example: cortex test-environment shop 'pytest<9'")
@click.argument("project")
@click.argument("packages", nargs=-1)
def test_environment(project: str, packages: tuple[str, ...]) -> None:
    """Pin the packages that the tests of PROJECT need, so that they can run.

    Its files are read for what it declares (pyproject.toml, PKG-INFO, setup.cfg, lists of
    requirements; nothing of it is run), PACKAGES are added, and uv resolves them to versions with
    hashes, wheels only. They are written to environments/PROJECT.txt, which belongs into git, and
    named in params.yaml.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.test_environment import pin_environment
    from cortex_pipelines.versioning.root import find_root

    pinned = pin_environment(open_project(find_root()), project, packages)
    click.echo(f"{pinned.packages} packages in {pinned.requirements}, for:", err=True)
    _list(pinned.requested)
    if pinned.unavailable:
        click.echo("left out, as no index has it by that name:", err=True)
        _list(pinned.unavailable)
    click.echo(f"next: `cortex run --project {project}`", err=True)


def _list(lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        click.echo(f"  {line}", err=True)
    if len(lines) > _SHOWN:
        click.echo(f"  and {len(lines) - _SHOWN} more", err=True)
