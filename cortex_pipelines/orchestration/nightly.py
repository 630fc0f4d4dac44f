"""The nightly run: move the pins, refresh stale assets, promote passing models.

One job has a step for each asset, or for each project of a partitioned asset: ``code_units[flask]``. Steps depend on
each other as the assets do, so steps that read a failed output are skipped, all others continue, and the run can be
retried from the failure. The projects are those of ``params.yaml`` when the run starts.

A model is retrained only if the policy says so; the decision is in the log of the step and an observation of the asset.
The run tag ``cortex/retrain: anyway`` overrides it.
"""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from cortex_pipelines.monitoring.policy import Occasion, RetrainingDecision, log_decision
from cortex_pipelines.orchestration.planning import ANYWAY, decide
from cortex_pipelines.progress import Steps
from cortex_pipelines.projects.update_pins import UnreadSourcesError, update_pins
from cortex_pipelines.release.ledger import ReleasedModel, project_models
from cortex_pipelines.release.promote import deployment, promote_passed
from cortex_pipelines.release.promotion import may_be_promoted
from cortex_pipelines.serving.latency import too_slow
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dagster.dagster_assets import Tracker, logging_to, reported_errors, run_step
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dagster.staleness import Staleness, observe_pins
from cortex_pipelines.versioning.dvc.reconcile import DvcView, dvc_views
from cortex_pipelines.versioning.graph import Graph
from cortex_pipelines.versioning.materialise import Validate
from cortex_pipelines.versioning.project import Project, Stage

if TYPE_CHECKING:
    from cortex_pipelines.orchestration.runs import RunOutcome

JOB = "nightly"
REASON = "nightly run"
PINS, DATA, PLAN, PROMOTE = "move_pins", "build_data", "plan", "promote"
OVERRIDE_TAG = {"cortex/retrain": "anyway"}  # run tag that overrides the retraining policy
WEEKLY_TAG = {"cortex/schedule": "weekly"}  # run tag of the weekly schedule, which allows longer trainings
Open = Callable[[], Project]
BuildData = Callable[[Project, str | None, Collection[str], int], "RunOutcome"]
"""Builds what is stale of one project or all (None), among assets, so many stages at once."""


@dataclass(frozen=True)
class RetrainingJob:
    project: str | None
    names: frozenset[str]


def plan_retraining(project: Project, views: list[DvcView]) -> dict[str | None, frozenset[str]]:
    """Stale assets and everything downstream, by project (None: assets of all projects)."""
    outdated: set[tuple[str, str | None]] = set()
    for view in views:
        name, partition = view.asset.name, view.partition
        if view.changed or not outdated.isdisjoint(project.inputs_of(name, partition)):
            outdated.add((name, partition))
    return {
        partition: frozenset(name for name, key in outdated if key == partition)
        for partition in (*project.partitions, None)
    }


def step_names(projects: tuple[str, ...]) -> dict[str, str]:
    """Name of each project in step keys, which allow letters, digits and ``_`` only."""
    names: dict[str, str] = {}
    for project in projects:
        name = project.replace("-", "_")
        while name in names.values():
            name += "_"
        names[project] = name
    return names


