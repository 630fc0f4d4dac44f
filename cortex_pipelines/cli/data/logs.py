"""``cortex logs``: summary of the agent system's logs."""

import json
from dataclasses import asdict
from pathlib import Path

import click

_EXAMPLES = 3
"""Fields not understood that are shown for each reason; --json has all."""


@click.command(epilog="Example: cortex logs coordination --json")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def logs(folder: Path, as_json: bool) -> None:
    """Summarise what can be read from the agent system's logs in FOLDER, file by file."""
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.coordination.summary import summarise

    parameters = load_parameters()
    summaries = summarise(folder, parameters.coordination, parameters.privacy)
    if as_json:
        click.echo(json.dumps([asdict(file) for file in summaries], indent=1))
        return
    for file in summaries:
        click.echo(
            f"{file.file}: {file.kind}, {file.records} records, {file.duplicates} duplicates, "
            f"{file.test_rows} from tests, {len(file.rejected)} rejected, "
            f"{len(file.unread)} fields not understood"
        )
        for part in file.rejected:
            click.echo(f"  at byte {part['offset']}: {part['reason']}")
        for reason, count in file.unread_by_reason.items():
            examples = [field for field in file.unread if field["reason"] == reason]
            for field in examples[:_EXAMPLES]:
                location = f"{file.file}:{field['line']}"
                click.echo(f"  {location}: {field['field']} {field['value']!r}: {reason}")
            if count > _EXAMPLES:
                click.echo(f"  and {count - _EXAMPLES:,} more: {reason}")
        for assumption, count in file.assumed.items():
            click.echo(f"  {count:,} times with {assumption}")
