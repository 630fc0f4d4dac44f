"""The gateway over a project: serves the releases in releases.lock."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest, base_name, resolve_base
from cortex_pipelines.adapters.model.lora import adapter_for
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.datasets.team_patterns import served_patterns
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.project_names import BASE, ROLES, ROUTER
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.prompts.templates import FOLDER, Templates, project_templates
from cortex_pipelines.release import ledger
from cortex_pipelines.release.answering import Release, choose_release, measured_conditions
from cortex_pipelines.release.experiments.plan import ARMS, ExperimentError, ExperimentSpec
from cortex_pipelines.release.experiments.running import Experiments, experiment_log, finish
from cortex_pipelines.release.gates import Analysis
from cortex_pipelines.release.ledger import FILE, LedgerEntry, ReleasedModel, moves, project_models
from cortex_pipelines.release.open_model import open_router, open_rules, open_verified, pinned_base
from cortex_pipelines.release.promote import conclude, find_model
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, Experiment, ServedModel
from cortex_pipelines.serving.conditions import with_ways
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.engines.opening import CACHE, open_engine
from cortex_pipelines.serving.experiment_arms import arm_of
from cortex_pipelines.serving.gateway import Gateway, OpenExamples
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts, Split
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.scores import adapter_scores, router_scores
from cortex_pipelines.serving.security.output_filter import OutputFilter
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")
_ADAPTER = "code_adapter"


def open_gateway(root: Path, default: str | None = None, engine: EngineName | None = None) -> Gateway:
    """Open the gateway of a project and load its base.

    Args:
        root: Project root.
        default: Model of requests that name none; None for the only project with a champion, else
            the base.
        engine: Overrides the engine in the parameters.

    Raises:
        EngineError: the engine is not installed, or cannot serve the base.
        ProjectError: not a project, or invalid parameters.
        BaseModelError: the base is missing.
        UnknownModelError: unknown model ``default``.
    """
    project = open_project(root)
    params = load_parameters(root)
    base = resolve_base(pinned_base(project), root)
    source = CatalogueSource(partial(read_catalogue, root, default), partial(_stamp, root))
    source.current.find(default)
    router = RouterBatcher(partial(_router, project), partial(_stamp, root), params.serving.cached_mib * 2**20)
    rollouts = Rollouts(root / ".cortex" / "serving" / ROLLOUTS, partial(_record_conclusion, root))
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
    """Open an engine for the base and a gateway over it.

    Args:
        root: Folder whose ``.cortex`` holds the gateway's state.
        params: Limits and rules.
        base: The base model.
        engine: Overrides the engine in the parameters.
        source: The catalogue.
        open_examples: Opens the examples for retrieved context.
        router: Routes tasks.
        rollouts: Counts the answers of canaries; None to disable canaries.
        experiments: Counts the answers of experiments; None to disable experiments.

    Raises:
        EngineError: the engine is not installed, or cannot serve the base.
    """
    settings = params.serving.with_engine(engine)
    return Gateway(
        source,
        open_engine(base, settings, root / CACHE),
        settings,
        params.datasets,
        open_examples,
        router,
        root / ".cortex" / "serving",
        OutputFilter(params.privacy, settings.output),
        rollouts,
        experiments,
        partial(author_pseudonym, key=logs_key(params.privacy)),
    )


def read_catalogue(root: Path, default: str | None = None) -> Catalogue:
    """Build the catalogue of a project's current releases."""
    project = open_project(root)
    templates = project_templates(root)
    pinned = pinned_base(project)
    base = BaseModel(Path(), base_name(pinned), base_digest(pinned))
    per_task = load_parameters(root).adapters.per_task
    served: dict[str, ServedModel] = {}
    promoted = []
    for model in project_models(project):
        if model.asset == _ADAPTER and model.partition:
            state = model_roles(root, model)
            names = _names(project, model, state, base, per_task, templates)
            served |= {entry.name: entry for entry in names}
            promoted += [model.partition] if state["champion"] else []
    alone = Release("base", base.digest)
    served[BASE] = ServedModel(BASE, alone, details={"base": _base_facts(base), "figures": {}})
    served = {name: served_model.with_templates(templates) for name, served_model in served.items()}
    for entry in experiment_log(root).entries():
        if entry.end is None:
            attach_experiment(served, entry.plan)
    usual = promoted[0] if len(promoted) == 1 else BASE
    return Catalogue(served, default or usual, base.name, _router_facts(project))


