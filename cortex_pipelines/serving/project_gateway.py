"""The gateway over a project: what it serves, by releases.lock and the evaluations."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    base_digest,
    base_name,
    resolve_base,
)
from cortex_pipelines.adapters.model.lora import adapter_for
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.datasets.team_patterns import served_patterns
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.project_names import BASE, ROLES, ROUTER
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.prompts.templates import FOLDER, Templates, project_templates
from cortex_pipelines.release import history
from cortex_pipelines.release.analysis import Analysis
from cortex_pipelines.release.answering import Release, choose_release, measured_conditions
from cortex_pipelines.release.experiments.plan import ARMS, ExperimentError, ExperimentSpec
from cortex_pipelines.release.experiments.project_experiments import experiment_log, finish
from cortex_pipelines.release.experiments.running import Experiments
from cortex_pipelines.release.ledger import FILE, LedgerEntry, ReleasedModel, moves, project_models
from cortex_pipelines.release.open_model import (
    open_router,
    open_rules,
    open_verified,
    pinned_base,
)
from cortex_pipelines.release.promote import conclude, find_model
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, Experiment, Served
from cortex_pipelines.serving.conditions import with_others
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.engines.opening import CACHE, open_engine
from cortex_pipelines.serving.experiment_arms import arm_of
from cortex_pipelines.serving.gateway import Gateway, OpenExamples
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts, Split
from cortex_pipelines.serving.routing import LoadedRouter, RouterDesk
from cortex_pipelines.serving.scores import adapter_scores, router_scores
from cortex_pipelines.serving.security.screening import Screen
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")
_ADAPTER = "code_adapter"


def open_gateway(
    root: Path, default: str | None = None, engine: EngineName | None = None
) -> Gateway:
    """The gateway of a project, with its base in memory.

    Args:
        root: Project root.
        default: Model of requests that name none; None for the only project with a champion, or
            the base.
        engine: What writes text; None for what the parameters name.

    Raises:
        EngineError: there is no such engine here, or it cannot serve the base.
        ProjectError: there is no such project, or its parameters are wrong.
        BaseModelError: the base is not there.
        UnknownModelError: there is no model ``default``.
    """
    project = open_project(root)
    params = load_parameters(root)
    base = resolve_base(pinned_base(project), root)
    source = CatalogueSource(partial(read_catalogue, root, default), partial(_stamp, root))
    source.current.find(default)
    desk = RouterDesk(
        partial(_router, project), partial(_stamp, root), params.serving.cached_mib * 2**20
    )
    rollouts = Rollouts(root / ".cortex" / "serving" / ROLLOUTS, partial(_concluded, root))
    examples = partial(SimilarExamples, room=params.evaluation.retrieved_bytes)
    experiments = Experiments(experiment_log(root), partial(finish, root))
    return gateway_over(root, params, base, engine, source, examples, desk, rollouts, experiments)


def gateway_over(
    root: Path,
    params: Parameters,
    base: BaseModel,
    engine: EngineName | None,
    source: CatalogueSource,
    open_examples: OpenExamples,
    router: RouterDesk,
    rollouts: Rollouts | None = None,
    experiments: Experiments | None = None,
) -> Gateway:
    """A gateway with its base in memory.

    Args:
        root: Folder whose ``.cortex`` holds what the gateway keeps.
        params: Limits and rules.
        base: The base.
        engine: What writes text; None for what the parameters name.
        source: What there is.
        open_examples: Opens the examples that context is taken from.
        router: Routes tasks.
        rollouts: Counts the answers of canaries; None to try none.
        experiments: Counts the answers of experiments; None to make none.

    Raises:
        EngineError: there is no such engine here, or it cannot serve the base.
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
        Screen(params.privacy, settings.output),
        rollouts,
        experiments,
        partial(author_pseudonym, key=logs_key(params.privacy)),
    )