class NightlyContext:
    def __init__(self, open_again: Open, tracker: Tracker, validate: Validate | None) -> None:
        self._open_again = open_again
        self._tracker = tracker
        self._validate = validate
        self._open_projects: dict[str, tuple[Project, Staleness]] = {}
        self._decisions: dict[tuple[str, ReleasedModel], RetrainingDecision] = {}

    def open_project(self, context: dg.OpExecutionContext) -> tuple[Project, Staleness]:
        if context.run_id not in self._open_projects:
            project = self._open_again()
            follow_projects(context.instance, project)
            self._open_projects = {context.run_id: (project, Staleness(context.instance, project))}
        return self._open_projects[context.run_id]

    def decision_to_skip(
        self, context: dg.OpExecutionContext, name: str, partition: str | None
    ) -> RetrainingDecision | None:
        """The decision not to retrain the model that an asset is or depends on, or None."""
        project, staleness = self.open_project(context)
        tags = context.run.tags.items()
        occasion: Occasion = "weekly" if WEEKLY_TAG.items() <= tags else "nightly"
        for asset in models_of(project.graph):
            model = ReleasedModel(asset, partition)
            is_counterpart = project.graph.assets[asset].partitioned == (partition is not None)
            if not is_counterpart or name not in project.graph.downstream([asset]):
                continue
            key = (context.run_id, model)
            if key not in self._decisions:
                # let Dagster observe current pins, so it notices settings that changed since
                observe_pins(context.instance, project, project.graph.wiring(asset).pins, (partition,))
                if not staleness.stale(asset, partition):
                    continue  # trained by the run that this one resumes
                decision = ANYWAY if OVERRIDE_TAG.items() <= tags else decide(project, model, occasion)
                log_decision(project.root, model.name, decision, occasion)
                context.log.info(f"{model.name}: {decision.describe()}")
                self._decisions[key] = decision
            if not self._decisions[key].retrain:
                return self._decisions[key]
        return None

    def refresh(
        self, context: dg.OpExecutionContext, name: str, partition: str | None
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        project, staleness = self.open_project(context)
        stage = Stage(project, project.graph.assets[name], partition)

        def is_fresh() -> bool:
            return not staleness.stale(name, partition)

        for result in run_step(context, stage, self._tracker, self._validate, is_fresh):
            if isinstance(result, dg.AssetCheckResult):
                yield _evaluation(name, result)
                continue
            yield dg.AssetMaterialization(name, partition=partition, metadata=result.metadata, tags=result.tags)
            for check in result.check_results or ():
                yield _evaluation(name, check)


def models_of(graph: Graph) -> list[str]:
    registered = {asset.registers for asset in graph.order}
    return [asset.name for asset in graph.order if asset.name in registered]


def _evaluation(name: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(name),
        check_name=str(result.check_name),
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
    )


def nightly_job(
    project: Project,
    open_again: Open,
    tracker: Tracker,
    validate: Validate | None,
    pool: str | None = None,
    build_data: BuildData | None = None,
) -> dg.JobDefinition:
    """``pool``: Dagster's pool of steps that train; ``build_data``: builds the data of all projects at once, first."""
    nightly = NightlyContext(open_again, tracker, validate)
    graph = project.graph
    models = models_of(graph)
    steps = {
        asset.name: _asset_op(asset, graph, nightly, pool if asset.name in models else None) for asset in graph.order
    }
    gates = {asset.name: _promote_op(asset, graph, nightly) for asset in graph.order if asset.registers}
    plan_op = _plan_op(nightly)
    of_models = graph.downstream(models)
    data_op = _data_op(nightly, set(graph.assets) - of_models, build_data) if build_data else None

    outs = {"moved": dg.Out(dg.Nothing), "unread": dg.Out(str)}

    @dg.op(name=PINS, description="Pin the current state of every source.", out=outs)
    def pins_op(context: dg.OpExecutionContext) -> Iterator[Any]:
        unread = ""
        with reported_errors(context):
            try:
                changed_pins = update_pins(project.root)
            except UnreadSourcesError as error:
                unread, changed_pins = str(error), error.changed
        context.log.info(f"pins moved: {', '.join(changed_pins) or 'none'}")
        yield dg.Output(unread, "unread")
        yield dg.Output(None, "moved", metadata={"pins moved": ", ".join(changed_pins) or "none"})

    @dg.op(name="sources_read", description="Fails if a source could not be read; the others are built all the same.")
    def sources_op(unread: str) -> None:
        if unread:
            raise dg.Failure(unread)

    # One process for all steps: separate ones would each spend seconds on imports.
    @dg.job(
        name=JOB,
        description="Nightly retraining of everything whose sources changed.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        pins, unread = pins_op()
        sources_op(unread)
        planned = plan_op(data_op(pins) if data_op else pins)
        outputs: dict[str, Any] = {}
        # monitors of a model come before it
        for asset in sorted(graph.order, key=lambda asset: asset.name in of_models):
            step = partial(_connect_step, steps[asset.name].alias(asset.name), asset, graph, outputs)
            partitioned = asset.partitioned
            outputs[asset.name] = planned.projects.map(step) if partitioned else step(planned.shared)
            if asset.registers:
                gate = gates[asset.name].alias(f"{PROMOTE}_{asset.registers}")
                promote = partial(_connect_gate, gate, outputs[asset.name], partitioned)
                planned.projects.map(promote) if partitioned else promote(planned.shared)

    return job


def _prerequisites(asset: VersionedAsset, graph: Graph) -> list[VersionedAsset]:
    monitors = [other for other in graph.order if other.watches == asset.name]
    return [*graph.wiring(asset.name).assets, *monitors]


def _connect_step(step: Any, asset: VersionedAsset, graph: Graph, outputs: dict[str, Any], todo: Any) -> Any:
    inputs = {}
    for other in _prerequisites(asset, graph):
        output = outputs[other.name]
        if other.partitioned:
            output = _project_output(output) if asset.partitioned else output.collect()
        inputs[other.name] = output
    return step(todo=todo, **inputs)


def _connect_gate(gate: Any, output: Any, partitioned: bool, todo: Any) -> Any:
    return gate(todo=todo, passed=_project_output(output) if partitioned else output)


def _project_output(outputs_by_project: Any) -> Any:
    outputs: list[Any] = []

    def collect(output: Any) -> Any:
        outputs.append(output)
        return output

    outputs_by_project.map(collect)
    return outputs[0]


def _data_op(nightly: NightlyContext, among: Collection[str], build_data: BuildData) -> dg.OpDefinition:
    @dg.op(
        name=DATA,
        description="Build the stale data of all projects at once; what fails is tried again as a step of its own",
        ins={"pins": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        config_schema={"jobs": dg.Field(int, len(os.sched_getaffinity(0)), description="Stages at once")},
    )
    def op(context: dg.OpExecutionContext) -> Iterator[Any]:
        built_stages: tuple[str, ...] = ()
        if context.op_config["jobs"] > 1:
            with reported_errors(context), logging_to(context), Steps({}):
                project, _ = nightly.open_project(context)
                outcome = build_data(project, None, among, context.op_config["jobs"])
            built_stages = outcome.made
            for address, error in outcome.failed.items():
                context.log.warning(f"{address}: {error}")
        yield dg.Output(None, metadata={"made": ", ".join(built_stages) or "nothing"})

    return op


def _plan_op(nightly: NightlyContext) -> dg.OpDefinition:
    @dg.op(
        name=PLAN,
        description="Ask DVC what is stale; a project with nothing to do has no steps",
        ins={"pins": dg.In(dg.Nothing)},
        out={"projects": dg.DynamicOut(RetrainingJob), "shared": dg.Out(RetrainingJob)},
    )
    def op(context: dg.OpExecutionContext) -> Iterator[Any]:
        with reported_errors(context):
            project, _ = nightly.open_project(context)
            outdated = plan_retraining(project, dvc_views(project))
        awaiting_promotion = {
            model.partition for model in project_models(project) if may_be_promoted(project.root, model)
        }
        for name, key in step_names(project.partitions).items():
            if outdated[name] or name in awaiting_promotion:
                yield dg.DynamicOutput(RetrainingJob(name, outdated[name]), key, output_name="projects")
        asset_lists = {name or "all projects": ", ".join(sorted(outdated[name])) for name in outdated}
        stale = {name: text for name, text in asset_lists.items() if text}
        yield dg.Output(RetrainingJob(None, outdated[None]), "shared", metadata=stale or {"stale": "nothing"})

    return op


def _asset_op(asset: VersionedAsset, graph: Graph, nightly: NightlyContext, pool: str | None) -> dg.OpDefinition:
    @dg.op(
        name=f"{JOB}_{asset.name}",
        description=asset.description,
        ins={"todo": dg.In(RetrainingJob)} | {other.name: dg.In(dg.Nothing) for other in _prerequisites(asset, graph)},
        out=dg.Out(dg.Nothing),
        tags={"cortex/asset": asset.name},
        pool=pool,
    )
    def op(context: dg.OpExecutionContext, todo: RetrainingJob) -> Iterator[Any]:
        metadata: dict[str, Any] = {"made": False}
        if asset.name in todo.names:
            if decision := nightly.decision_to_skip(context, asset.name, todo.project):
                reasons = {"retraining": decision.describe()}
                yield dg.AssetObservation(asset.name, partition=todo.project, metadata=reasons)
                metadata |= reasons
            else:
                for event in nightly.refresh(context, asset.name, todo.project):
                    metadata["made"] |= isinstance(event, dg.AssetMaterialization)
                    yield event
        yield dg.Output(None, metadata=metadata)

    return op


def _promote_op(asset: VersionedAsset, graph: Graph, nightly: NightlyContext) -> dg.OpDefinition:
    gate_inputs = [other.name for other in graph.order if asset.registers in (other.champion_of, other.watches)]
    reached = graph.downstream(gate_inputs)
    downstream = [o.name for o in graph.order if o.name in reached and o.partitioned in (asset.partitioned, False)]

    @dg.op(
        name=f"{JOB}_{PROMOTE}_{asset.registers}",
        description=f"Promote the challenger of {asset.registers}, if its gate passed.",
        ins={"todo": dg.In(RetrainingJob), "passed": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
    )
    def op(context: dg.OpExecutionContext, todo: RetrainingJob) -> Iterator[Any]:
        project, _ = nightly.open_project(context)
        model = ReleasedModel(str(asset.registers), todo.project)
        with reported_errors(context):
            settings = deployment(project, {})
            entries = promote_passed(project, REASON, too_slow, settings, context.log.info, models=[model])
        for entry in entries:
            context.log.info(entry.describe())
        # A gate names the champion it compared with; rerun, it finds the same verdict in its cache.
        for name in downstream if entries else ():
            partition = todo.project if graph.assets[name].partitioned else None
            yield from nightly.refresh(context, name, partition)
        yield dg.Output(None, metadata={"promoted": ", ".join(entry.model for entry in entries) or "none"})

    return op
