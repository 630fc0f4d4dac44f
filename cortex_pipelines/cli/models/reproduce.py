"""``cortex reproduce``: rebuild a model version and compare."""

import json
import sys
from pathlib import Path

import click


@click.command(epilog="Example: cortex reproduce task_router@champion")
@click.argument("model")
@click.option("--into", type=click.Path(path_type=Path), help="Empty folder to rebuild in.")
@click.option("--data-only", is_flag=True, help="Only the data sets; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def reproduce(model: str, into: Path | None, data_only: bool, as_json: bool) -> None:
    """Rebuild MODEL, MODEL@ALIAS or MODEL/VERSION from scratch and compare.

    Checks out code, parameters and pins of the registered version into a new folder beside this
    project. Fails if data sets differ in any byte, or models on the processor type that they were
    trained on; on other types models may differ, and the difference is reported.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.reproduce import reproduce as make_again
    from cortex_pipelines.versioning.root import find_root

    reproduction = make_again(
        open_project(find_root()), model, into, data_only, lambda text: click.echo(text, err=True)
    )
    if as_json:
        click.echo(json.dumps(reproduction.to_json(), indent=1))
    else:
        for comparison in reproduction.comparisons:
            result = (
                "same bytes" if comparison.identical else f"DIFFERS: {comparison.registered} was, {comparison.found} is"
            )
            detail = f"; {comparison.detail}" if comparison.detail else ""
            click.echo(f"{comparison.stage}: {result}{detail}")
        identical_count = sum(comparison.identical for comparison in reproduction.comparisons)
        total = len(reproduction.comparisons)
        click.echo(f"{reproduction.model}: {identical_count} of {total} versions byte for byte")
    if not reproduction.is_reproduced:
        sys.exit(1)
