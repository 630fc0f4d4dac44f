"""The catalogue of a project: the releases in releases.lock under their names, and the router."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest, base_name
from cortex_pipelines.adapters.model.lora import adapter_for
from cortex_pipelines.answers.team import TEAM_ASSETS, Team
from cortex_pipelines.catalog import open_project
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.team_patterns import served_patterns
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.project_names import BASE, ROLES, ROUTER
from cortex_pipelines.prompts.templates import FOLDER, Templates, project_templates
from cortex_pipelines.release import ledger
from cortex_pipelines.release.answering import Release, choose_release, measured_conditions
from cortex_pipelines.release.experiments.plan import ARMS, ExperimentError, ExperimentSpec
from cortex_pipelines.release.experiments.running import experiment_log
from cortex_pipelines.release.ledger import FILE, LedgerEntry, ReleasedModel, moves, project_models
from cortex_pipelines.release.open_model import open_router, open_rules, open_verified, pinned_base
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.catalogue import Catalogue, Experiment, ServedModel, Split, with_ways
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.engines.task_encoder import embed_alone
from cortex_pipelines.serving.rollout import arm_of
from cortex_pipelines.serving.routing import LoadedRouter
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")
ADAPTER = "code_adapter"

Scores = Sequence[tuple[str, str, str]]
"""Name in ``metrics.json``, label, and unit; ``share`` is shown in per cent."""

_ADAPTER_SCORES: Scores = (
    ("completion_improvement_over_base", "Completions: bits per byte saved", "bits per byte"),
    ("improvement_over_base", "All tasks: bits per byte saved", "bits per byte"),
    ("team_challenger_accuracy", "Questions about the team's code: correct", "share"),
    ("team_base_accuracy", "The same, by the base", "share"),
    ("forgetting", "General code: rise in perplexity", "share"),
)
_ROUTER_SCORES: Scores = (
    ("challenger", "Tasks sent to the right master", "share"),
    ("reference", "The same, by the model before", "share"),
    ("covered", "Right among those it decides itself", "share"),
    ("out_of_scope_abstained", "Other requests left to a person", "share"),
)


def read_catalogue(root: Path, default: str | None = None) -> Catalogue:
    project = open_project(root)
    templates = project_templates(root)
    pinned = pinned_base(project)
    base = BaseModel(Path(), base_name(pinned), base_digest(pinned))
    per_task = load_parameters(root).adapters.per_task
    base_facts = {"name": base.name, "digest": base.digest}
    served: dict[str, ServedModel] = {}
    promoted = []
    for model in project_models(project):
        if model.asset == ADAPTER and model.partition:
            adapter = _ProjectAdapter(project, model, base_facts, per_task, templates)
            served |= {entry.name: entry for entry in adapter.served_models()}
            promoted += [model.partition] if adapter.state["champion"] else []
    served[BASE] = ServedModel(BASE, Release("base", base.digest), details={"base": base_facts, "figures": {}})
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
    served[plan.project] = replace(served[plan.project], experiment=Experiment(plan, arms))


class _ProjectAdapter:
    """The adapter of a project, its roles and its latest evaluation."""

    def __init__(
        self, project: Project, model: ReleasedModel, base: Mapping[str, str], per_task: bool, templates: Templates
    ) -> None:
        self._project, self._model, self._base = project, model, base
        self._per_task, self._templates = per_task, templates
        self._name = str(model.partition)
        self._ledger = moves(project.root, model)
        self._examples_of = cache(self._read_examples)
        self.state: Mapping[str, Any] = model_roles(project.root, model)
        folder = project.output(f"{ADAPTER}_evaluation", model.partition)
        self._metrics: dict[str, Any] = {}
        self._measured: str | None = None
        with suppress(OSError, ValueError, LookupError, TypeError):  # not evaluated yet
            version = str(read_json(folder / "comparison.json")["challenger"]["version"])
            self._metrics, self._measured = read_json(folder / "metrics.json"), version

    def served_models(self) -> Iterator[ServedModel]:
        """Under the project's name, its roles and its release numbers."""
        running = ledger.canary(self._ledger)
        split = None
        if running is not None and running.version is not None:
            split = Split(self._name, running.version, running.plan or {}, running.at)
        files = self._data_version("repository_files")
        patterns = cache(partial(served_patterns, self._project, self._name, files))
        team = cache(partial(open_team, self._project, self._name))
        names = {self._name: self.state["champion"]}
        names |= {f"{self._name}@{role}": self.state[role] for role in ROLES if self.state[role] is not None}
        names |= {f"{self._name}@{number}": version for version, number in self.state["numbers"].items()}
        for name, version in names.items():
            served = self._served(name, version)
            details = {**served.details, "patterns": files}
            yield replace(
                served, patterns=patterns, team=team, details=details, split=split if name == self._name else None
            )

    def _served(self, name: str, version: str | None) -> ServedModel:
        state, templates, metrics = self.state, self._templates, self._metrics
        is_evaluated = version is not None and self._measured == version
        describes_evaluation = is_evaluated or version is None
        index = self._data_version("completion_dataset")
        if recorded := ledger.latest(self._ledger, version, "release"):
            release = Release(**recorded)
        else:
            release_metrics = metrics if describes_evaluation else {}
            release = choose_release(release_metrics, self._base["digest"], version, index or "")
        index = release.index or index
        examples, reason = self._examples_of(index)
        despite_gate = ledger.overridden_gate(self._ledger, version)
        notices = [despite_gate] if despite_gate else []
        if release.shows_context and examples is None:
            notices.append(f"answered without similar code: {reason}")
            release = replace(release, way="adapter" if version else "base", index=None)
        released, current = ledger.prompts_of(self._ledger, version), templates.project_versions
        if changed := sorted(each for each in {*released, *current} if released.get(each) != current.get(each)):
            notices.append(f"prompts are made by other templates than when it was released: {', '.join(changed)}")
        entry = _released(self._ledger, version)
        details = {
            "project": self._model.partition,
            "number": state["numbers"].get(version),
            "roles": [role for role in ROLES if version and state[role] == version],
            "verdict": state["verdict"] if describes_evaluation else None,
            "reason": state["reason"] if describes_evaluation else None,
            "base": self._base,
            "bits_per_byte": measured_conditions(metrics) if describes_evaluation else {},
            "plan": state["plan"] if version and version in (state["champion"], state["canary"]) else None,
            "scores": score_rows(metrics, _ADAPTER_SCORES) if is_evaluated else [],
            "prompts": {name: template.version for name, template in templates.by_name.items()},
            "lineage": _lineage(self._project, self._model, version, entry),
        }
        served = ServedModel(
            name,
            release,
            partial(self._files, version) if version else None,
            examples if release.shows_context else None,
            _created(entry),
            details,
            "; ".join(notices),
            despite_gate,
        )
        return with_ways(served, index, examples)

    def _read_examples(self, version: str | None) -> tuple[Path | None, str]:
        """Folder of a version's examples, verified by hash; else None and the reason."""
        try:
            if version:
                return model_folder(self._project, "completion_dataset", self._model.partition, version), ""
            return None, "no completion_dataset is made"
        except ProjectError as error:
            return None, str(error)

    def _files(self, version: str, task: str) -> AdapterFiles:
        model = self._model

        def locate() -> Path:
            released = open_verified(self._project, model, version)
            if released.base is None or released.base["digest"] != self._base["digest"]:
                trained = (released.base or {}).get("name", "no base")
                raise UntrustedModelError(f"{model.name} ({version}) was trained on {trained}")
            folder = adapter_for(released.folder, task)
            if folder is None:
                raise UntrustedModelError(f"{model.name} ({version}) has no adapter for {task}")
            return folder

        # the version is unique per task only if there is one adapter per task
        return AdapterFiles(f"{version}:{task}" if self._per_task else version, locate, self._name)

    def _data_version(self, asset: str) -> str | None:
        return locked_version(locked_stages(self._project.root), stage_address(asset, self._model.partition))


