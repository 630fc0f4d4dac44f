"""Open a gateway over a project, or over an exported folder without its project."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest, base_name, resolve_base
from cortex_pipelines.adapters.model.lora import CONFIGURATION
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters, load_parameters_anywhere
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, home_folder, resolve_model_pin
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.project_names import BASE
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.experiments.running import Experiments, experiment_log, finish
from cortex_pipelines.release.gates import Analysis
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.release.promote import conclude, find_model
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, ServedModel, with_ways
from cortex_pipelines.serving.deadlines import measure_speed
from cortex_pipelines.serving.engines.engine import CACHE, UPSTREAM_ENGINES, AdapterFiles, open_engine
from cortex_pipelines.serving.gateway import Gateway, OpenExamples
from cortex_pipelines.serving.project_catalogue import (
    ADAPTER,
    catalogue_stamp,
    open_served_router,
    read_catalogue,
    router_stamp,
)
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.security.output_filter import OutputFilter
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.signing.keys import trust
from cortex_pipelines.signing.manifest import Manifest, UntrustedModelError
from cortex_pipelines.signing.signatures import verify
from cortex_pipelines.versioning.root import ProjectError, find_root


def open_gateway(root: Path, default: str | None = None, engine: EngineName | None = None) -> Gateway:
    """Open the gateway of a project and load its base; ``default`` is the model of requests that name none."""
    project = open_project(root)
    params = load_parameters(root)
    base = resolve_base(pinned_base(project), root)
    source = CatalogueSource(partial(read_catalogue, root, default), partial(catalogue_stamp, root))
    source.current.find(default)
    router = RouterBatcher(
        partial(open_served_router, project), partial(router_stamp, root), params.serving.cached_mib * 2**20
    )

    def record_conclusion(name: str, version: str, analysis: Analysis) -> None:
        current_project = open_project(root)
        conclude(current_project, find_model(current_project, ReleasedModel(ADAPTER, name).name), version, analysis)

    rollouts = Rollouts(root / ".cortex" / "serving" / ROLLOUTS, record_conclusion)
    examples = partial(SimilarExamples, room=params.evaluation.retrieved_bytes)
    experiments = Experiments(experiment_log(root), partial(finish, root))
    return gateway_over(root, params, base, engine, source, examples, router, rollouts, experiments)


def gateway_over(
    root: Path,
    params: Parameters,
    base: BaseModel,
    engine: EngineName | None,
    source: CatalogueSource,
    open_examples: OpenExamples,
    router: RouterBatcher,
    rollouts: Rollouts | None = None,
    experiments: Experiments | None = None,
) -> Gateway:
    """Open an engine for the base and a gateway over it; ``.cortex`` in ``root`` holds its state."""
    settings = params.serving.model_copy(update={"engine": engine}) if engine else params.serving
    opened = open_engine(base, settings, root / CACHE)
    if settings.deadlines.cursor is not None and settings.engine not in UPSTREAM_ENGINES:
        measure_speed(opened, settings, base.digest, root)
    return Gateway(
        source,
        opened,
        settings,
        params,
        open_examples,
        router,
        root / ".cortex" / "serving",
        OutputFilter(params.privacy, settings.output),
        rollouts,
        experiments,
        partial(author_pseudonym, key=logs_key(params.privacy)),
    )


def open_exported(folder: Path, key: Path | None = None, engine: EngineName | None = None) -> Gateway:
    """Open the gateway over a folder that ``cortex export`` wrote as ``peft`` or ``merged``; trusts ``key``."""
    root = served_root()
    if key is not None:
        trust(root, key)
    manifest = verify(root, folder, folder)
    base, is_merged = _base(folder, manifest, root)
    name = manifest.model.removeprefix(f"{ADAPTER}-")
    digest = (manifest.base or {}).get("digest", base.digest)
    files = AdapterFiles(manifest.version, lambda: folder, name)
    details = {"base": dict(manifest.base or {}), "lineage": {"version": manifest.version}}
    release = Release("adapter", digest, manifest.version)
    served = ServedModel(name, release, None if is_merged else lambda _task: files, details=details)
    models = {name: served}
    if not is_merged:  # a merged model always contains its adapter
        models[name] = with_ways(served, None, None)
        models[BASE] = ServedModel(BASE, Release("base", digest), details={"base": details["base"]})

    def no_examples(_folder: Path) -> SimilarExamples:
        raise LookupError("an exported folder holds no examples")

    def no_router() -> LoadedRouter:
        raise RouterError("an exported adapter is served without a router")

    catalogue = Catalogue(models, name, base.name)
    source = CatalogueSource(lambda: catalogue, lambda: None)
    router = RouterBatcher(no_router, lambda: None)
    return gateway_over(root, load_parameters_anywhere(), base, engine, source, no_examples, router)


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
    """The base of an exported adapter, or the folder itself if the adapter was merged into it."""
    if (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        return BaseModel(folder, manifest.model, manifest.version), True
    merged = f"`cortex export {manifest.model} --format merged` writes"
    if not (folder / CONFIGURATION).is_file():
        raise ProjectError(
            f"{folder} is neither a merged model nor an adapter for PEFT; {merged} one that stands alone"
        )
    required_base = manifest.base or {}
    name = required_base.get("name", "")
    pinned: PinnedModel | None = None
    if name.startswith("pypi:"):
        source = ModelSource(wheel=name.removeprefix("pypi:"))
        pinned = PinnedModel(source, resolve_model_pin(source, root))
    else:
        with suppress(ProjectError):
            pinned = pinned_base(open_project(find_root()))
    if pinned is None or (not name.startswith("pypi:") and base_name(pinned) != name):
        raise ProjectError(
            f"{manifest.model} belongs on {name}, which cannot be found from here; {merged} a model that stands alone"
        )
    if base_digest(pinned) != required_base.get("digest"):
        raise UntrustedModelError(
            f"{manifest.model} belongs on another {name or None} than the one here; {merged} a model that stands alone"
        )
    return resolve_base(pinned, root), False
