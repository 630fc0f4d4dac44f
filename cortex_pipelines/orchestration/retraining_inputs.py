"""Whether each model is trained again: what is known of it, and the decision."""

from datetime import UTC, datetime
from typing import Any

from cortex_pipelines.config import load_parameters
from cortex_pipelines.monitoring.decision import Occasion, RetrainingDecision
from cortex_pipelines.monitoring.policy import RetrainingInputs, should_retrain
from cortex_pipelines.orchestration.planning import expected_seconds
from cortex_pipelines.projects.certificate import asked_since
from cortex_pipelines.release.ledger import ReleasedModel, champion
from cortex_pipelines.tracking.durations import last_ends
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import CODE
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.snapshot import Snapshot

FRESH = RetrainingDecision(False, ("nothing that it is made from has changed",))
ANYWAY = RetrainingDecision(True, ("a person overruled the policy",))


def decide(project: Project, model: ReleasedModel, occasion: Occasion) -> RetrainingDecision:
    """Whether to train a stale model again, by section ``retraining`` of params.yaml.

    Args:
        project: Where; its drift report should be up to date.
        model: The model.
        occasion: Who asks.
    """
    settings = load_parameters(project.root).retraining
    most = {"nightly": settings.nightly_minutes, "weekly": settings.weekly_minutes, "person": None}
    rule = getattr(settings, model.asset)
    return should_retrain(gather(project, model), rule, most[occasion])


def gather(project: Project, model: ReleasedModel) -> RetrainingInputs:
    """What is known of a model: its champion, drift report, settings, age and cost."""
    watch = next(asset for asset in project.graph.order if asset.watches == model.asset)
    part = model.partition if watch.partitioned else None
    figures: dict[str, Any] = read_json(project.output(watch.name, part) / "metrics.json")
    ended = last_ends(project.root).get((model.asset, model.partition or ""))
    seconds = expected_seconds(project, project.graph.downstream([model.asset]), model.partition)
    errors, at_least = figures.get("errors_since"), figures.get("errors_since_low")
    return RetrainingInputs(
        trained=project.output(model.asset, model.partition).is_dir(),
        champion=champion(project.root, model).champion is not None,
        settings=changed_settings(project, model),
        days=None if ended is None else (datetime.now(UTC) - ended).total_seconds() / 86400,
        new=None if "new" not in figures else round(figures["new"]),
        new_share=figures.get("new_share"),
        drifting=round(figures.get("drifting", 0)),
        worse=bool(figures.get("worse")),
        errors=None if errors is None or at_least is None else (errors, at_least),
        corrections=None if "corrections" not in figures else round(figures["corrections"]),
        forgotten=asked_since(project, model, ended),
        minutes=None if seconds is None else seconds / 60,
    )


def changed_settings(project: Project, model: ReleasedModel) -> tuple[str, ...]:
    """Sections and pinned weights that are no longer those of the last training in dvc.lock."""
    stage = locked_stages(project.root).get(model.address, {})
    locked = Snapshot({}, stage.get("params") or {})
    now = snapshot.take(project, project.graph.assets[model.asset], model.partition)
    moved = locked.differences(Snapshot({}, now.params)) if stage else []
    return tuple(name.split(":")[-1] for name in moved if not name.startswith(f"{CODE}:"))