def attach_experiment(served: dict[str, ServedModel], plan: ExperimentSpec) -> None:
    """Attach an experiment to its project's model, if all of its arms can be served."""
    try:
        arms = {arm: arm_of(served, plan.project, getattr(plan, arm)) for arm in ARMS}
    except ExperimentError as error:
        _LOG.warning("experiment %s waits: %s", plan.id, error)
        return
    project = served[plan.project]
    served[plan.project] = replace(project, experiment=Experiment(plan, arms))


def _names(
    project: Project,
    model: ReleasedModel,
    state: Mapping[str, Any],
    base: BaseModel,
    per_task: bool,
    templates: Templates,
) -> Iterator[ServedModel]:
    """A project's model under the project's name, its roles and its release numbers."""
    name = str(model.partition)
    examples = cache(partial(_examples_of, project, model.partition))
    files = _data_version(project, "repository_files", model.partition)
    patterns = cache(partial(served_patterns, project, name, files))

    def make(served_name: str, version: str | None) -> ServedModel:
        served_model = _served_model(project, model, state, base, per_task, templates, examples, served_name, version)
        return replace(served_model, patterns=patterns, details={**served_model.details, "patterns": files})

    yield replace(make(name, state["champion"]), split=_split(project, model))
    for role in ROLES:
        if state[role] is not None:
            yield make(f"{name}@{role}", state[role])
    for version, number in state["numbers"].items():
        yield make(f"{name}@{number}", version)


def _split(project: Project, model: ReleasedModel) -> Split | None:
    """The running canary."""
    running = ledger.canary(moves(project.root, model))
    if running is None or running.version is None:
        return None
    return Split(str(model.partition), running.version, running.plan or {}, running.at)


def _record_conclusion(root: Path, name: str, version: str, analysis: Analysis) -> None:
    """Write the conclusion of an analysis to the ledger."""
    project = open_project(root)
    model = find_model(project, ReleasedModel(_ADAPTER, name).name)
    conclude(project, model, version, analysis)


def _served_model(
    project: Project,
    model: ReleasedModel,
    state: Mapping[str, Any],
    base: BaseModel,
    per_task: bool,
    templates: Templates,
    examples_of: Callable[[str | None], tuple[Path | None, str]],
    name: str,
    version: str | None,
) -> ServedModel:
    metrics, measured = _evaluation(project, model)
    is_evaluated = version is not None and measured == version
    index = _data_version(project, "completion_dataset", model.partition)
    entries = moves(project.root, model)
    release = ledger.release_of(entries, version)
    if release is None:
        release_metrics = metrics if is_evaluated or version is None else {}
        release = choose_release(release_metrics, base.digest, version, index or "")
    index = release.index or index
    examples, reason = examples_of(index)
    notice = ""
    if release.shows_context and examples is None:
        notice = f"answered without similar code: {reason}"
        release = replace(release, way="adapter" if version else "base", index=None)
    if other := _other_prompts(ledger.prompts_of(entries, version), templates):
        notice = "; ".join(filter(None, (notice, other)))
    line = _released(entries, version)
    details = {
        "project": model.partition,
        "number": state["numbers"].get(version),
        "roles": [role for role in ROLES if version and state[role] == version],
        "verdict": state["verdict"] if is_evaluated or version is None else None,
        "reason": state["reason"] if is_evaluated or version is None else None,
        "base": _base_facts(base),
        "bits_per_byte": measured_conditions(metrics) if is_evaluated or version is None else {},
        "plan": state["plan"] if version and version in (state["champion"], state["canary"]) else None,
        "scores": adapter_scores(metrics) if is_evaluated else [],
        "prompts": {name: template.version for name, template in templates.by_name.items()},
        "lineage": _lineage(project, model, version, line),
    }
    served = ServedModel(
        name,
        release,
        partial(_files, project, model, version, base.digest, per_task) if version else None,
        examples if release.shows_context else None,
        _created(line),
        details,
        notice,
    )
    return with_ways(served, index, examples)


def _other_prompts(released: Mapping[str, str], templates: Templates) -> str:
    """Notice that templates have changed since a release; empty if they have not."""
    current = templates.project_versions
    changed = sorted(name for name in {*released, *current} if released.get(name) != current.get(name))
    notice = "prompts are made by other templates than when it was released"
    return f"{notice}: {', '.join(changed)}" if changed else ""


