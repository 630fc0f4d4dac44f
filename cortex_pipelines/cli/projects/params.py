"""``cortex params``: effective parameters and their origins."""

from typing import TYPE_CHECKING

import click

from cortex_pipelines.versioning.root import ProjectError, find_root

if TYPE_CHECKING:
    from cortex_pipelines.versioning.parameter_origins import Origin


@click.command(epilog="Example: cortex params itsdangerous --section datasets")
@click.argument("project", required=False)
@click.option("--section", help="Only this section, such as datasets.")
@click.option("--write", is_flag=True, help="Write the values to data/parameters, where DVC reads.")
def params(project: str | None, section: str | None, write: bool) -> None:
    """Show the parameters in effect (for PROJECT), with the origin and meaning of each."""
    from cortex_pipelines.config import LAYOUT, resolve
    from cortex_pipelines.versioning.parameter_origins import origins
    from cortex_pipelines.versioning.parameters import FOLDER

    root = find_root()
    if write:
        from cortex_pipelines.catalog import open_project

        changed = open_project(root).effective.write(root)
        click.echo(f"{FOLDER} {'was written' if changed else 'is up to date'}", err=True)
        return
    effective = resolve(root)
    projects = effective.parameters.projects
    if project is not None and project not in projects:
        available = ", ".join(projects) or "none yet"
        raise ProjectError(f"params.yaml has no project {project}; there is: {available}")
    if section is not None and section not in LAYOUT.sections:
        raise ProjectError(f"no section {section}; there is: {', '.join(LAYOUT.sections)}")
    for name in [section] if section else LAYOUT.sections:
        _show(name, origins(root, effective, name, project))


def _show(section: str, values: "list[Origin]") -> None:
    """YAML with the origin and meaning of each value as comments."""
    click.echo(f"{section}:")
    for value in values:
        click.echo("  # " + " ".join(filter(None, (value.meaning, f"[{value.source}]"))))
        click.echo(f"  {value.key}: {value.value}")
    click.echo()
