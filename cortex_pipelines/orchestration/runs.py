"""Run assets in this process in topological order; ``cortex retrain``."""

import logging
import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import psutil

from cortex_pipelines.atomic import started_by
from cortex_pipelines.monitoring.policy import RetrainingDecision, log_decision
from cortex_pipelines.orchestration.nightly import models_of, plan_retraining
from cortex_pipelines.orchestration.planning import ANYWAY, FRESH, decide, stages_of
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.lock_file import stage_address
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")
_PROCESS, _MACHINE = "cortex/process", "cortex/machine"


@dataclass(frozen=True)
class RunOutcome:
    made: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: "RunOutcome") -> "RunOutcome":
        return RunOutcome(self.made + other.made, self.failed | other.failed)


def run_assets(
    project: Project,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    names: Sequence[str],
    partition: str | None,
) -> RunOutcome:
    """Run exactly these assets, all partitioned or all not, in one Dagster run; KeyboardInterrupt passes."""
    follow_projects(instance, project)
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey(name) for name in names],
        partition_key=partition,
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={_PROCESS: str(os.getpid()), _MACHINE: platform.node()},
    )
    failures = result.get_step_failure_events()
    interrupt = dg.DagsterExecutionInterruptedError.__name__
    # Dagster reports Ctrl-C like any other step failure
    if any(error.cls_name == interrupt for event in failures for error in _causes(event)):
        raise KeyboardInterrupt
    failed = {stage_address(str(event.step_key), partition): _message(event) for event in failures}
    materialised = [stage_address(name, partition) for name in names if result.asset_materializations_for_node(name)]
    return RunOutcome(tuple(materialised), failed)


def close_dead_runs(instance: dg.DagsterInstance, is_daemon: bool = False) -> int:
    """Mark runs whose process is gone as failed, which frees their places in the queue and in pools.

    A container that shares the project's folder has other processes: what a command ran is judged on its machine alone,
    what Dagster launched where its daemon runs.
    """
    active_runs = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    dead = [
        record.dagster_run
        for record in instance.get_run_records(active_runs)
        if (
            _is_dead(record) if _PROCESS in record.dagster_run.tags else is_daemon and _is_dead_launch(instance, record)
        )
    ]
    for run in dead:
        instance.report_run_failed(run, "the process that ran it is gone; run it again")
    return len(dead)


def _is_dead(record: dg.RunRecord) -> bool:
    tags = record.dagster_run.tags
    is_here = tags.get(_MACHINE, platform.node()) == platform.node()
    return is_here and _has_ended(tags[_PROCESS], record.create_timestamp.timestamp())


def _is_dead_launch(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether the process of a run is gone that Dagster's launcher notes in its log, and that nothing looks for."""
    for entry in instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        if process := entry.get_dagster_event().engine_event_data.metadata.get("pid"):
            return _has_ended(str(process.value), entry.timestamp)
    return False


def _has_ended(process: str, time: float) -> bool:
    """Whether a process of that time is gone, though a later one may have its number; not if it cannot be inspected."""
    return not psutil.pid_exists(int(process)) or started_by(int(process), time) is False


_DAGSTERS = ("DagsterExecutionStepExecutionError", "DagsterMaxRetriesExceededError", "RetryRequested")


def _causes(event: dg.DagsterEvent) -> Iterator[Any]:
    error = event.step_failure_data.error
    while error:
        yield error
        error = error.cause


def _message(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    # what the asset raised, whose sentence says more than what that was raised from
    errors = [error for error in _causes(event) if error.cls_name not in _DAGSTERS]
    return str(errors[0].message).strip() if errors else "failed for an unknown reason"


def split_by_partitioning(project: Project, names: Iterable[str]) -> list[tuple[bool, list[str]]]:
    """Names in topological order, grouped by partitioning. Returns pairs of whether the assets are partitioned, and
    their names. Assets of one pair can share a Dagster run for each partition.
    """
    selected = set(names)
    remaining = [asset for asset in project.graph.order if asset.name in selected]
    groups: list[tuple[bool, list[str]]] = []
    while remaining:
        for partitioned in (True, False):
            group: list[str] = []
            for asset in list(remaining):
                blocked = not set(project.graph.wiring(asset.name).assets).isdisjoint(remaining)
                if asset.partitioned == partitioned and not blocked:
                    group.append(asset.name)
                    remaining.remove(asset)
            if group:
                groups.append((partitioned, group))
    return groups


def run_stale(
    project: Project,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    only: str | None = None,
    report: Callable[[str], None] = _LOG.info,
    among: Collection[str] | None = None,
) -> RunOutcome:
    """Run stale assets and their dependents until none is stale; those of a failed one are skipped."""
    outcome = RunOutcome()
    missing: set[str] = set()
    selected = stages_of(project, only, among)
    for partitioned, names in split_by_partitioning(project, project.graph.assets if among is None else among):
        stale = {(view.asset.name, view.partition) for view in dvc_views(project) if view.changed}
        for partition in project.partitions if partitioned else (None,):
            selected_names = [n for n in names if (n, partition) in selected]
            outdated = project.graph.downstream(n for n in selected_names if (n, partition) in stale)
            outdated = {n for n in selected_names if n in outdated}
            unavailable = set(missing)
            for name in names:
                if unavailable & {stage_address(*key) for key in project.inputs_of(name, partition)}:
                    unavailable.add(stage_address(name, partition))
            runnable = [n for n in names if n in outdated and stage_address(n, partition) not in unavailable]
            if runnable:
                report(f"{partition or 'all projects'}: {', '.join(runnable)}")
                outcome += run_assets(project, definitions, instance, runnable, partition)
            missing |= {stage_address(n, partition) for n in outdated} - set(outcome.made)
    return outcome


def describe_plan(project: Project, models: Sequence[ReleasedModel], anyway: bool) -> Iterator[str]:
    outdated = plan_retraining(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in outdated[model.partition])
        yield f"{model.name}: {decision.describe()}"
        for watch in project.graph.order:
            part = model.partition if watch.partitioned else None
            if watch.watches == model.asset and watch.name in outdated[part]:
                yield f"  {watch.name} is out of date: what is new is not counted yet"


def retrain(
    project: Project,
    models: Sequence[ReleasedModel],
    anyway: bool,
    among: Collection[str],
    report: Callable[[str], None],
    build: Callable[[str | None, Collection[str]], RunOutcome],
) -> RunOutcome:
    """Refresh stale assets that do not depend on a model; then decide, train, and evaluate.

    ``build`` makes what is stale of one project or all (None), among assets.
    """
    model_dependents = project.graph.downstream(models_of(project.graph))
    outcome = build(None, set(among) - model_dependents)
    stale = plan_retraining(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in stale[model.partition])
        report(f"{model.name}: {decision.describe()}")
        selected = project.graph.downstream([model.asset]) & set(among)
        if decision != FRESH:
            log_decision(project.root, model.name, decision, "person")
        # a fresh model may have been promoted, which makes its evaluation stale
        if decision == FRESH or decision.retrain:
            outcome += build(model.partition, selected)
    return outcome


def _decision(project: Project, model: ReleasedModel, anyway: bool, stale: bool) -> RetrainingDecision:
    if not stale:
        return FRESH
    return ANYWAY if anyway else decide(project, model, "person")
