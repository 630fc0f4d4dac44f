"""``cortex tune-machine``: fastest training settings of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortex_pipelines.adapters.autotune import Throughput


@click.command("tune-machine", epilog="Example: cortex tune-machine --dry-run")
@click.option("--dry-run", is_flag=True, help="Measure and show; write nothing.")
def tune_machine(dry_run: bool) -> None:
    """Measure the best precision and row length of this machine; write them to params.yaml."""
    from cortex_pipelines.adapters.autotune import fastest_setting, measure_throughput
    from cortex_pipelines.catalog import SOURCES
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.ingestion.pretrained_models import PinnedModel
    from cortex_pipelines.versioning.project import find_root, read_yaml

    root = find_root()
    parameters = load_parameters(root)
    settings = parameters.adapters
    if settings.precision != "auto" and not dry_run:
        click.echo(
            f"adapters.precision is {settings.precision} already; nothing to do. Set it to auto "
            "to measure again, or use --dry-run",
            err=True,
        )
        return
    pin = ((read_yaml(root / SOURCES) or {}).get("models") or {}).get("base") or {}
    speeds = measure_throughput(PinnedModel(parameters.models.base, pin), settings, root)
    fastest = fastest_setting(speeds)
    _show(speeds, fastest)
    if not dry_run:
        _write(root, fastest)
        click.echo(f"params.yaml: adapters.precision {fastest.precision}, max_length {fastest.max_length}", err=True)


def _write(root: Path, speed: "Throughput") -> None:
    """Replace both values and keep every comment."""
    from cortex_pipelines.projects.parameter_file import read_values, write_values

    values = read_values(root)
    adapters = values.setdefault("adapters", {})
    adapters["precision"] = speed.precision
    adapters["max_length"] = speed.max_length
    write_values(root, values)


def _show(speeds: "list[Throughput]", fastest: "Throughput") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("precision", "row length", "tokens/s", "", box=box.SIMPLE_HEAD)
    for speed in speeds:
        mark = "best" if speed == fastest else ""
        table.add_row(speed.precision, str(speed.max_length), f"{speed.tokens_per_second:.0f}", mark)
    Console().print(table)
