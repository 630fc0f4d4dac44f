"""``cortex prompts``."""

import json

import click


@click.command(epilog="Example: cortex prompts refactoring > prompts/refactoring.jinja")
@click.argument("name", required=False)
@click.option("--variant", help="Those of prompts/VARIANT, which an experiment may compare.")
@click.option("--register", is_flag=True, help="Enter all in MLflow's prompt registry.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def prompts(name: str | None, variant: str | None, register: bool, as_json: bool) -> None:
    """List the templates of prompts with their versions, or print that of NAME.

    A file `prompts/NAME.jinja` in the project stands for the package's. The gateway follows it
    from the next request on and names its version in the answer.
    """
    from cortex_pipelines.prompts.templates import PromptFileError, project_templates
    from cortex_pipelines.versioning.root import find_root

    root = find_root()
    project_set = project_templates(root)
    templates = project_set.variant(variant) if variant else project_set
    numbers: dict[str, int] = {}
    if register:
        from cortex_pipelines.tracking.prompts import register_templates

        numbers = register_templates(root, project_set)
    if name is not None:
        if name not in templates.by_name:
            raise PromptFileError(f"no template {name}; there is {', '.join(templates.by_name)}")
        click.echo(templates[name].text, nl=False)
        return
    rows = [{"name": each.name, "version": each.version, "from": each.origin} for each in templates.by_name.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']:<14}{row['version']}  {row['from']}")
    for registered, number in numbers.items():
        click.echo(f"prompts:/{registered}/{number}", err=True)
