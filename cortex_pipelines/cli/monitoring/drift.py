"""``cortex drift``: whether a file is still distributed as another one."""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command(epilog="Example: cortex drift january.jsonl february.jsonl --json")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("current", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def drift(reference: Path, current: Path, as_json: bool) -> None:
    """Test which columns of CURRENT are no longer distributed as in REFERENCE.

    Both are JSON lines or Parquet. Columns of numbers, categories and texts are recognised and
    compared by a test of their kind; at most one comparison in a hundred of unchanged data raises a
    false alarm, however many columns there are. The exit status is 0 either way.
    """
    from cortex_pipelines.monitoring.drift.files import drift_between

    result = drift_between(reference, current)
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("column", "kind", "test", "p", "drift", box=box.SIMPLE_HEAD)
    for feature in result.features:
        p_value = "" if feature.p_value is None else f"{feature.p_value:.2g}"
        drift_mark = "yes" if feature.drift else ""
        table.add_row(feature.name, feature.kind, feature.test or "not compared", p_value, drift_mark)
    Console().print(table)
    click.echo(f"{result.share:.0%} of the compared columns drift")
