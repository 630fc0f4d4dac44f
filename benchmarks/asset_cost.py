"""Overhead of versioning and tracking per asset: with Dagster, DVC and MLflow, and without them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from benchmarks.timing import Spent, Timing, repeat, timed
from benchmarks.workspace import CHECKOUT, DATA_STAGES, Workspace
from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.assets import code_units
from cortex_pipelines.rowcache import RowCache

_PROJECT = "testing"
_PLAIN = "function and write_parquet"
_BEGIN = 400


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """``code_units`` of one project, rebuilt each time because a parameter changed."""
    work.cortex("run", *DATA_STAGES)  # a lock file of the usual size
    files = work.root / "data" / "repository_files" / _PROJECT
    plain = repeat(repeats, lambda: _plain(files))
    cold, *warm = _ours(work, repeats + 1)
    fastest = Spent(min(run.wall for run in plain), min(run.cpu for run in plain))
    cost = tuple(Spent(run.wall - fastest.wall, run.cpu - fastest.cpu) for run in warm)
    return [
        Timing(_PLAIN, plain, peer=True, note="the same work, nothing remembered"),
        Timing(
            "Dagster, default IO manager",
            _dagster(files, repeats),
            None,
            _PLAIN,
            True,
            "pickles; no version of data, no run's parameters or metrics",
        ),
        Timing("cortex, first asset of a process", (cold,), None, _PLAIN, note="imports MLflow"),
        Timing("cortex, each further asset", tuple(warm), None, _PLAIN),
        Timing("of which versioning and tracking", cost, 1.5, _PLAIN),
    ]


def _plain(files: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in _tables(files, Path(folder) / "rows").items():
            frame.write_parquet(Path(folder) / f"{name}.parquet")


def _tables(files: Path, rows: Path) -> dict[str, pl.DataFrame]:
    """Output of the asset's function, with one parameter of the extraction changed."""
    settings = load_parameters(CHECKOUT).extraction.model_copy(update={"max_header_chars": _BEGIN})
    tables: dict[str, pl.DataFrame] = code_units(files, settings, _PROJECT, RowCache(rows, "1"))
    return tables


def _ours(work: Workspace, times: int) -> Iterator[Spent]:
    from cortex_pipelines.orchestration.location import open_location
    from cortex_pipelines.orchestration.runs import run_assets
    from cortex_pipelines.versioning.dagster.instance import open_instance

    instance = open_instance(work.root)
    for number in range(times):
        work.set_parameter("extraction", "max_header_chars", _BEGIN + 1 + number)
        project, definitions = open_location(work.root)
        yield timed(lambda: run_assets(project, definitions, instance, ["code_units"], _PROJECT))  # noqa: B023


def _dagster(files: Path, times: int) -> tuple[Spent, ...]:
    import dagster as dg

    @dg.asset
    def sources() -> Path:
        return files

    @dg.asset
    def units(sources: Path) -> dict[str, pl.DataFrame]:
        with tempfile.TemporaryDirectory() as rows:
            return _tables(sources, Path(rows))

    quiet = {"telemetry": {"enabled": False}}
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home, overrides=quiet) as instance:
        dg.materialize([sources, units], instance=instance)
        return repeat(times, lambda: dg.materialize([sources, units], selection=[units], instance=instance))