def read_catalogue(root: Path, default: str | None = None) -> Catalogue:
    """What a project serves now."""
    project = open_project(root)
    templates = project_templates(root)
    pinned = pinned_base(project)
    base = BaseModel(Path(), base_name(pinned), base_digest(pinned))
    per_task = load_parameters(root).adapters.per_task
    served: dict[str, Served] = {}
    promoted = []
    for model in project_models(project):
        if model.asset == _ADAPTER and model.partition:
            now = model_roles(root, model)
            names = _names(project, model, now, base, per_task, templates)
            served |= {entry.name: entry for entry in names}
            promoted += [model.partition] if now["champion"] else []
    alone = Release("base", base.digest)
    served[BASE] = Served(BASE, alone, about={"base": _base_facts(base), "figures": {}})
    served = {name: one.with_templates(templates) for name, one in served.items()}
    for entry in experiment_log(root).entries():
        if entry.end is None:
            compare(served, entry.plan)
    usual = promoted[0] if len(promoted) == 1 else BASE
    return Catalogue(served, default or usual, base.name, _router_facts(project))


def compare(served: dict[str, Served], plan: ExperimentSpec) -> None:
    """Divide a project's requests as an experiment plans, where all that it compares is there."""
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
    now: Mapping[str, Any],
    base: BaseModel,
    per_task: bool,
    templates: Templates,
) -> Iterator[Served]:
    """A project under its own name, and each of its releases under theirs."""
    name = str(model.partition)
    examples = cache(partial(_examples_of, project, model.partition))
    files = _data_version(project, "repository_files", model.partition)
    patterns = cache(partial(served_patterns, project, name, files))

    def make(called: str, version: str | None) -> Served:
        made = _served(project, model, now, base, per_task, templates, examples, called, version)
        return replace(made, patterns=patterns, about={**made.about, "patterns": files})

    yield replace(make(name, now["champion"]), split=_split(project, model))
    for role in ROLES:
        if now[role] is not None:
            yield make(f"{name}@{role}", now[role])
    for version, number in now["numbers"].items():
        yield make(f"{name}@{number}", version)


def _split(project: Project, model: ReleasedModel) -> Split | None:
    """The running canary."""
    running = history.canary(moves(project.root, model))
    if running is None or running.version is None:
        return None
    return Split(str(model.partition), running.version, running.plan or {}, running.at)


def _concluded(root: Path, name: str, version: str, analysis: Analysis) -> None:
    """Write the end of an analysis into the ledger."""
    project = open_project(root)
    model = find_model(project, ReleasedModel(_ADAPTER, name).name)
    conclude(project, model, version, analysis)


def _served(
    project: Project,
    model: ReleasedModel,
    now: Mapping[str, Any],
    base: BaseModel,
    per_task: bool,
    templates: Templates,
    examples_of: Callable[[str | None], tuple[Path | None, str]],
    name: str,
    version: str | None,
) -> Served:
    metrics, measured = _evaluation(project, model)
    own = version is not None and measured == version
    index = _data_version(project, "completion_dataset", model.partition)
    lines = moves(project.root, model)
    release = history.release_of(lines, version)
    if release is None:
        known = metrics if own or version is None else {}
        release = choose_release(known, base.digest, version, index or "")
    index = release.index or index
    examples, why = examples_of(index)
    notice = ""
    if release.shows_context and examples is None:
        notice = f"answered without similar code: {why}"
        release = replace(release, way="adapter" if version else "base", index=None)
    if other := _other_prompts(history.prompts_of(lines, version), templates):
        notice = "; ".join(filter(None, (notice, other)))
    line = _released(lines, version)
    about = {
        "project": model.partition,
        "number": now["numbers"].get(version),
        "roles": [role for role in ROLES if version and now[role] == version],
        "verdict": now["verdict"] if own or version is None else None,
        "reason": now["reason"] if own or version is None else None,
        "base": _base_facts(base),
        "bits_per_byte": measured_conditions(metrics) if own or version is None else {},
        "plan": now["plan"] if version and version in (now["champion"], now["canary"]) else None,
        "scores": adapter_scores(metrics) if own else [],
        "prompts": {name: template.version for name, template in templates.each.items()},
        "lineage": _lineage(project, model, version, line),
    }
    made = Served(
        name,
        release,
        partial(_files, project, model, version, base.digest, per_task) if version else None,
        examples if release.shows_context else None,
        _created(line),
        about,
        notice,
    )
    return with_others(made, index, examples)


