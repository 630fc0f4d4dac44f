"""``cortex releases``: state of every model."""

import json
from typing import Any

import click

_SHOWN = 12


@click.command(epilog="Example: cortex releases")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def releases(as_json: bool) -> None:
    """List every model: gate verdict, champion, canary and archive."""
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.release.ledger import project_models
    from cortex_pipelines.release.promotion import model_roles
    from cortex_pipelines.tracking.registry import registered
    from cortex_pipelines.versioning.root import find_root

    project = open_project(find_root())
    rows = [model_roles(project.root, model) | registered(project, model.name) for model in project_models(project)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        for line in _lines(row):
            click.echo(line)


def _lines(row: dict[str, Any]) -> list[str]:
    lines = [f"{row['model']}: {row['verdict'] or 'no verdict yet'}"]
    numbers = row["numbers"]
    for role in ("challenger", "canary", "champion"):
        version = row[role]
        if version:
            number = row[f"{role}_number"]
            registry_note = f"version {number} in the registry" if number else "not in the registry"
            words = (role, numbers.get(version, ""), version)
            lines.append(f"  {' '.join(word for word in words if word)}, {registry_note}")
    if row["challenger"] and row["challenger"] not in numbers:
        lines.append(f"  promoted it would be {row['next_number']} ({row['next_reason']})")
    if row["plan"]:
        plan = row["plan"]
        share = f", {plan['share']:.0%} of the requests" if "share" in plan else ""
        lines.append(f"  plan {plan['strategy']} on {plan['target']}{share}")
    if row["archived"]:
        archived = (f"{numbers.get(v, '-')} ({v[:_SHOWN]})" for v in row["archived"])
        lines.append(f"  archived {', '.join(archived)}")
    if row["reason"]:
        lines.append(f"  {row['reason']}")
    return lines
