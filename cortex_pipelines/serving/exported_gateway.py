"""The gateway over an exported folder, without the project that it came from."""

import os
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    base_digest,
    base_name,
    resolve_base,
)
from cortex_pipelines.adapters.model.lora import CONFIGURATION
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters_anywhere
from cortex_pipelines.ingestion.external_folder import home_folder
from cortex_pipelines.ingestion.pretrained_models import (
    ModelSource,
    PinnedModel,
    resolve_model_pin,
)
from cortex_pipelines.project_names import BASE
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.routing.serving.router import RouterError
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, Served
from cortex_pipelines.serving.conditions import with_others
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.project_gateway import gateway_over
from cortex_pipelines.serving.routing import LoadedRouter, RouterDesk
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.signing.keys import trust
from cortex_pipelines.signing.manifest import Manifest, UntrustedModelError
from cortex_pipelines.signing.signatures import verify
from cortex_pipelines.versioning.root import ProjectError, find_root

_ADAPTER = "code_adapter-"


def open_exported(
    folder: Path, key: Path | None = None, engine: EngineName | None = None
) -> Gateway:
    """The gateway of a folder that ``cortex export`` wrote as ``peft`` or ``merged``.

    Inside a project its keys count, elsewhere those that were trusted on this machine.

    Args:
        folder: The exported folder.
        key: Public key of whoever exported it, to be trusted from now on; None for those known.
        engine: What writes text; None for what the parameters name.

    Raises:
        EngineError: there is no such engine here, or it cannot serve the base.
        UntrustedModelError: it is not what somebody trusted has exported.
        WeightsError: its base is not on this machine.
        ProjectError: it is in a form that this engine does not read.
    """
    root = served_root()
    if key is not None:
        trust(root, key)
    manifest = verify(root, folder, folder)
    base, inside = _base(folder, manifest, root)
    name = manifest.model.removeprefix(_ADAPTER)
    digest = (manifest.base or {}).get("digest", base.digest)
    files = AdapterFiles(manifest.version, lambda: folder, name)
    about = {"base": dict(manifest.base or {}), "lineage": {"version": manifest.version}}
    release = Release("adapter", digest, manifest.version)
    served = Served(name, release, None if inside else lambda _task: files, about=about)
    models = {name: served}
    if not inside:  # a merged model cannot answer without its adapter
        models[name] = with_others(served, None, None)
        models[BASE] = Served(BASE, Release("base", digest), about={"base": about["base"]})
    catalogue = Catalogue(models, name, base.name)
    source = CatalogueSource(lambda: catalogue, lambda: None)
    desk = RouterDesk(_no_router, lambda: None)
    return gateway_over(root, load_parameters_anywhere(), base, engine, source, _no_examples, desk)


def served_root() -> Path:
    """The project around, or the folder of this user's own where there is none."""
    try:
        return find_root()
    except ProjectError:
        home = home_folder()
    if home.stat().st_uid != os.getuid():
        raise UntrustedModelError(
            f"{home} belongs to another user, whose keys would count; set XDG_CACHE_HOME to a "
            "folder of yours"
        )
    return home


def _base(folder: Path, manifest: Manifest, root: Path) -> tuple[BaseModel, bool]:
    """The base to load, and whether the adapter is in its weights already."""
    if (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        return BaseModel(folder, manifest.model, manifest.version), True
    wanted = manifest.base or {}
    if not (folder / CONFIGURATION).is_file():
        raise ProjectError(
            f"{folder} is neither a merged model nor an adapter for PEFT; "
            f"`cortex export {manifest.model} --format merged` writes one that stands alone"
        )
    pinned = _pinned(wanted.get("name", ""), root, manifest)
    if base_digest(pinned) != wanted.get("digest"):
        raise UntrustedModelError(
            f"{manifest.model} belongs on another {wanted.get('name')} than the one here; "
            f"`cortex export {manifest.model} --format merged` writes a model that stands alone"
        )
    return resolve_base(pinned, root), False


def _pinned(name: str, root: Path, manifest: Manifest) -> PinnedModel:
    """The base by its name: from its wheel, or the one of the project around."""
    kind, _, wheel = name.partition(":")
    if kind == "pypi":
        source = ModelSource(wheel=wheel)
        return PinnedModel(source, resolve_model_pin(source, root))
    try:
        pinned = pinned_base(open_project(find_root()))
        if base_name(pinned) == name:
            return pinned
    except ProjectError:
        pass
    raise ProjectError(
        f"{manifest.model} belongs on {name}, which cannot be found from here; "
        f"`cortex export {manifest.model} --format merged` writes a model that stands alone"
    )


def _no_examples(_folder: Path) -> SimilarExamples:
    raise LookupError("an exported folder holds no examples")


def _no_router() -> LoadedRouter:
    raise RouterError("an exported adapter is served alone: there is no router")
