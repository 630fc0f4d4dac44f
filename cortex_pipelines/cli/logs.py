"""``cortex logs``: summary of the agent system's logs."""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command(epilog="Example: cortex logs coordination --json")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def logs(folder: Path, as_json: bool) -> None:
    """Summarise what can be read from the agent system's logs in FOLDER, file by file."""
    from cortex_pipelines.coordination.summary import summarise
    from cortex_pipelines.operations.notebooks import load_parameters

    summaries = summarise(folder, load_parameters().coordination)
    if as_json:
        click.echo(json.dumps([asdict(file) for file in summaries], indent=1))
        return
    for file in summaries:
        click.echo(
            f"{file.file}: {file.kind}, {file.records} records, {file.duplicates} duplicates, "
            f"{file.test_rows} from tests, {len(file.rejected)} rejected"
        )
        for part in file.rejected:
            click.echo(f"  at byte {part['offset']}: {part['reason']}")
