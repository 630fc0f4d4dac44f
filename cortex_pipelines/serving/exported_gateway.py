"""The gateway over an exported folder, without its project."""

import os
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest, base_name, resolve_base
from cortex_pipelines.adapters.model.lora import CONFIGURATION
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters_anywhere
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, home_folder, resolve_model_pin
from cortex_pipelines.project_names import BASE
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.routing.serving.router import RouterError
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, ServedModel
from cortex_pipelines.serving.conditions import with_ways
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.project_gateway import gateway_over
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.signing.keys import trust
from cortex_pipelines.signing.manifest import Manifest, UntrustedModelError
from cortex_pipelines.signing.signatures import verify
from cortex_pipelines.versioning.root import ProjectError, find_root

_ADAPTER = "code_adapter-"


def open_exported(folder: Path, key: Path | None = None, engine: EngineName | None = None) -> Gateway:
    """Open the gateway over a folder that ``cortex export`` wrote as ``peft`` or ``merged``.

    Inside a project its trusted keys apply, elsewhere those trusted on this machine.

    Args:
        folder: The exported folder.
        key: Public key of the exporter, trusted from now on; None for keys trusted already.
        engine: Overrides the engine in the parameters.

    Raises:
        EngineError: the engine is not installed, or cannot serve the base.
        UntrustedModelError: the folder is not signed by a trusted key.
        WeightsError: its base is not on this machine.
        ProjectError: its export format cannot be served.
    """
    root = served_root()
    if key is not None:
        trust(root, key)
    manifest = verify(root, folder, folder)
    base, is_merged = _base(folder, manifest, root)
    name = manifest.model.removeprefix(_ADAPTER)
    digest = (manifest.base or {}).get("digest", base.digest)
    files = AdapterFiles(manifest.version, lambda: folder, name)
    details = {"base": dict(manifest.base or {}), "lineage": {"version": manifest.version}}
    release = Release("adapter", digest, manifest.version)
    served = ServedModel(name, release, None if is_merged else lambda _task: files, details=details)
    models = {name: served}
    if not is_merged:  # a merged model always contains its adapter
        models[name] = with_ways(served, None, None)
        models[BASE] = ServedModel(BASE, Release("base", digest), details={"base": details["base"]})
    catalogue = Catalogue(models, name, base.name)
    source = CatalogueSource(lambda: catalogue, lambda: None)
    router = RouterBatcher(_no_router, lambda: None)
    return gateway_over(root, load_parameters_anywhere(), base, engine, source, _no_examples, router)


def served_root() -> Path:
    """Root of the enclosing project, or the user's home folder for this package."""
    try:
        return find_root()
    except ProjectError:
        home = home_folder()
    if home.stat().st_uid != os.getuid():
        raise UntrustedModelError(
            f"{home} belongs to another user, whose keys would count; set XDG_CACHE_HOME to a folder of yours"
        )
    return home


def _base(folder: Path, manifest: Manifest, root: Path) -> tuple[BaseModel, bool]:
    """The base to load, and whether the adapter is merged into it."""
    if (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        return BaseModel(folder, manifest.model, manifest.version), True
    required_base = manifest.base or {}
    if not (folder / CONFIGURATION).is_file():
        raise ProjectError(
            f"{folder} is neither a merged model nor an adapter for PEFT; "
            f"`cortex export {manifest.model} --format merged` writes one that stands alone"
        )
    pinned = _pinned(required_base.get("name", ""), root, manifest)
    if base_digest(pinned) != required_base.get("digest"):
        raise UntrustedModelError(
            f"{manifest.model} belongs on another {required_base.get('name')} than the one here; "
            f"`cortex export {manifest.model} --format merged` writes a model that stands alone"
        )
    return resolve_base(pinned, root), False


def _pinned(name: str, root: Path, manifest: Manifest) -> PinnedModel:
    """The base by its name: from its wheel, or from the enclosing project."""
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
    raise RouterError("an exported adapter is served without a router")
