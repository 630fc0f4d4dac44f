"""Commands that build assets, and bring Dagster and MLflow in line with DVC."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import current_instance, current_project, in_project, open_workspace, print_json, say
from cortex_pipelines.cli.groups import suggestion
from cortex_pipelines.interrupts import ending_on_interrupt
from cortex_pipelines.versioning.root import ProjectError

if TYPE_CHECKING:
    from cortex_pipelines.orchestration.runs import RunOutcome
    from cortex_pipelines.progress import Steps
    from cortex_pipelines.versioning.project import Project


def _report_outcome(outcome: "RunOutcome", project: "Project") -> None:
    """Say what failed, or which models were judged and what to do next; exit with an error if anything failed."""
    from cortex_pipelines.orchestration.planning import unused_code
    from cortex_pipelines.release.gates import read_verdict
    from cortex_pipelines.release.ledger import project_models
    from cortex_pipelines.release.promotion import may_be_promoted, verdict_folder
    from cortex_pipelines.versioning.lock_file import stage_address

    for address, error in outcome.failed.items():
        say(f"FAILED {address}: {error}")
    if outcome.failed:
        say(*unused_code(project, outcome.failed), "correct that and run again: what was built is kept")
        sys.exit(1)
    promotable = False
    for model in project_models(project):
        if stage_address(f"{model.asset}_release", model.partition) in outcome.made:
            verdict = read_verdict(verdict_folder(project.root, model)) or {}
            if passed := may_be_promoted(project.root, model):
                say(f"{model.name}: its new version passed the gate; it serves after `cortex promote {model.name}`")
            elif verdict.get("verdict") != "promoted":
                say(f"{model.name}: its new version is held back: {verdict.get('reason')}")
            promotable |= passed
    if outcome.made and "DVC_STAGE" not in os.environ:
        say(f"next: {'`cortex promote`' if promotable else '`cortex summary` shows what came of it'}")


@contextmanager
def _counting_steps(
    project: "Project", partition: str | None, among: Collection[str], jobs: int | None
) -> "Iterator[Steps]":
    """Count the steps of a run; Ctrl-C and SIGTERM say how many were built."""
    from cortex_pipelines.orchestration.planning import base_refusals
    from cortex_pipelines.orchestration.scheduling import plan_jobs
    from cortex_pipelines.progress import Steps

    with Steps({}):
        planned, jobs = plan_jobs(project, partition, among, jobs)
    _refuse(base_refusals(project, [step.address for step in planned], missing=False))
    try:
        with Steps({step.address: step.seconds for step in planned}, jobs) as steps, ending_on_interrupt():
            yield steps
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {steps.completed} of {steps.total} built; run again to continue") from None


def _refuse(sentences: Iterable[str]) -> None:
    """ProjectError if there is a reason not to train."""
    if reasons := list(sentences):
        raise ProjectError("; ".join(reasons))


_JOBS = click.option("--jobs", type=click.IntRange(1, 1024), help="Stages at once.  [default: what fits this machine]")


@click.command(epilog="Example: cortex run code_units --project flask")
@click.argument("assets", nargs=-1)
@click.option("--project", "partition", help="Only this project.")
@click.option("--upstream", is_flag=True, help="Also whatever ASSETS are made from and is stale.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would run; run nothing.")
@click.option("--backend", type=click.Choice(["processes", "ray", "serial"]), help="Instead of execution.backend.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Instead of execution.workers.")
@_JOBS
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON: seconds, MB of memory and of disk.")
@in_project
@ending_on_interrupt()
def run(
    assets: tuple[str, ...],
    partition: str | None,
    upstream: bool,
    only_plan: bool,
    backend: str | None,
    workers: int | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Build only the named ASSETS; without names, everything that is stale.

    NAME@PROJECT, as other commands show it, is NAME with --project PROJECT.
    """
    from cortex_pipelines.parallel.ordered import BACKEND, WORKERS, start_workers
    from cortex_pipelines.parallel.processes import job_processes, preload
    from cortex_pipelines.versioning.lock_file import split_address, stage_address

    if as_json and not only_plan:
        raise click.UsageError("--json is for --plan: a run reports in words")
    # processes that this one starts have the same
    os.environ |= {name: str(value) for name, value in ((BACKEND, backend), (WORKERS, workers)) if value}
    addresses = [split_address(asset) for asset in assets]
    assets = tuple(name for name, _ in addresses)
    projects = {part for part in (partition, *(part for _, part in addresses)) if part}
    if len(projects) > 1:
        raise ProjectError(f"name one project at a time, not {' and '.join(sorted(projects))}")
    partition = next(iter(projects), None)
    if only_plan:
        workspace = current_project()
        _check_names(workspace, assets, partition)
        planned = set(assets) or _buildable_assets(workspace)
        _show_plan(workspace, workspace.graph.upstream(planned) if upstream else planned, partition, jobs, as_json)
        return
    if "DVC_STAGE" in os.environ:  # DVC holds the locks that a sync needs, and counts its stages itself
        project, definitions, instance = open_workspace()
        _check_names(project, assets, partition)
        _report_outcome(_run_named(project, definitions, instance, assets, partition), project)
        return
    with ExitStack() as stack:
        processes = stack.enter_context(closing(job_processes((jobs or 1) - 1)))
        processes.submit_to_all(preload, "cortex_pipelines.orchestration.location")  # while this one loads it
        from cortex_pipelines.orchestration import runs, scheduling, side_by_side
        from cortex_pipelines.orchestration.location import open_location, sync_project
        from cortex_pipelines.orchestration.planning import execution_of, stages_of
        from cortex_pipelines.progress import Steps
        from cortex_pipelines.versioning.dvc.dvc_store import ordered_lock

        project, definitions, instance = opened = open_workspace()
        _check_names(project, assets, partition)
        runner = None
        if jobs and jobs > 1:
            runner = side_by_side.Jobs(opened, processes, open_location)
        with Steps({}):
            sync_project(project, instance)
        among = set(assets) or _buildable_assets(project)
        if upstream:
            among = project.graph.upstream(among)
        keys = scheduling.serial_order(project, among, partition)
        steps = stack.enter_context(_counting_steps(project, partition, among, jobs))
        if jobs is None and steps.jobs > 1:
            processes = stack.enter_context(closing(job_processes(steps.jobs - 1)))
            runner = side_by_side.Jobs(opened, processes, open_location)
        stack.enter_context(ordered_lock(project.root, [stage_address(*key) for key in keys]))
        execution = execution_of(project)
        if runner is None and execution and sum(filter(None, steps.expected.values())) > scheduling.LONG_RUN:
            start_workers(execution, "cortex_pipelines.extraction.units")
        if runner:
            outcome = side_by_side.run_at_once(runner, keys, upstream or not assets)
        elif upstream or not assets:
            outcome = runs.run_stale(project, definitions, instance, partition, lambda _: None, among)
        else:
            outcome = _run_named(project, definitions, instance, assets, partition)
    selected = sum(name in among for name, _ in stages_of(project, partition, among))
    unchanged = selected - steps.completed - len(outcome.failed)
    fresh = f"; {unchanged} unchanged" if unchanged > 0 else ""
    say(
        f"{steps.completed} made{fresh}"
        if steps.completed
        else "nothing is stale"
        if not outcome.failed
        else "nothing made"
    )
    _report_outcome(outcome, project)


