"""The nightly run: move the pins, refresh stale assets, promote passing models.

It is one job with a step for each asset, and for each asset that belongs to a project a step a
project: ``code_units[flask]``. The steps depend on each other as the assets do, so what reads an
output that could not be made is skipped, everything else goes on, and the run can be executed again
from where it failed. The projects are those of ``params.yaml`` when the run starts.

A model is trained again only where the policy says so; what it says is in the log of the step, and
an observation of the asset. The run tag ``cortex/retrain: anyway`` overrules it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg

from cortex_pipelines.monitoring.decision import Occasion, RetrainingDecision, note
from cortex_pipelines.orchestration.retraining_inputs import ANYWAY, decide
from cortex_pipelines.projects.update_pins import move_pins
from cortex_pipelines.release.ledger import ReleasedModel, project_models
from cortex_pipelines.release.promote import deployment, promote_passed
from cortex_pipelines.release.promotion import passed
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dagster.dagster_assets import Tracker, made_by_step
from cortex_pipelines.versioning.dagster.partitions import follow_projects
from cortex_pipelines.versioning.dagster.provenance import observe_pins
from cortex_pipelines.versioning.dagster.retrying import failure, retry_policy
from cortex_pipelines.versioning.dvc.reconcile import DvcView, dvc_views
from cortex_pipelines.versioning.graph import Graph
from cortex_pipelines.versioning.materialise import Validate
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.staleness import Staleness

JOB = "nightly"
WHY = "nightly run"
PINS, PLAN, PROMOTE = "move_pins", "plan", "promote"
OVERRULED = {"cortex/retrain": "anyway"}
"""Run tag with which the policy of retraining does not count."""

WEEKLY = {"cortex/schedule": "weekly"}
"""Run tag of the weekly schedule, whose trainings may take longer."""

Open = Callable[[], tuple[Project, dg.Definitions]]


@dataclass(frozen=True)
class RetrainingJob:
    """Work of one night for one project, or for assets of all projects.

    Args:
        project: The project; None for what is made from all.
        names: Assets that are stale, or read something that is.
    """

    project: str | None
    names: frozenset[str]


def plan(project: Project, views: list[DvcView]) -> dict[str | None, frozenset[str]]:
    """Stale assets and everything downstream, by project (None: assets of all projects).

    Args:
        project: The project folder.
        views: What DVC says, in topological order.
    """
    reached: set[tuple[str, str | None]] = set()
    for view in views:
        name, part = view.asset.name, view.partition
        if view.changed or any(
            (other.name, key) in reached
            for other in project.graph.wiring(name).assets
            for key in ([part] if other.partitioned and part else project.partitions_of(other))
        ):
            reached.add((name, part))
    return {
        part: frozenset(name for name, key in reached if key == part)
        for part in (*project.partitions, None)
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


class Night:
    """The project and code location of the current run, each opened once.

    Args:
        open_again: Opens them with pins and parameters as they are then.
        tracker: Where versions are remembered.
        validate: Further check of a table before it is published.
    """

    def __init__(self, open_again: Open, tracker: Tracker, validate: Validate | None) -> None:
        self._open_again = open_again
        self._tracker = tracker
        self._validate = validate
        self._opened: dict[str, tuple[Project, Staleness]] = {}
        self._decided: dict[tuple[str, ReleasedModel], RetrainingDecision] = {}

    def opened(self, context: dg.OpExecutionContext) -> tuple[Project, Staleness]:
        """The project, and its stale assets according to Dagster."""
        if context.run_id not in self._opened:
            project, definitions = self._open_again()
            follow_projects(context.instance, project)
            self._opened = {context.run_id: (project, Staleness(context.instance, definitions))}
        return self._opened[context.run_id]

    def resting(
        self, context: dg.OpExecutionContext, name: str, partition: str | None
    ) -> RetrainingDecision | None:
        """Why an asset is not made: the policy lets the model that it is, or reads, rest."""
        project, staleness = self.opened(context)
        for asset in models_of(project.graph):
            model = ReleasedModel(asset, partition)
            part_of = project.graph.assets[asset].partitioned == (partition is not None)
            if not part_of or name not in project.graph.downstream([asset]):
                continue
            key = (context.run_id, model)
            if key not in self._decided:
                # Dagster compares with what it has seen: a setting that was changed since, too
                pins = project.graph.wiring(asset).pins
                observe_pins(context.instance, project, pins, partition)
                if not staleness.stale(asset, partition):
                    continue  # it was trained in the run that this one goes on with
                self._decided[key] = _decide(context, project, model)
            if not self._decided[key].retrain:
                return self._decided[key]
        return None

    def make(
        self, context: dg.OpExecutionContext, name: str, partition: str | None
    ) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
        """Refresh one asset; silent about what is fresh."""
        project, staleness = self.opened(context)
        asset = project.graph.assets[name]
        fresh = partial(_fresh, staleness, name, partition)
        for result in made_by_step(
            context, project, asset, partition, self._tracker, self._validate, fresh
        ):
            if isinstance(result, dg.AssetCheckResult):
                yield _evaluation(name, result)
                continue
            yield dg.AssetMaterialization(
                name, partition=partition, metadata=result.metadata, tags=result.tags
            )
            for check in result.check_results or ():
                yield _evaluation(name, check)


def models_of(graph: Graph) -> list[str]:
    """Names of the assets that are models with a gate, in order."""
    registered = {asset.registers for asset in graph.order}
    return [asset.name for asset in graph.order if asset.name in registered]


def _decide(
    context: dg.OpExecutionContext, project: Project, model: ReleasedModel
) -> RetrainingDecision:
    tags = context.run.tags.items()
    occasion: Occasion = "weekly" if WEEKLY.items() <= tags else "nightly"
    decision = ANYWAY if OVERRULED.items() <= tags else decide(project, model, occasion)
    note(project.root, model.name, decision, occasion)
    context.log.info(f"{model.name}: {decision.in_words()}")
    return decision


def _fresh(staleness: Staleness, name: str, partition: str | None) -> bool:
    return not staleness.stale(name, partition)


def _evaluation(name: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(name),
        check_name=str(result.check_name),
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
    )


def nightly_job(
    project: Project, open_again: Open, tracker: Tracker, validate: Validate | None
) -> dg.JobDefinition:
    """Move the pins, refresh all stale assets and promote models that pass their gates.

    Args:
        project: The project; its graph gives the steps.
        open_again: Opens it again, with pins and parameters as they are when the run starts.
        tracker: Where versions are remembered.
        validate: Further check of a table before it is published.
    """
    night = Night(open_again, tracker, validate)
    graph = project.graph
    steps = {asset.name: _asset_op(asset, graph, night) for asset in graph.order}
    gates = {
        asset.name: _promote_op(asset, graph, night) for asset in graph.order if asset.registers
    }
    pins, todo = _pins_op(project), _plan_op(night)

    # One process for all steps: each of its own would begin with seconds of imports.
    @dg.job(
        name=JOB,
        description="Nightly retraining of everything whose sources changed.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        planned = todo(pins())
        made: dict[str, Any] = {}
        for asset in _reports_first(graph):
            step = partial(_wired, steps[asset.name].alias(asset.name), asset, graph, made)
            each = asset.partitioned
            made[asset.name] = planned.projects.map(step) if each else step(planned.shared)
            if asset.registers:
                gate = gates[asset.name].alias(f"{PROMOTE}_{asset.registers}")
                end = partial(_promoted, gate, made[asset.name], each)
                planned.projects.map(end) if each else end(planned.shared)

    return job


def _reports_first(graph: Graph) -> list[VersionedAsset]:
    """The assets in an order in which what watches a model comes before it."""
    after = graph.downstream(models_of(graph))
    return sorted(graph.order, key=lambda asset: asset.name in after)


def _before(asset: VersionedAsset, graph: Graph) -> list[VersionedAsset]:
    """Assets whose steps come before one's: its inputs, and what watches the model that it is."""
    watching = [other for other in graph.order if other.watches == asset.name]
    return [*graph.wiring(asset.name).assets, *watching]


