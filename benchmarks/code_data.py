"""A large project from its files to the four data sets: time, memory, and the cost of one change.

The stages' own functions in processes of their own, without versioning and tracking; Python
modules of this environment, all examples kept.
"""

from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.corpus import write_packages
from benchmarks.measured import Act, measure_function
from benchmarks.plain import prepare
from benchmarks.timing import Spent, Timing
from benchmarks.workspace import DATA_STAGES, Workspace
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines.versioning.project import find_root

MEGABYTES = 17.0
"""Megabytes of Python, which give about 100,000 examples."""

_SECONDS_AN_EXAMPLE = 120 / 100_000
_SHARE_OF_A_CHANGE = 0.05
_LARGE, _SMALL = "large", "half"
_FULL, _CHANGED = "all stages, from nothing", "all stages, one file changed"
_NO_CAPS: dict[str, Any] = {"max_train": None, "max_validation": None, "max_test": None, "max_by_kind": {}}
_Stages = dict[str, tuple[Spent, float]]
"""Cost of each stage, and the number of rows it wrote."""


def measure(work: Workspace, repeats: int, megabytes: float = MEGABYTES) -> list[Timing]:
    """Run once each, ignoring ``repeats``: half of the corpus, all, one change, all again."""
    for key, value in _NO_CAPS.items():
        work.set_parameter("datasets", key, value)
    sizes = {}
    for project, share in ((_SMALL, 0.5), (_LARGE, 1.0)):
        sizes[project] = write_packages(work.source(project), megabytes * share) / 1e6
        work.add_project(project)
    baseline, again = work.root / "kept", work.root / "again"
    half = _run(work, baseline, _SMALL)
    full = _run(work, baseline, _LARGE)
    examples = _examples(baseline, _LARGE)
    _edit(work)
    changed = _run(work, baseline, _LARGE)
    _run(work, again, _LARGE)
    return [
        *_by_stage(full, half, sizes),
        _whole_run_timing(full, half, examples),
        _after_change(changed, full, sum(examples.values()), _differing(baseline, again)),
    ]


def _by_stage(full: _Stages, half: _Stages, sizes: dict[str, float]) -> list[Timing]:
    size, smaller = sizes[_LARGE], sizes[_SMALL]
    return [
        Timing(
            stage,
            (spent,),
            note=f"{rows:,.0f} rows; {smaller:.1f} MB took {half[stage][0].cpu:.1f} s of processor "
            f"time and {half[stage][0].peak:.0f} MiB",
            amount=size,
            unit="MB",
        )
        for stage, (spent, rows) in full.items()
    ]


def _whole_run_timing(full: _Stages, half: _Stages, examples: dict[str, int]) -> Timing:
    count = sum(examples.values())
    parts = ", ".join(f"{name.removesuffix('_dataset')} {n:,}" for name, n in examples.items())
    growth = _sum(full).peak / _sum(half).peak
    note = f"{count:,} examples: {parts}; {growth:.2f} x the memory that half of it needs"
    return Timing(_FULL, (_sum(full),), count * _SECONDS_AN_EXAMPLE, note=note, amount=count, unit="examples")


def _after_change(changed: _Stages, full: _Stages, count: int, differing: list[str]) -> Timing:
    spent, full_spent = _sum(changed), _sum(full)
    dearest = sorted(changed, key=lambda stage: -changed[stage][0].cpu)[:4]
    note = (
        f"{spent.cpu / full_spent.cpu:.1%} of the processor time; most: "
        + ", ".join(f"{stage} {changed[stage][0].cpu:.2f} s" for stage in dearest)
        + f"; against a run from nothing: {', '.join(differing) or 'every byte the same'}"
    )
    target = _SHARE_OF_A_CHANGE * full_spent.wall
    return Timing(_CHANGED, (spent,), target, _FULL, note=note, amount=count, unit="examples")


def _sum(stages: _Stages) -> Spent:
    return sum((spent for spent, _ in stages.values()), Spent(0.0, 0.0))


def _run(work: Workspace, out: Path, project: str) -> _Stages:
    target = f"{__name__}:prepare_stage"
    return {stage: measure_function(work, target, out, project, stage) for stage in DATA_STAGES}


def prepare_stage(out: str, project: str, stage: str) -> Act:
    """One stage with reading and writing; row caches stay next to its outputs. Returns rows.

    The parameters are read before: all stages of a run share them.
    """
    return prepare(find_root(), Path(out), project, stage, Path(out) / "rows")


def _edit(work: Workspace) -> None:
    """Add a function to the middle module, and update the pin."""
    modules = sorted(work.source(_LARGE).rglob("*.py"))
    path = modules[len(modules) // 2]
    added = "\n\ndef benchmark(first, second):\n    return first + 20 * second\n"
    path.write_bytes(path.read_bytes() + added.encode())
    work.cortex("update", _LARGE)


def _examples(out: Path, project: str) -> dict[str, int]:
    return {
        stage: sum(_rows(out / stage / project / f"{split}.parquet") for split in SPLITS)
        for stage in DATA_STAGES
        if stage.endswith("_dataset")
    }


def _rows(table: Path) -> int:
    return int(pl.scan_parquet(table).select(pl.len()).collect().item())


def _differing(first: Path, other: Path) -> list[str]:
    """Files of the large project whose bytes differ between the folders."""
    differing = []
    for stage in DATA_STAGES:
        folders = [folder / stage / _LARGE for folder in (first, other)]
        names = {path.name for folder in folders for path in folder.iterdir()}
        for name in sorted(names):
            files = [folder / name for folder in folders]
            if not all(f.is_file() for f in files) or len({f.read_bytes() for f in files}) > 1:
                differing.append(f"{stage}/{name} differs")
    return differing
