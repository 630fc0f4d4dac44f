"""How the spine's costs grow with the number of projects: in a command ``python -m benchmarks.growth 10 100 1000``.

The toy graph has three assets with a partition a project, and two that are made from all. Every
project begins made and committed; that state is written in one go, because committing one stage
at a time rewrites ``dvc.lock`` each time. Given are seconds of the processor.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.orchestration.nightly import plan_retraining
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines_tests.versioning.toy import Workbench, begin_made


def project_names(number: int) -> tuple[str, ...]:
    return tuple(f"p{index:04d}" for index in range(number))


def seconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return round(time.process_time() - start, 2)


def measure(bench: Workbench) -> dict[str, float]:
    timings = {"load": seconds(lambda: bench.definitions(bench.project()).resolve_asset_graph())}
    timings["first sync"] = seconds(bench.sync)
    timings["quiet sync"] = seconds(bench.sync)
    project, snapshot = bench.project(), bench.staleness().snapshot()
    timings["dvc status"] = seconds(lambda: dvc_views(project))
    stale: list[str] = []
    timings["staleness of all"] = seconds(
        lambda: stale.extend(str(s) for s in bench.all_stages_of(project) if snapshot.status(*s)[0] != "FRESH")
    )
    assert not stale, stale[:3]
    first = project.partitions[0]
    bench.edit("sources.lock", lambda v: v["projects"].update({first: ["one", "two", "three"]}))
    project = bench.project()
    timings["plan of one changed project"] = seconds(lambda: plan_retraining(project, dvc_views(project)))
    for name, partition in (("words", first), ("loud", first), ("tally", None)):
        timings[f"run {name}"] = seconds(lambda n=name, p=partition: bench.run([n], p))  # type: ignore[misc]
    return timings


def main() -> None:
    """Measure each of the numbers of projects in the command line."""
    logging.disable(logging.WARNING)
    for number in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            bench = begin_made(Path(folder) / "p", project_names(number))
            print(number, json.dumps(measure(bench)), flush=True)


if __name__ == "__main__":
    main()