def _run_named(
    project: "Project", definitions: Any, instance: Any, assets: tuple[str, ...], partition: str | None
) -> "RunOutcome":
    from cortex_pipelines.orchestration import runs

    outcome = runs.RunOutcome()
    for partitioned, names in runs.split_by_partitioning(project, assets):
        parts: tuple[str | None, ...] = project.partitions if partitioned else (None,)
        for part in (partition,) if partitioned and partition else parts:
            outcome += runs.run_assets(project, definitions, instance, names, part)
    return outcome


@click.command(epilog="Example: cortex retrain --plan")
@click.argument("model", required=False)
@click.option("--plan", "only_plan", is_flag=True, help="Show the decisions; run nothing.")
@click.option("--anyway", is_flag=True, help="Train whatever is stale, whatever the policy says.")
@_JOBS
@in_project
@ending_on_interrupt()
def retrain(model: str | None, only_plan: bool, anyway: bool, jobs: int | None) -> None:
    """Make what is stale, and train those models again that the policy of retraining names.

    The policy is section `retraining` of params.yaml. MODEL is a name as in `cortex releases`;
    without it all are decided.
    """
    from cortex_pipelines.orchestration import runs, scheduling, side_by_side
    from cortex_pipelines.orchestration.location import open_location, sync_project
    from cortex_pipelines.release.ledger import project_models
    from cortex_pipelines.release.promote import find_model

    project, definitions, instance = open_workspace()
    among = _buildable_assets(project)
    if model:
        selected = [find_model(project, model)]
    else:
        selected = [trainable for trainable in project_models(project) if trainable.asset in among]
    if only_plan:
        for line in runs.describe_plan(project, selected, anyway):
            click.echo(line)
        return
    sync_project(project, instance)

    def build(partition: str | None, assets: Collection[str]) -> "RunOutcome":
        count = jobs or scheduling.plan_jobs(project, partition, assets, None)[1]
        if count > 1:
            return side_by_side.run_stale_at_once(project, partition, assets, count, open_location)
        return runs.run_stale(project, definitions, instance, partition, say, assets)

    outcome = runs.retrain(project, selected, anyway, among, say, build)
    _report_outcome(outcome, project)


