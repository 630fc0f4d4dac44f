"""Versions of many projects: each act on 10 toy projects, and what 40 cost in relation to them.

Five small assets, nothing to compute, so that only versioning is measured. An act whose cost grows
with the number of projects takes as long a project with 40 as with 10: a ratio of 1.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.growth import project_names
from benchmarks.timing import Spent, Timing, repeat, timed
from benchmarks.workspace import Workspace
from cortex_pipelines.orchestration.nightly import plan_retraining
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines_tests.versioning.toy import Workbench, begin_made

FEW, MANY = 10, 40
_PEER = "dvc status"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Two toy projects, made and committed outside of the timing."""
    few, many = (dict(_acts(begin_made(work.root / str(n), project_names(n)), repeats)) for n in (FEW, MANY))
    return [
        timing
        for action in few
        for timing in (
            Timing(
                _name(action, FEW), few[action], None,
                None if action == _PEER else _name(_PEER, FEW), action == _PEER,
                amount=FEW, unit="projects",
            ),
            Timing(
                _name(action, MANY), many[action], None, _name(action, FEW), action == _PEER,
                amount=MANY, unit="projects",
            ),
        )
    ]  # fmt: skip


def _name(action: str, projects: int) -> str:
    return f"{action}, {projects} projects"


def _acts(bench: Workbench, repeats: int) -> Iterator[tuple[str, tuple[Spent, ...]]]:
    bench.sync()
    project, first = bench.project(), bench.project().partitions[0]
    status = bench.staleness().snapshot

    def changed(number: int) -> None:
        """Another version of one project, made by Dagster."""
        bench.edit("sources.lock", lambda v: v["projects"].update({first: [str(number)]}))

    def run(number: int) -> Spent:
        changed(number)
        return timed(lambda: bench.run(["words"], first))

    def planned() -> None:
        opened_project = bench.project()
        plan_retraining(opened_project, dvc_views(opened_project))

    yield _PEER, repeat(repeats, lambda: _plain_status(bench.root))
    yield "sync", repeat(repeats, bench.sync)
    yield "staleness", repeat(repeats, lambda: _all(status().status, bench, project))
    changed(-1)
    yield "plan", repeat(repeats, planned)
    yield "one asset of one project", tuple(run(number) for number in range(repeats))


def _all(status: Callable[[str, str | None], object], bench: Workbench, project: object) -> None:
    for name, partition in bench.all_stages_of(project):  # type: ignore[arg-type]
        status(name, partition)


def _plain_status(root: Path) -> None:
    """DVC's own, in this process as everything else here."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    with contextlib.chdir(root), Repo(str(root)) as repo:
        repo.status()
