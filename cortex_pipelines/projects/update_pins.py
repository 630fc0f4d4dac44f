"""``cortex update``: move the pins in ``sources.lock``; apply authors' deletions to what they bring."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.coordination.logs import CoordinationError, logs_folder, take_coordination_pin
from cortex_pipelines.feedback.project_feedback import pin_feedback
from cortex_pipelines.feedback.store import take_feedback_pin
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.connectors.fetch import take_snapshot
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import stream
from cortex_pipelines.ingestion.git.repository import open_revision
from cortex_pipelines.ingestion.pretrained_models import WeightsError, resolve_model_pin
from cortex_pipelines.ingestion.project_sources import GitSource, ProjectSource, matching_pins
from cortex_pipelines.ingestion.readers.open import resolve_pins
from cortex_pipelines.ingestion.redactions import without_private_errors
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, project_key
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects.forget import add_tombstones
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.versioning.dvc.repair import take_out_undeclared
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import look_up, read_yaml, write_yaml
from cortex_pipelines.versioning.root import require_project


def add_author_tombstones(root: Path) -> list[Tombstone]:
    """Add tombstones for deleted authors to projects whose pinned history contains them; returns them."""
    params = load_parameters(root)
    tombstones_by_pseudonym = {
        stone.author: stone for stone in params.privacy.forgotten if stone.project is None and stone.author is not None
    }
    if not tombstones_by_pseudonym:
        return []
    logs_pseudonym_key = logs_key(params.privacy)
    stones = []
    for project in sorted(params.projects):
        pseudonym_key = project_key(project, params.privacy)
        try:
            addresses = sorted(_authors(root, params, project))
        except SourceError as error:  # no data set can be made from it either
            _LOG.warning("%s: not compared with deleted authors, because %s", project, error)
            continue
        for address in addresses:
            stone = tombstones_by_pseudonym.get(author_pseudonym(address, logs_pseudonym_key))
            if stone:
                pseudonym = author_pseudonym(address, pseudonym_key)
                stones.append(stone.model_copy(update={"project": project, "author": pseudonym}))
    new = add_tombstones(root, stones)
    for name in sorted({str(stone.project) for stone in new}):
        _LOG.warning("%s: what authors changed last who were deleted from every project is left out", name)
    return new


def _authors(root: Path, params: Parameters, project: str) -> set[str]:
    pins = (read_yaml(root / "sources.lock").get("projects") or {}).get(project)
    if not pins:
        return set()
    source = ProjectSource(params.projects[project], tuple(pins))
    log = ("log", "--no-mailmap", "--no-show-signature", "--format=%ae", "--end-of-options")
    addresses = set()
    for entry, pin in matching_pins(source, project):
        if isinstance(entry, GitSource):
            with stream(open_revision(entry, pin, root, root / CACHE), *log, pin["revision"]) as (_, answer):
                addresses |= {line.decode("utf-8", "replace").strip() for line in answer}
    return addresses - {""}


FILE = "sources.lock"

_LOG = logging.getLogger("cortex_pipelines")


class UnreadSourcesError(ValueError):
    """Keys of ``sources.lock`` that keep their pins, with the reasons; the others were updated, some ``changed``."""

    def __init__(self, reasons: Mapping[str, str], changed: list[str]) -> None:
        super().__init__("\n".join(f"not moved: {key}: {reason}" for key, reason in reasons.items()))
        self.changed = changed


def update_pins(root: Path, project: str | None = None, missing: bool = False) -> list[str]:
    """Pin the current state of every source, or of one project's; returns the changed keys of ``sources.lock``.

    Raises ``UnreadSourcesError`` if some of all sources could not be read, after the others are pinned.
    """
    params = load_parameters(root)
    if project is not None:
        require_project(project, params.projects)
    workspace = open_project(root)
    if sentence := take_out_undeclared(workspace):
        _LOG.warning(sentence)
    unread = None
    try:
        changed = pin_sources(root, project, params, missing)
    except UnreadSourcesError as error:
        unread, changed = error, error.changed
    add_author_tombstones(root)
    ensure_keys(root, project_models(workspace))  # also for a new project, for `dvc repro`
    follow_projects(workspace)
    if unread:
        raise unread
    return changed


def pin_sources(root: Path, project: str | None, params: Parameters, missing: bool = False) -> list[str]:
    """As ``update_pins``, for given parameters; the first project gets missing pins of logs and models, too."""
    lock = read_yaml(root / FILE)
    pins: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, settings in sorted(params.projects.items()):
        already_pinned = missing and look_up(lock, f"projects.{name}") is not None
        if project in (None, name) and not already_pinned:
            take = partial(resolve_pins, settings, root, root / CACHE)
            key = project_key(name, params.privacy)
            try:
                pins[f"projects.{name}"] = without_private_errors(take, SourceError, params.privacy, key)
            except SourceError as error:
                if project == name:
                    raise
                unread[f"projects.{name}"] = str(error)
    other_pins = {
        "coordination": partial(_logs_pin, root, params),
        "feedback": partial(pin_feedback, root, params),
        **{
            f"models.{name}": partial(resolve_model_pin, getattr(params.models, name), root)
            for name in ("base", "encoder")
        },
    }
    for lock_key, take_pin in other_pins.items():
        if (project is None and not missing) or look_up(lock, lock_key) is None:
            try:
                pins[lock_key] = take_pin()
            except (CoordinationError, SourceError, WeightsError) as error:
                if project is None:
                    unread[lock_key] = str(error)
                else:
                    _LOG.warning("%s; what needs it is not made until `cortex update`", error)
    changed = _write(root, lock, pins, set(params.projects))
    if unread:
        raise UnreadSourcesError(unread, changed)
    return changed


def pin_base(root: Path, params: Parameters) -> dict[str, Any]:
    """Pin the base model of given parameters; returns the pin. WeightsError."""
    pin = resolve_model_pin(params.models.base, root)
    _write(root, read_yaml(root / FILE), {"models.base": pin}, set(params.projects))
    return pin


def repin_feedback(root: Path, params: Parameters) -> None:
    """Pin the current stored events if events are pinned; no other pin changes."""
    lock = read_yaml(root / FILE)
    if look_up(lock, "feedback"):
        pin = take_feedback_pin(params.feedback, root, params.privacy)
        _write(root, lock, {"feedback": pin}, set(params.projects))


def _logs_pin(root: Path, params: Parameters) -> dict[str, Any]:
    settings, key = params.coordination, logs_key(params.privacy)
    pin = take_coordination_pin(logs_folder(settings.logs, root), root, params.privacy, bool(settings.map))
    if settings.sources:
        pin["sources"] = [
            without_private_errors(partial(take_snapshot, source, root), SourceError, params.privacy, key)
            for source in settings.sources
        ]
    return pin


def _write(root: Path, lock: Mapping[str, Any], pins: Mapping[str, Any], projects: set[str]) -> list[str]:
    new: dict[str, Any] = {
        "projects": {k: v for k, v in (lock.get("projects") or {}).items() if k in projects},
        "coordination": lock.get("coordination"),
        "feedback": lock.get("feedback"),
        "models": dict(lock.get("models") or {}),
    }
    changed = []
    for key, pin in pins.items():
        section, _, name = key.partition(".")
        values, field = (new[section], name) if name else (new, section)
        if values.get(field) != pin:
            changed.append(key)
        values[field] = pin
    new["projects"] = dict(sorted(new["projects"].items()))
    if new != dict(lock):
        write_yaml(root / FILE, new)
    return sorted(changed)
