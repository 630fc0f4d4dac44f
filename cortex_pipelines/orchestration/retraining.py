"""``cortex retrain``: the nightly run's work, where a person asks for it."""

from collections.abc import Callable, Collection, Iterator, Sequence

import dagster as dg

from cortex_pipelines.monitoring.decision import RetrainingDecision, note
from cortex_pipelines.orchestration.nightly import models_of, plan
from cortex_pipelines.orchestration.retraining_inputs import ANYWAY, FRESH, decide
from cortex_pipelines.orchestration.runs import Outcome, run_stale
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.project import Project


def plan_in_words(project: Project, models: Sequence[ReleasedModel], anyway: bool) -> Iterator[str]:
    """What would be decided now about each model, and whether its report is out of date."""
    reached = plan(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in reached[model.partition])
        yield f"{model.name}: {decision.in_words()}"
        for watch in project.graph.order:
            part = model.partition if watch.partitioned else None
            if watch.watches == model.asset and watch.name in reached[part]:
                yield f"  {watch.name} is out of date: what is new is not counted yet"


def retrain(
    project: Project,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    models: Sequence[ReleasedModel],
    anyway: bool,
    among: Collection[str],
    report: Callable[[str], None],
) -> Outcome:
    """Make what is stale and no model, nor made from one; then decide, train, and evaluate.

    Args:
        project: The project.
        definitions: Its code location.
        instance: Its Dagster instance.
        models: Those to decide about.
        anyway: Train whatever is stale.
        among: Assets that can be made.
        report: Told what runs and what is decided.
    """
    apart = project.graph.downstream(models_of(project.graph))
    outcome = run_stale(project, definitions, instance, report=report, among=set(among) - apart)
    stale = plan(project, dvc_views(project))
    for model in models:
        decision = _decision(project, model, anyway, model.asset in stale[model.partition])
        report(f"{model.name}: {decision.in_words()}")
        own = project.graph.downstream([model.asset]) & set(among)
        if decision != FRESH:
            note(project.root, model.name, decision, "person")
        # a model that is fresh may have been promoted, which its evaluation names
        if decision == FRESH or decision.retrain:
            outcome += run_stale(project, definitions, instance, model.partition, report, own)
    return outcome


def _decision(
    project: Project, model: ReleasedModel, anyway: bool, stale: bool
) -> RetrainingDecision:
    if not stale:
        return FRESH
    return ANYWAY if anyway else decide(project, model, "person")
