"""Open a released model by name, verified and on its own base."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import base_name, resolve_base
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.release.ledger import ReleasedModel, champion, moves, project_models, refit_of
from cortex_pipelines.release.loading import ResidentBase, adapter_folder, read_lora
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.release.refit import REFIT
from cortex_pipelines.routing.serving.router import Router, open_trained
from cortex_pipelines.routing.serving.tasks import find_rules
from cortex_pipelines.signing.signatures import signed_folder, verify
from cortex_pipelines.tracking.registry import resolve
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.project import Project, look_up, read_yaml

_ALIASES = ("champion", "canary", "challenger")


@dataclass(frozen=True)
class VerifiedModel:
    folder: Path
    base: dict[str, str] | None


@dataclass(frozen=True)
class LoadedModel:
    """A base in memory, with the adapter if it could be loaded; ``notice`` says why not."""

    resident: ResidentBase
    adapted: bool
    version: str | None
    notice: str


def open_adapter(
    project: Project, reference: str, task: str | None = None, resident: ResidentBase | None = None
) -> LoadedModel:
    """Load a released adapter on the project's base, or on a loaded one (``resident``), for inference.

    ``reference``: ``MODEL``, ``MODEL@ALIAS``, ``MODEL/NUMBER`` or ``MODEL/1.0.0``. ``task``: of the adapter, for models
    with one adapter per task. The base is without adapter, with a notice, if the model has no champion yet or the
    adapter was trained on another base. Raises ``ProjectError`` for an unknown model or missing files, ``LookupError``
    for an unknown version or task, ``UntrustedModelError`` if a file was changed since the release, or its signer is
    unknown.
    """
    pinned = pinned_base(project)
    resident = resident or ResidentBase(resolve_base(pinned, project.root))
    model, version = find_released(project, reference)
    notice = f"{model.name} has no champion yet: {base_name(pinned)} is used without adapter"
    if version is not None:
        released = open_verified(project, model, version)
        if released.base is not None and released.base["digest"] == resident.base.digest:
            resident.apply(read_lora(adapter_folder(released.folder, task)))
            return LoadedModel(resident, True, version, "")
        trained = (released.base or {}).get("name", "no base")
        notice = (
            f"{model.name} ({version}) was trained on {trained}, which is not this "
            f"{resident.base.name}: the base is used without adapter"
        )
    resident.remove_adapter()
    return LoadedModel(resident, False, None, notice)


def pinned_base(project: Project) -> PinnedModel:
    pin = look_up(read_yaml(project.root / "sources.lock"), "models.base")
    return PinnedModel(load_parameters(project.root).models.base, pin or {})


def find_released(project: Project, reference: str) -> tuple[ReleasedModel, str | None]:
    """The model of a reference and its version, None if it has no champion; ProjectError, LookupError if unknown."""
    name, _, alias = reference.partition("@")
    name, _, number = name.partition("/")
    from cortex_pipelines.release.promote import find_model  # scipy is slow to import

    model = find_model(project, name)
    if number:
        return model, str(resolve(project, reference)[2]["dvc_md5"])
    alias = alias or "champion"
    if alias not in _ALIASES:
        raise LookupError(f"{reference}: an alias is one of {', '.join(_ALIASES)}")
    version: Any = model_roles(project.root, model)[alias]
    if version is None and alias != "champion":
        raise LookupError(f"{model.name} has no {alias}")
    return model, version


def open_verified(project: Project, model: ReleasedModel, version: str) -> VerifiedModel:
    """The verified files that answer for a version: its own, or those of its refit.

    Raises ``ProjectError`` if they are neither in the workspace nor in DVC's cache, ``UntrustedModelError`` if they are
    unsigned, or differ from the signed ones.
    """
    refit = refit_of(moves(project.root, model), version)
    asset, signed_version = (f"{model.asset}_release", refit) if refit else (model.asset, version)
    folder = model_folder(project, asset, model.partition, signed_version)
    signed = signed_folder(project.root, model.name, signed_version)
    manifest = verify(project.root, folder, signed, model.name, signed_version)
    files = folder / REFIT if refit else folder
    return VerifiedModel(files, dict(manifest.base) if manifest.base else None)


def open_router(project: Project) -> Router:
    """The champion task router, else the keyword rules; raises as ``open_verified``, and RouterError without either."""
    (model,) = [model for model in project_models(project) if model.asset == "task_router"]
    version = champion(project.root, model).champion
    if version is None:
        return open_rules(project)
    return open_trained(open_verified(project, model, version).folder, project.root, version)


def open_rules(project: Project) -> Router:
    """A router with the keyword rules only. Raises RouterError: the rules are missing."""
    from cortex_pipelines.coordination.logs import logs_folder  # so are the detectors of private values

    params = load_parameters(project.root)
    rules = find_rules(logs_folder(params.coordination.logs, project.root))
    fallback = params.routing.fallback_master
    return Router.from_rules(rules, fallback) if rules else Router(None, None, None, fallback)
