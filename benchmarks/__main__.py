"""``python -m benchmarks [NAME…]``: measure, print a table, write ``benchmarks/results``."""

import argparse
import importlib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.timing import Timing
from benchmarks.workspace import Workspace

USUAL = ("loading", "spine", "asset_cost", "unchanged", "one_file")
COMPARED = ("loading", "spine")
"""Benchmarks that take seconds, whose results are stored."""

SLOW = ("code_speed", "code_data", "routing", "lora", "search", "context", "serving", "retraining", "demo")
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named benchmarks, each in its own project."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(USUAL + SLOW)}; none: the usual")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--slow", action="store_true", help="those of many minutes too")
    parser.add_argument("--compared", action="store_true", help="those of which a run is stored")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON files")
    options = parser.parse_args(arguments)
    usual = COMPARED if options.compared else USUAL
    names = tuple(options.names) or usual + (SLOW if options.slow else ())
    unknown = set(names) - set(USUAL + SLOW)
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _run(names, options)
    finally:
        logging.disable(before)


def _run(names: Sequence[str], options: argparse.Namespace) -> None:
    machine_description = machine.describe()
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(machine.one_line(machine_description), highlight=False)
    for name in names:
        timings = _measure(name, options.repeats)
        _write(options.results / f"{name}.json", machine_description, timings)
        console.print(table(name, timings))


def _measure(name: str, repeats: int) -> list[Timing]:
    module = importlib.import_module(f"benchmarks.{name}")
    with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
        timings: list[Timing] = module.measure(Workspace.create(Path(folder) / "project"), repeats)
        return timings


def table(name: str, timings: Sequence[Timing]) -> Table:
    """Table of the timings; rows of other tools are in italics."""
    columns = ("median s", "of cpu", "runs", "target s", "per cpu s", "MiB", "ratio", "note")
    table = Table("what", *columns, title=name)
    for timing in timings:
        ratio = timing.ratio(timings)
        table.add_row(
            timing.what,
            f"{timing.median:.3g}",
            f"{timing.median_cpu:.3g}",
            str(len(timing.runs)),
            "" if timing.target is None else f"{timing.target:g}",
            "" if timing.rate is None else f"{timing.rate:,.3g} {timing.unit}",
            f"{timing.peak:.0f}" if timing.peak else "",
            "" if ratio is None else f"{ratio:g} x {timing.beside}",
            timing.note,
            style="italic" if timing.peer else None,
        )
    return table


def _write(path: Path, machine_description: dict[str, str | float | int], timings: Sequence[Timing]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine_description, "timings": [timing.as_json(timings) for timing in timings]}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
