"""Promote and roll back models in a project: ledger first, then registry."""

import getpass
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from filelock import FileLock, Timeout

from cortex_pipelines.config import load_parameters
from cortex_pipelines.prompts.templates import PromptFileError, project_templates
from cortex_pipelines.release import promotion
from cortex_pipelines.release.experiments.running import stop_for_release
from cortex_pipelines.release.gates import Analysis
from cortex_pipelines.release.ledger import (
    RELEASING,
    LedgerEntry,
    ReleasedModel,
    ReleaseError,
    moves,
    project_models,
    refit_of,
)
from cortex_pipelines.release.loading import base_of
from cortex_pipelines.release.promotion import ReleaseAction, may_be_promoted
from cortex_pipelines.release.refit import REFIT
from cortex_pipelines.release.settings import DeploymentSettings
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import sign_version, signed_folder, verify
from cortex_pipelines.tracking.registry import follow_ledger, register_templates
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.project import Project, ProjectError

_ROLES = ("challenger", "canary", "champion")

Report = Callable[[str], None]
TooSlow = Callable[[Project, ReleasedModel, str], str | None]
"""Why a version lets people wait too long; measured where models are served, which this room does not know."""


def find_model(project: Project, name: str) -> ReleasedModel:
    """Find a model by name. Raises ProjectError: unknown model; lists the known ones."""
    by_name = {model.name: model for model in project_models(project)}
    if name not in by_name:
        raise ProjectError(f"no model {name}; models: {', '.join(by_name)}")
    return by_name[name]


def deployment(project: Project, changes: Mapping[str, Any]) -> DeploymentSettings:
    """Section ``deployment`` of params.yaml with overrides. Raises ValueError: a value is out of range; names it."""
    section = load_parameters(project.root).deployment.model_dump()
    return DeploymentSettings.model_validate(section | dict(changes))


def promote(
    project: Project,
    model: ReleasedModel,
    reason: str,
    settings: DeploymentSettings,
    report: Report,
    too_slow: TooSlow,
    despite_gate: bool = False,
) -> LedgerEntry | None:
    try:
        templates = project_templates(project.root)
    except PromptFileError as error:
        raise ReleaseError(f"{model.name}: {error}; the champion stays") from error
    custom_templates = templates.project_versions if model.partition else None
    with _release_in_progress(project):
        act = _current_action(reason)
        slow = partial(too_slow, project, model)
        entry = promotion.promote(project.root, model, act, settings, report, custom_templates, despite_gate, slow)
        if entry:
            _apply_release(project, model, entry)
            register_templates(project.root, templates)
    return entry


def promote_passed(
    project: Project,
    reason: str,
    too_slow: TooSlow,
    settings: DeploymentSettings | None = None,
    report: Report = lambda _: None,
    models: Iterable[ReleasedModel] | None = None,
) -> tuple[LedgerEntry, ...]:
    """Promote every challenger that passed its gate and was not rolled back.

    A refusal for another reason (such as uncommitted code) is reported, and the others continue. Routers become
    champion at once: the gateway does not split requests between routers, so a canary would never be decided.
    """
    settings = settings or deployment(project, {})
    entries = []
    for model in project_models(project) if models is None else models:
        if not may_be_promoted(project.root, model):
            continue
        try:
            model_settings = settings if model.partition else settings.untried()
            entry = promote(project, model, reason, model_settings, report, too_slow)
        except ReleaseError as refused:
            report(f"not promoted: {refused}")
            continue
        if entry:
            entries.append(entry)
    return tuple(entries)


def rollback(project: Project, model: ReleasedModel, reason: str, to: str | None) -> LedgerEntry | None:
    with _release_in_progress(project):
        entry = promotion.rollback(project.root, model, _current_action(reason), to)
        if entry:
            _apply_release(project, model, entry)
    return entry


def _apply_release(project: Project, model: ReleasedModel, entry: LedgerEntry) -> None:
    follow_ledger(project, model)
    if entry.refit:
        _sign(project, model, f"{model.asset}_release", entry.refit)
    stop_for_release(project.root, model.partition, entry.describe())


def conclude(project: Project, model: ReleasedModel, version: str, analysis: Analysis) -> LedgerEntry | None:
    """Advance a canary, withdraw it, or record that the analysis is undecided; may be repeated."""
    act = _current_action(f"{analysis.conclusion}: {analysis.reason}")
    with _release_in_progress(project):
        if promotion.model_roles(project.root, model)["canary"] != version:
            return None
        if analysis.conclusion == "success":
            entry = promotion.advance(project.root, model, act, version)
        elif analysis.conclusion == "failure":
            entry = promotion.rollback(project.root, model, act)
        else:
            entry = promotion.leave_undecided(project.root, model, act, version)
        if entry:
            follow_ledger(project, model)
    return entry


def sign_released_versions(project: Project) -> int:
    """Sign what is unsigned of challengers, canaries and champions, as DVC's hashes in git say; how many."""
    count = 0
    for model in project_models(project):
        roles = promotion.model_roles(project.root, model)
        for version in sorted({roles[role] for role in _ROLES} - {None}):
            refit = refit_of(moves(project.root, model), version)
            count += _sign(project, model, model.asset, version)
            count += refit is not None and _sign(project, model, f"{model.asset}_release", refit)
    return count


def _sign(project: Project, model: ReleasedModel, asset: str, version: str) -> bool:
    """Sign a version, or the release with its refit weights, unless it is signed; False also if it is not here."""
    try:
        folder = model_folder(project, asset, model.partition, version)
        verify(project.root, folder, signed_folder(project.root, model.name, version), model.name, version)
    except ProjectError:
        return False  # not fetched; `dvc pull` and another sync sign it
    except UntrustedModelError:
        weights = folder if asset == model.asset else folder / REFIT
        sign_version(project.root, folder, model.name, version, base_of(weights))
        return True
    return False


def finish_release(project: Project) -> str | None:
    """Update the registry after an interrupted promotion or rollback; None if nothing was, or one is in progress."""
    try:
        with _release_lock(project).acquire(timeout=0):
            if not (project.root / RELEASING).exists():
                return None
            updated = sum(follow_ledger(project, model) for model in project_models(project))
            (project.root / RELEASING).unlink()
    except Timeout:
        return None
    return f"interrupted promotion or rollback finished from releases.lock, {updated} aliases updated"


@contextmanager
def _release_in_progress(project: Project) -> Iterator[None]:
    mark = project.root / RELEASING
    with _release_lock(project):
        mark.touch()
        try:
            yield
        except (ReleaseError, LookupError):  # refused: nothing changed
            mark.unlink()
            raise
        mark.unlink()


def _release_lock(project: Project) -> FileLock:
    project.state.mkdir(exist_ok=True)
    return FileLock(project.state / "releasing.lock")


def _current_action(reason: str) -> ReleaseAction:
    return ReleaseAction(getpass.getuser(), datetime.now(UTC).isoformat(timespec="seconds"), reason)
