"""``cortex retrain``: the nightly run's work, started by a person."""

from collections.abc import Callable, Collection, Iterator, Sequence

import dagster as dg

from cortex_pipelines.monitoring.decision import RetrainingDecision, log_decision
from cortex_pipelines.orchestration.nightly import models_of, plan_retraining
from cortex_pipelines.orchestration.retraining_inputs import ANYWAY, FRESH, decide
from cortex_pipelines.orchestration.runs import RunOutcome, run_stale
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.project import Project


def describe_plan(project: Project, models: Sequence[ReleasedModel], anyway: bool) -> Iterator[str]:
    outdated = plan_retraining(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in outdated[model.partition])
        yield f"{model.name}: {decision.in_words()}"
        for watch in project.graph.order:
            part = model.partition if watch.partitioned else None
            if watch.watches == model.asset and watch.name in outdated[part]:
                yield f"  {watch.name} is out of date: what is new is not counted yet"


def retrain(
    project: Project,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    models: Sequence[ReleasedModel],
    anyway: bool,
    among: Collection[str],
    report: Callable[[str], None],
) -> RunOutcome:
    """Refresh stale assets that do not depend on a model; then decide, train, and evaluate."""
    model_dependents = project.graph.downstream(models_of(project.graph))
    outcome = run_stale(project, definitions, instance, report=report, among=set(among) - model_dependents)
    stale = plan_retraining(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in stale[model.partition])
        report(f"{model.name}: {decision.in_words()}")
        selected = project.graph.downstream([model.asset]) & set(among)
        if decision != FRESH:
            log_decision(project.root, model.name, decision, "person")
        # a fresh model may have been promoted, which makes its evaluation stale
        if decision == FRESH or decision.retrain:
            outcome += run_stale(project, definitions, instance, model.partition, report, selected)
    return outcome


def _decision(project: Project, model: ReleasedModel, anyway: bool, stale: bool) -> RetrainingDecision:
    if not stale:
        return FRESH
    return ANYWAY if anyway else decide(project, model, "person")
