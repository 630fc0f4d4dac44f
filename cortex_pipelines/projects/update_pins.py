"""``cortex update``: move the pins in ``sources.lock`` to the current state of the sources."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import (
    CoordinationError,
    logs_folder,
    take_coordination_pin,
)
from cortex_pipelines.feedback.pinned_events import take_feedback_pin
from cortex_pipelines.feedback.project_feedback import pin_feedback
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.connectors.fetch import take_snapshot
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.pretrained_models import WeightsError, take_model_pin
from cortex_pipelines.ingestion.readers.pins import take_pins
from cortex_pipelines.ingestion.redactions import without_private_errors
from cortex_pipelines.privacy.pseudonyms import logs_key, project_key
from cortex_pipelines.projects.deleted_authors import bury_authors
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import ProjectError, read_yaml, write_yaml
from cortex_pipelines.versioning.undeclared import take_out_undeclared

FILE = "sources.lock"

_LOG = logging.getLogger("cortex_pipelines")


def move_pins(root: Path, project: str | None = None, missing: bool = False) -> list[str]:
    """Pin the current state of every source, or of one project's.

    Args:
        root: Project root.
        project: Only this project; None for all projects, the logs and the models.
        missing: Only what has no pin yet; the other pins stay.

    Returns:
        Keys of ``sources.lock`` that changed, sorted.

    Raises:
        ProjectError: there is no such project.
    """
    params = load_parameters(root)
    if project is not None and project not in params.projects:
        known = ", ".join(sorted(params.projects)) or "none yet"
        raise ProjectError(f"params.yaml has no project {project}; projects: {known}")
    opened = open_project(root)
    if sentence := take_out_undeclared(opened):
        _LOG.warning(sentence)
    changed = take_pins_of(root, project, params, missing)
    bury_authors(root)
    ensure_keys(root, project_models(opened))  # of a new project too, for `dvc repro`
    follow_projects(opened)
    return changed


def take_pins_of(
    root: Path, project: str | None, params: Parameters, missing: bool = False
) -> list[str]:
    """As ``move_pins``, for the given parameters; ``releases.lock`` is unchanged.

    With one project, what a new folder has no pin of yet is pinned too, the logs and the models: an
    adapter would otherwise miss its base after all data sets are made.
    """
    lock = read_yaml(root / FILE)
    pins: dict[str, Any] = {}
    for name, settings in sorted(params.projects.items()):
        known = missing and _pinned(lock, f"projects.{name}") is not None
        if project in (None, name) and not known:
            key = project_key(name, params.privacy)
            taken = partial(take_pins, settings, root, root / CACHE)
            taken_pins = without_private_errors(taken, SourceError, params.privacy, key)
            pins[f"projects.{name}"] = taken_pins
    taken_too = {
        "coordination": partial(_logs_pin, root, params),
        "feedback": partial(pin_feedback, root, params),
        **{
            f"models.{name}": partial(take_model_pin, getattr(params.models, name), root)
            for name in ("base", "encoder")
        },
    }
    for place, take in taken_too.items():
        if (project is None and not missing) or _pinned(lock, place) is None:
            try:
                pins[place] = take()
            except (CoordinationError, SourceError, WeightsError) as error:
                if project is None:
                    raise
                _LOG.warning("%s; what needs it is not made until `cortex update`", error)
    return _write(root, lock, pins, set(params.projects))


def pin_feedback_alone(root: Path, params: Parameters) -> None:
    """Pin the stored events as they are now, if they were pinned before; no other pin moves."""
    lock = read_yaml(root / FILE)
    if _pinned(lock, "feedback"):
        pin = take_feedback_pin(params.feedback, root, params.privacy)
        _write(root, lock, {"feedback": pin}, set(params.projects))


def _logs_pin(root: Path, params: Parameters) -> dict[str, Any]:
    settings, key = params.coordination, logs_key(params.privacy)
    pin = take_coordination_pin(logs_folder(settings.logs, root), root, params.privacy)
    if settings.sources:
        pin["sources"] = [
            without_private_errors(
                partial(take_snapshot, source, root), SourceError, params.privacy, key
            )
            for source in settings.sources
        ]
    return pin


def _pinned(lock: Mapping[str, Any], place: str) -> Any:
    room, _, name = place.partition(".")
    return (lock.get(room) or {}).get(name) if name else lock.get(room)


def _write(
    root: Path, lock: Mapping[str, Any], pins: Mapping[str, Any], projects: set[str]
) -> list[str]:
    new: dict[str, Any] = {
        "projects": {k: v for k, v in (lock.get("projects") or {}).items() if k in projects},
        "coordination": lock.get("coordination"),
        "feedback": lock.get("feedback"),
        "models": dict(lock.get("models") or {}),
    }
    changed = []
    for key, pin in pins.items():
        room, _, name = key.partition(".")
        old = new[room].get(name) if name else new[room]
        if old != pin:
            changed.append(key)
        if name:
            new[room][name] = pin
        else:
            new[room] = pin
    new["projects"] = dict(sorted(new["projects"].items()))
    if new != dict(lock):
        write_yaml(root / FILE, new)
    return sorted(changed)