def _wired(step: Any, asset: VersionedAsset, graph: Graph, made: dict[str, Any], todo: Any) -> Any:
    """A step that runs after those that have to come before it."""
    inputs = {}
    for other in _before(asset, graph):
        output = made[other.name]
        if other.partitioned:
            output = _one_of(output) if asset.partitioned else output.collect()
        inputs[other.name] = output
    return step(todo=todo, **inputs)


def _promoted(gate: Any, output: Any, each: bool, todo: Any) -> Any:
    return gate(todo=todo, passed=_one_of(output) if each else output)


def _one_of(mapped: Any) -> Any:
    """The output of a mapped step for the same project."""
    outputs: list[Any] = []

    def keep(output: Any) -> Any:
        outputs.append(output)
        return output

    mapped.map(keep)
    return outputs[0]


def _pins_op(project: Project) -> dg.OpDefinition:
    @dg.op(
        name=PINS,
        description="Pin the current state of every source.",
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy(),
    )
    def op(context: dg.OpExecutionContext) -> Iterator[Any]:
        try:
            moved = move_pins(project.root)
        except Exception as error:
            raise failure(error) from error
        context.log.info(f"pins moved: {', '.join(moved) or 'none'}")
        yield dg.Output(None, metadata={"pins moved": ", ".join(moved) or "none"})

    return op