def score_rows(metrics: Mapping[str, float | None], scores: Scores) -> list[dict[str, Any]]:
    """Measured headline metrics with their intervals."""
    rows = []
    for name, label, unit in scores:
        value, low, high = (metrics.get(f"{name}{end}") for end in ("", "_low", "_high"))
        if value is not None:
            rows.append({"name": name, "label": label, "unit": unit, "value": value, "low": low, "high": high})
    return rows


def open_team(project: Project, name: str) -> Team:
    """What a project's data sets say; a task was learned if its data set has examples of it."""
    examples = project.output(ADAPTER, name) / "examples.json"
    learned: Mapping[str, Sequence[str]] = {}
    with suppress(OSError, ValueError):  # nothing is trained
        learned = read_json(examples)
    outputs = {asset: project.output(asset, name) for asset in TEAM_ASSETS}
    facts = ProjectFacts(project.root, name, "", project.root / ".cortex")  # paths of questions are the tables' own
    return Team(name, outputs, facts, frozenset(task for task, ids in learned.items() if ids))


def _released(entries: Sequence[LedgerEntry], version: str | None) -> LedgerEntry | None:
    """The ledger's latest entry on a version; for None, the latest return to the baseline."""
    return next((entry for entry in reversed(entries) if entry.version == version), None)