def _examples_of(project: Project, partition: str | None, version: str | None) -> tuple[Path | None, str]:
    """Folder of a version's examples, verified by hash; else None and the reason."""
    if not version:
        return None, "no completion_dataset is made"
    try:
        return model_folder(project, "completion_dataset", partition, version), ""
    except ProjectError as error:
        return None, str(error)


def _files(
    project: Project, model: ReleasedModel, version: str, digest: str, per_task: bool, task: str
) -> AdapterFiles:
    def locate() -> Path:
        released = open_verified(project, model, version)
        if released.base is None or released.base["digest"] != digest:
            trained = (released.base or {}).get("name", "no base")
            raise UntrustedModelError(f"{model.name} ({version}) was trained on {trained}")
        folder = adapter_for(released.folder, task)
        if folder is None:
            raise UntrustedModelError(f"{model.name} ({version}) has no adapter for {task}")
        return folder

    # the version is unique per task only if there is one adapter per task
    adapter_version = f"{version}:{task}" if per_task else version
    return AdapterFiles(adapter_version, locate, str(model.partition))


def _evaluation(project: Project, model: ReleasedModel) -> tuple[dict[str, Any], str | None]:
    """Metrics of the latest evaluation and the version it evaluated; empty if missing."""
    folder = project.output(f"{model.asset}_evaluation", model.partition)
    try:
        version = read_json(folder / "comparison.json")["challenger"]["version"]
        return read_json(folder / "metrics.json"), str(version)
    except (OSError, ValueError, LookupError, TypeError):
        return {}, None


def _released(lines: Sequence[LedgerEntry], version: str | None) -> LedgerEntry | None:
    """The ledger's latest entry on a version; for None, the latest return to the baseline."""
    return next((line for line in reversed(lines) if line.version == version), None)


def _created(line: LedgerEntry | None) -> int:
    return int(datetime.fromisoformat(line.at).timestamp()) if line else 0


def _lineage(project: Project, model: ReleasedModel, version: str | None, line: LedgerEntry | None) -> dict[str, Any]:
    """Lineage of a version from dvc.lock and the ledger."""
    lineage: dict[str, Any] = {"version": version}
    if line is not None:
        lineage |= {"promoted": {"at": line.at, "by": line.by, "why": line.why}}
        lineage |= {"made_from": line.made_from}
    stages = locked_stages(project.root)
    if version and locked_version(stages, model.address) == version:
        read = stages[model.address].get("deps", [])
        lineage["inputs"] = {str(dep["path"]): str(dep["md5"]) for dep in read}
    return lineage


def _data_version(project: Project, asset: str, partition: str | None) -> str | None:
    return locked_version(locked_stages(project.root), stage_address(asset, partition))


def _router(project: Project) -> LoadedRouter:
    """The champion; the keyword rules and a notice if its files cannot be verified."""
    try:
        return LoadedRouter(open_router(project))
    except (UntrustedModelError, ProjectError, WeightsError) as error:
        return LoadedRouter(open_rules(project), f"{type(error).__name__}: {error}")


def _router_facts(project: Project) -> dict[str, Any] | None:
    for model in project_models(project):
        if model.asset == ROUTER:
            state = model_roles(project.root, model)
            version = state["champion"]
            line = _released(moves(project.root, model), version)
            return {
                "version": version or "rules",
                "way": "model" if version else "rules",
                "number": state["numbers"].get(version),
                "created": _created(line),
                "roles": {role: state[role] for role in ROLES},
                "plan": state["plan"],
                "verdict": state["verdict"],
                "reason": state["reason"],
                # the latest evaluation is of the challenger
                "scores": _router_scores(project, model) if version == state["challenger"] else [],
                "lineage": _lineage(project, model, version, line if version else None),
            }
    return None


def _router_scores(project: Project, model: ReleasedModel) -> list[dict[str, Any]]:
    path = project.output(f"{model.asset}_evaluation", None) / "metrics.json"
    try:
        return router_scores(read_json(path))
    except (OSError, ValueError):
        return []


def _base_facts(base: BaseModel) -> dict[str, str]:
    return {"name": base.name, "digest": base.digest}


def _stamp(root: Path) -> tuple[tuple[int, int], ...]:
    """Modification times of all files that determine the catalogue."""
    stamps = []
    paths = [root / name for name in (FILE, "dvc.lock", "sources.lock")]
    prompts = root / FOLDER
    for path in (*paths, experiment_log(root).path, prompts, *prompts.rglob("*")):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        stamps.append((stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