def _plan_op(night: Night) -> dg.OpDefinition:
    @dg.op(
        name=PLAN,
        description="Ask DVC what is stale; a project with nothing to do has no steps",
        ins={"pins": dg.In(dg.Nothing)},
        out={"projects": dg.DynamicOut(RetrainingJob), "shared": dg.Out(RetrainingJob)},
        retry_policy=retry_policy(),
    )
    def op(context: dg.OpExecutionContext) -> Iterator[Any]:
        try:
            project, _ = night.opened(context)
            reached = plan(project, dvc_views(project))
        except Exception as error:
            raise failure(error) from error
        waiting = {
            model.partition for model in project_models(project) if passed(project.root, model)
        }
        for name, key in step_names(project.partitions).items():
            if reached[name] or name in waiting:
                yield dg.DynamicOutput(
                    RetrainingJob(name, reached[name]), key, output_name="projects"
                )
        words = {name or "all projects": ", ".join(sorted(reached[name])) for name in reached}
        stale = {name: text for name, text in words.items() if text}
        yield dg.Output(
            RetrainingJob(None, reached[None]), "shared", metadata=stale or {"stale": "nothing"}
        )

    return op


def _asset_op(asset: VersionedAsset, graph: Graph, night: Night) -> dg.OpDefinition:
    @dg.op(
        name=f"{JOB}_{asset.name}",
        description=asset.description,
        ins={"todo": dg.In(RetrainingJob)}
        | {other.name: dg.In(dg.Nothing) for other in _before(asset, graph)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy(),
        tags={"cortex/asset": asset.name},
    )
    def op(context: dg.OpExecutionContext, todo: RetrainingJob) -> Iterator[Any]:
        made = False
        rests = (
            night.resting(context, asset.name, todo.project) if asset.name in todo.names else None
        )
        if rests is not None:
            yield dg.AssetObservation(
                asset.name, partition=todo.project, metadata={"retraining": rests.in_words()}
            )
            yield dg.Output(None, metadata={"made": made, "retraining": rests.in_words()})
            return
        if asset.name in todo.names:
            for event in night.make(context, asset.name, todo.project):
                made = made or isinstance(event, dg.AssetMaterialization)
                yield event
        yield dg.Output(None, metadata={"made": made})

    return op


def _promote_op(asset: VersionedAsset, graph: Graph, night: Night) -> dg.OpDefinition:
    """Promote a gate's model, which becomes the reference of the next gate."""
    meets = [
        other.name for other in graph.order if asset.registers in (other.champion_of, other.watches)
    ]
    again = [
        other.name
        for other in graph.order
        if other.name in graph.downstream(meets) and other.partitioned in (asset.partitioned, False)
    ]

    @dg.op(
        name=f"{JOB}_{PROMOTE}_{asset.registers}",
        description=f"Promote the challenger of {asset.registers}, if its gate passed.",
        ins={"todo": dg.In(RetrainingJob), "passed": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
    )
    def op(context: dg.OpExecutionContext, todo: RetrainingJob) -> Iterator[Any]:
        project, _ = night.opened(context)
        model = ReleasedModel(str(asset.registers), todo.project)
        try:
            entries = promote_passed(
                project, WHY, deployment(project, {}), context.log.info, of=[model]
            )
        except Exception as error:
            raise failure(error) from error
        for entry in entries:
            context.log.info(entry.in_words())
        # A gate names the champion it met; run again it finds the same verdict, out of its cache.
        for name in again if entries else ():
            part = todo.project if graph.assets[name].partitioned else None
            yield from night.make(context, name, part)
        yield dg.Output(
            None, metadata={"promoted": ", ".join(entry.model for entry in entries) or "none"}
        )

    return op