def _created(entry: LedgerEntry | None) -> int:
    return int(datetime.fromisoformat(entry.at).timestamp()) if entry else 0


def _lineage(project: Project, model: ReleasedModel, version: str | None, entry: LedgerEntry | None) -> dict[str, Any]:
    lineage: dict[str, Any] = {"version": version}
    if entry is not None:
        promoted = {"at": entry.at, "by": entry.by, "why": entry.why}
        lineage |= {"promoted": promoted, "made_from": entry.made_from}
    stages = locked_stages(project.root)
    if version and locked_version(stages, model.address) == version:
        lineage["inputs"] = {str(dep["path"]): str(dep["md5"]) for dep in stages[model.address].get("deps", [])}
    return lineage


def open_served_router(project: Project) -> LoadedRouter:
    """The champion; the keyword rules and a notice if its files cannot be verified."""
    try:
        model = ReleasedModel(ROUTER, None)
        despite_gate = ledger.overridden_gate(moves(project.root, model), ledger.champion(project.root, model).champion)
        router = open_router(project)
        if router.encoder is not None:
            router.encoder.open_alone = embed_alone
        return LoadedRouter(router, despite_gate)
    except (UntrustedModelError, ProjectError, WeightsError) as error:
        return LoadedRouter(open_rules(project), f"{type(error).__name__}: {error}")


def _router_facts(project: Project) -> dict[str, Any] | None:
    model = next((model for model in project_models(project) if model.asset == ROUTER), None)
    if model is None:
        return None
    state = model_roles(project.root, model)
    version = state["champion"]
    entry = _released(moves(project.root, model), version)
    scores = []
    if version == state["challenger"]:  # which the latest evaluation is of
        with suppress(OSError, ValueError):
            metrics = read_json(project.output(f"{ROUTER}_evaluation", None) / "metrics.json")
            scores = score_rows(metrics, _ROUTER_SCORES)
    return {
        "version": version or "rules",
        "way": "model" if version else "rules",
        "number": state["numbers"].get(version),
        "created": _created(entry),
        "roles": {role: state[role] for role in ROLES},
        **{name: state[name] for name in ("plan", "verdict", "reason")},
        "notice": state["despite_gate"],
        "scores": scores,
        "lineage": _lineage(project, model, version, entry if version else None),
    }


Stamp = tuple[tuple[int, int], ...]
"""Modification times and sizes of files."""


def router_stamp(root: Path) -> Stamp:
    """Of all files that determine the router."""
    return _stamp_of(root / name for name in (FILE, "dvc.lock", "sources.lock"))


def catalogue_stamp(root: Path) -> Stamp:
    """Of all files that determine the catalogue."""
    prompts = root / FOLDER
    return router_stamp(root) + _stamp_of((experiment_log(root).path, prompts, *prompts.rglob("*")))


def _stamp_of(paths: Iterable[Path]) -> Stamp:
    stamps = []
    for path in paths:
        with suppress(FileNotFoundError):
            stat = path.stat()
            stamps.append((stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
