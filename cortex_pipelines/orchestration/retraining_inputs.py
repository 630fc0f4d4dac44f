"""Decide whether a model is retrained, from its metrics, settings, age and cost."""

from datetime import UTC, datetime
from typing import Any

from cortex_pipelines.config import load_parameters
from cortex_pipelines.monitoring.policy import Occasion, RetrainingDecision, RetrainingInputs, should_retrain
from cortex_pipelines.orchestration.planning import expected_seconds
from cortex_pipelines.projects.certificate import deletion_requested_since
from cortex_pipelines.release.ledger import ReleasedModel, champion
from cortex_pipelines.tracking.recorded_versions import last_ends
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import CODE, PACKAGES
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.snapshot import Snapshot

FRESH = RetrainingDecision(False, ("nothing that it is made from has changed",))
ANYWAY = RetrainingDecision(True, ("a person overruled the policy",))


def decide(project: Project, model: ReleasedModel, occasion: Occasion) -> RetrainingDecision:
    settings = load_parameters(project.root).retraining
    minutes_limit = {"nightly": settings.nightly_minutes, "weekly": settings.weekly_minutes, "person": None}
    rule = getattr(settings, model.asset)
    return should_retrain(collect_inputs(project, model), rule, minutes_limit[occasion])


def collect_inputs(project: Project, model: ReleasedModel) -> RetrainingInputs:
    monitor = next(asset for asset in project.graph.order if asset.watches == model.asset)
    part = model.partition if monitor.partitioned else None
    metrics: dict[str, Any] = read_json(project.output(monitor.name, part) / "metrics.json")
    training_end = last_ends(project.root).get((model.asset, model.partition or ""))
    seconds = expected_seconds(project, project.graph.downstream([model.asset]), model.partition)
    errors, at_least = metrics.get("errors_since"), metrics.get("errors_since_low")
    return RetrainingInputs(
        trained=project.output(model.asset, model.partition).is_dir(),
        champion=champion(project.root, model).champion is not None,
        settings=changed_settings(project, model),
        days=None if training_end is None else (datetime.now(UTC) - training_end).total_seconds() / 86400,
        new=None if "new" not in metrics else round(metrics["new"]),
        new_share=metrics.get("new_share"),
        drifting=round(metrics.get("drifting", 0)),
        worse=bool(metrics.get("worse")),
        errors=None if errors is None or at_least is None else (errors, at_least),
        corrections=None if "corrections" not in metrics else round(metrics["corrections"]),
        forgotten=deletion_requested_since(project, model, training_end),
        minutes=None if seconds is None else seconds / 60,
    )


def changed_settings(project: Project, model: ReleasedModel) -> tuple[str, ...]:
    stage = locked_stages(project.root).get(model.address, {})
    locked = Snapshot({}, stage.get("params") or {})
    current = snapshot.take(project, project.graph.assets[model.asset], model.partition)
    changed = locked.differences(Snapshot({}, current.params)) if stage else []
    return tuple(name.split(":")[-1] for name in changed if name.split(":")[0] not in (CODE, PACKAGES))
