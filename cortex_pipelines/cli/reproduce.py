"""``cortex reproduce``."""

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

    Code, parameters and pins are taken by what the registry says, into a fresh folder beside this
    project. Fails if data sets do not come out byte for byte, or models on the type of processor
    that they were trained on; on another one models may differ, and then it is said by how much.
    """
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.operations.reproducing import reproduce as make_again
    from cortex_pipelines.versioning.root import find_root

    done = make_again(
        open_project(find_root()), model, into, data_only, lambda text: click.echo(text, err=True)
    )
    if as_json:
        click.echo(json.dumps(done.to_json(), indent=1))
    else:
        for comparison in done.comparisons:
            words = (
                "same bytes"
                if comparison.same
                else f"DIFFERS: {comparison.registered} was, {comparison.found} is"
            )
            click.echo(
                f"{comparison.stage}: {words}{'; ' if comparison.detail else ''}{comparison.detail}"
            )
        same = sum(comparison.same for comparison in done.comparisons)
        click.echo(f"{done.model}: {same} of {len(done.comparisons)} versions byte for byte")
    if not done.kept:
        sys.exit(1)