def _buildable_assets(project: "Project") -> set[str]:
    """Assets that can be built: without the agent system's logs no router is trained."""
    from cortex_pipelines.versioning.lock_file import locked_stages
    from cortex_pipelines.versioning.project import look_up, read_yaml

    logs = look_up(read_yaml(project.root / "sources.lock"), "coordination.files")
    locked = locked_stages(project.root)
    all_assets = {asset.name for asset in project.graph.order if not asset.on_request or asset.name in locked}
    if logs != []:
        return all_assets
    say(
        "no router is trained: coordination.logs has no logs of the agent system; put some there "
        "and run `cortex update`"
    )
    return all_assets - project.graph.downstream(["routing_dataset"])


def _show_plan(
    project: "Project", assets: Collection[str], partition: str | None, jobs: int | None, as_json: bool
) -> None:
    """Show stale assets, what each takes, and data excluded by limits."""
    from cortex_pipelines.orchestration import scheduling
    from cortex_pipelines.orchestration.planning import base_refusals, data_left_out, duration
    from cortex_pipelines.orchestration.stage_costs import Estimate, total
    from cortex_pipelines.versioning.lock_file import split_address

    steps, jobs = scheduling.plan_jobs(project, partition, assets, jobs)
    seconds = total(step.cost.seconds for step in steps if step.cost.seconds)
    if jobs > 1:
        expected = {split_address(step.address): step.seconds or 0.0 for step in steps}
        schedule = scheduling.scheduled(project, list(expected), jobs)
        seconds *= scheduling.estimated_seconds(schedule, expected) / max(seconds.expected, 1e-9)
    # of one stage: the most that any takes
    memory = max((step.cost.memory for step in steps if step.cost.memory), key=lambda m: m.high, default=None)
    disk = total(step.cost.disk for step in steps if step.cost.disk)
    left_out = list(data_left_out(project, partition))
    if as_json:
        print_json(
            {
                "stages": [{"stage": step.address, "rows": step.rows, **step.cost.as_json()} for step in steps],
                "seconds": seconds.as_json(),
                "memory_mb": memory.as_json() if memory else None,
                "disk_mb": disk.as_json(),
                "jobs": jobs,
                "left_out": left_out,
            }
        )
        return

    def span(estimate: Estimate) -> str:
        return f"{duration(estimate.low)} to {duration(estimate.high)}"

    for step in steps:
        cost = step.cost
        words = [
            f"{span(cost.seconds)}, by {cost.basis}" if cost.seconds else cost.basis,
            f"{cost.memory.expected:,.0f} MB of memory" if cost.memory else "",
            f"{cost.disk.expected:,.1f} MB on disk" if cost.disk else "",
            "" if step.rows is None else f"reads {step.rows:,} rows",
        ]
        time = duration(cost.seconds.expected) if cost.seconds else "?"
        click.echo(f"{step.address:<44} {time:>9}  ({'; '.join(filter(None, words))})")
    unknown = sum(step.cost.seconds is None for step in steps)
    click.echo(
        f"{len(steps)} to run, {duration(seconds.expected)} ({span(seconds)})"
        + (f" and {unknown} without a known duration" if unknown else "")
        + (f", {memory.expected:,.0f} MB of memory" if memory else "")
        + f", {disk.expected:,.0f} MB on disk"
        if steps
        else "nothing is stale"
    )
    before = project.graph.upstream(assets).difference(assets)
    if lacking := len(scheduling.plan_jobs(project, partition, before, jobs)[0]) if before else 0:
        click.echo(f"stale or missing before these: {lacking}; `--upstream` makes them first")
    click.echo("".join(f"{sentence}\n" for sentence in left_out), nl=False)
    _refuse(base_refusals(project, [step.address for step in steps], missing=True))


def _check_names(project: "Project", assets: tuple[str, ...], partition: str | None) -> None:
    unknown = [name for name in assets if name not in project.graph.assets]
    if unknown:
        names = [asset.name for asset in project.graph.order]
        hint = suggestion(unknown[0], names) or f"; there is: {', '.join(names)}"
        raise ProjectError(f"no asset {', '.join(unknown)}{hint}")
    project.selected(partition)


@click.command(epilog="Example: dvc repro && cortex sync")
@in_project
@ending_on_interrupt()
def sync() -> None:
    """Synchronise Dagster, MLflow and the registry's aliases with DVC."""
    from cortex_pipelines.orchestration.location import sync_aliases, sync_project
    from cortex_pipelines.release.promote import sign_released_versions

    say("comparing what DVC has with Dagster and MLflow")
    project = current_project()
    events = sync_project(project, current_instance(), thorough=True)
    if signed := sign_released_versions(project):
        say(f"{signed} models signed")
    say(f"events reported to Dagster: {events}; aliases moved: {sync_aliases(project)}")
