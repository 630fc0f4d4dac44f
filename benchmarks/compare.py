"""``python -m benchmarks.compare``: what got worse since a stored run, by ratios.

Seconds of two machines, or of one that is busy today, cannot be compared. What can: how much more a
measurement costs than what it stands beside in the same run; and where it stands beside nothing,
its processor time over the run's pace, which is how much slower everything in it got (the median).
Something got worse if its ratio grew by more than the tolerance and by more than the runs of one
measurement differ among themselves.

What is stored is ratios only: a cost is a multiple of the run's median cost. ``--store`` writes it.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
STORED = HERE / "baseline"
TOLERANCE = 0.25

Timings = Mapping[tuple[str, str], Mapping[str, Any]]
"""Benchmark and title to the timing, as written or as stored."""


@dataclass(frozen=True)
class Change:
    """One measurement in both runs.

    Args:
        name: The measurement, and what was done.
        before: Its ratio in the stored run.
        after: Its ratio now.
        beside: What the ratio is to.
        allowed: Growth of the ratio that says nothing.
    """

    name: str
    before: float
    after: float
    beside: str
    allowed: float

    @property
    def worse(self) -> bool:
        """Whether the ratio grew by more than chance and tolerance explain."""
        return self.after > self.before * self.allowed


def read(folder: Path) -> Timings:
    """All timings in a folder of results."""
    return {
        (path.stem, timing["what"]): timing
        for path in sorted(folder.glob("*.json"))
        for timing in json.loads(path.read_text(encoding="utf-8"))["timings"]
    }


def compare_timings(before: Timings, after: Timings, tolerance: float = TOLERANCE) -> Iterator[Change]:
    """Every measurement of ours that both runs have, by ratio.

    Args:
        before: The stored run.
        after: The new run.
        tolerance: Growth of a ratio, as a share of it, that is never called worse.
    """
    common = [key for key in after if key in before and _cost(before[key]) and _cost(after[key])]
    pace = statistics.median(_cost(after[key]) / _cost(before[key]) for key in common or ())
    for key in common:
        old, new = before[key], after[key]
        if new["peer"]:
            continue
        allowed = max(1 + tolerance, _spread(old), _spread(new))
        if old["ratio"] and new["ratio"] and old["beside"] == new["beside"]:
            yield Change(": ".join(key), old["ratio"], new["ratio"], new["beside"], allowed)
        else:
            grown = _cost(new) / _cost(old) / pace
            yield Change(": ".join(key), 1.0, round(grown, 3), "the run's pace", allowed)


def store(timings: Timings, folder: Path) -> None:
    """Write the ratios of a run, for comparison with later ones.

    Args:
        timings: The run.
        folder: Gets a file for each measurement.
    """
    median = statistics.median(_cost(timing) for timing in timings.values())
    timings_by_name: dict[str, list[dict[str, Any]]] = {}
    for (name, _), timing in timings.items():
        key_fields = {key: timing[key] for key in ("what", "beside", "ratio", "peer")}
        ratios = {"cost": _cost(timing) / median, "spread": _spread(timing)}
        rounded = {key: float(f"{value:.3g}") for key, value in ratios.items()}
        timings_by_name.setdefault(name, []).append(key_fields | rounded)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in timings_by_name.items():
        text = json.dumps({"timings": rows}, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def _cost(timing: Mapping[str, Any]) -> float:
    """Processor seconds per unit, or per run without units; for stored runs the ratio."""
    if "cost" in timing:
        return float(timing["cost"])
    return float(timing["median_cpu_seconds"] / (timing["amount"] or 1))


def _spread(timing: Mapping[str, Any]) -> float:
    if "spread" in timing:
        return float(timing["spread"])
    seconds = [second for second in timing["cpu_seconds"] if second > 0]
    return float(max(seconds) / min(seconds)) if seconds else 1.0


def table(changes_found: Sequence[Change]) -> Table:
    """Table of the changes, regressions first and in red."""
    table = Table("what", "ratio before", "now", "to", "", title="compared with the stored run")
    for change in sorted(changes_found, key=lambda change: change.before / change.after):
        words, style = ("WORSE", "red") if change.worse else ("", None)
        cells = (f"{change.before:.3g}", f"{change.after:.3g}", change.beside, words)
        table.add_row(change.name, *cells, style=style)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two folders of results; 1 on a regression, 2 without common measurements."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--before", type=Path, default=STORED, help="folder of the stored run")
    parser.add_argument("--after", type=Path, default=HERE / "results", help="of the new run")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="share of a ratio")
    parser.add_argument("--store", action="store_true", help="put the new run into --before")
    options = parser.parse_args(arguments)
    if options.store:
        store(read(options.after), options.before)
        return 0
    before, after = read(options.before), read(options.after)
    if not before.keys() & after.keys():
        print(
            f"{options.before} and {options.after} have no measurement in common; "
            "`python -m benchmarks` makes a run, `python -m benchmarks.compare --store` keeps it"
        )
        return 2
    differences = list(compare_timings(before, after, options.tolerance))
    Console(width=None if sys.stdout.isatty() else 170).print(table(differences))
    worse = [change.name for change in differences if change.worse]
    print(f"got worse: {'; '.join(worse)}" if worse else "nothing got worse")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