def _other_prompts(released: Mapping[str, str], templates: Templates) -> str:
    """That templates have changed since a release, in words; empty if they have not."""
    now = templates.own
    changed = sorted(name for name in {*released, *now} if released.get(name) != now.get(name))
    words = "prompts are made by other templates than when it was released"
    return f"{words}: {', '.join(changed)}" if changed else ""


def _examples_of(
    project: Project, partition: str | None, version: str | None
) -> tuple[Path | None, str]:
    """The examples of a version, which are hashed to be sure; else why they are not to be had."""
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

    # only a model with an adapter a task has another one for each
    named = f"{version}:{task}" if per_task else version
    return AdapterFiles(named, locate, str(model.partition))


def _evaluation(project: Project, model: ReleasedModel) -> tuple[dict[str, Any], str | None]:
    """Figures of the newest evaluation, and of which version; none where there is none."""
    folder = project.output(f"{model.asset}_evaluation", model.partition)
    try:
        version = read_json(folder / "comparison.json")["challenger"]["version"]
        return read_json(folder / "metrics.json"), str(version)
    except (OSError, ValueError, LookupError, TypeError):
        return {}, None


def _released(lines: Sequence[LedgerEntry], version: str | None) -> LedgerEntry | None:
    """The ledger's latest line on a version; of none, the latest return to the baseline."""
    return next((line for line in reversed(lines) if line.version == version), None)


def _created(line: LedgerEntry | None) -> int:
    return int(datetime.fromisoformat(line.at).timestamp()) if line else 0


def _lineage(
    project: Project, model: ReleasedModel, version: str | None, line: LedgerEntry | None
) -> dict[str, Any]:
    """What a version was made from, as far as dvc.lock and the ledger know."""
    known: dict[str, Any] = {"version": version}
    if line is not None:
        known |= {"promoted": {"at": line.at, "by": line.by, "why": line.why}}
        known |= {"made_from": line.made_from}
    stages = locked_stages(project.root)
    if version and locked_version(stages, model.address) == version:
        read = stages[model.address].get("deps", [])
        known["inputs"] = {str(dep["path"]): str(dep["md5"]) for dep in read}
    return known


def _data_version(project: Project, asset: str, partition: str | None) -> str | None:
    return locked_version(locked_stages(project.root), stage_address(asset, partition))


def _router(project: Project) -> LoadedRouter:
    """The champion; the rules, and why, where its files are not what was released."""
    try:
        return LoadedRouter(open_router(project))
    except (UntrustedModelError, ProjectError, WeightsError) as error:
        return LoadedRouter(open_rules(project), f"{type(error).__name__}: {error}")


def _router_facts(project: Project) -> dict[str, Any] | None:
    for model in project_models(project):
        if model.asset == ROUTER:
            now = model_roles(project.root, model)
            version = now["champion"]
            line = _released(moves(project.root, model), version)
            return {
                "version": version or "rules",
                "way": "model" if version else "rules",
                "number": now["numbers"].get(version),
                "created": _created(line),
                "roles": {role: now[role] for role in ROLES},
                "plan": now["plan"],
                "verdict": now["verdict"],
                "reason": now["reason"],
                # the newest evaluation is that of the challenger
                "scores": _router_scores(project, model) if version == now["challenger"] else [],
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
    """Changes when a promotion, a rollback or a pipeline's run has changed what is served."""
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
