"""``cortex study``: a workspace of many projects, to measure the gain of adapters in each."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.model.lora import TRAINING
from cortex_pipelines.atomic import folder_lock
from cortex_pipelines.catalog import project_name_refusal
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_saved
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS
from cortex_pipelines.ingestion.project_sources import parse_source
from cortex_pipelines.orchestration.adapter_study.results import (
    BitsSaved,
    ProjectResult,
    QuestionResults,
    read_recorded_results,
    write_results,
)
from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.orchestration.runs import RunOutcome, run_stale
from cortex_pipelines.projects.create import add_project, create_project
from cortex_pipelines.projects.parameter_file import read_values, round_trip, to_yaml, write_values
from cortex_pipelines.projects.update_pins import update_pins
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.settings import PROJECT_NAME, PROJECT_NAME_WORDS
from cortex_pipelines.statistics.significance import sign_flip_p
from cortex_pipelines.tracking.recorded_versions import last_seconds
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.instance import open_instance
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.project import Project, ProjectError

PROJECTS = Path(__file__).parent / "study_of_adapters.yaml"
CONTROL = "flask"

_CONDITION_METRICS = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
    "other adapter": "other_adapter_bits_per_byte",
}
"""Condition to its metric on held-out completions."""
_SERVABLE = ("base", "context", "adapter", "both")
_QUESTION_NAMES = {"adapter": "challenger", "other adapter": "other_adapter"}
"""Condition to its name in the metrics of questions, where it differs."""
_COMPARISONS = {
    "adapter over base": ("adapter", "base"),
    "adapter over context": ("adapter", "context"),
    "both over context": ("both", "context"),
    "adapter over other adapter": ("adapter", "other_adapter"),
}
"""Comparison to its conditions in ``ways.parquet``."""


def create_study(
    folder: Path, selected: Sequence[str], repositories: Mapping[str, Path], limits: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Create the study's project folder, or resume an existing one.

    ``selected`` names projects in the template or the study, missing ones are added; none for all of the template, or
    all that an existing study has. ``repositories`` are additional projects. ``limits`` override the standard profile
    by section and key; an existing study must have been created with the same.

    Yields a message for each step. Raises ProjectError: unknown project or folder, a repository with a name that is
    taken or not allowed, or an existing study that is damaged or has other limits.
    """
    template = round_trip().load(PROJECTS.read_text(encoding="utf-8"))
    exists = (folder / "params.yaml").exists()
    if exists:
        _check_existing(folder, limits)
        values = read_values(folder)
    else:
        values = template
        for section, section_limits in limits.items():
            values.setdefault(section, {}).update(section_limits)
    projects = values["projects"]
    available = [name for name in {**template["projects"], **projects} if name != CONTROL]
    if unknown := set(selected) - set(available):
        raise ProjectError(f"no project {', '.join(sorted(unknown))} in the study; there is: {', '.join(available)}")
    if not exists:
        for name in set(available) - set(selected or available):
            del projects[name]
    added = {name: template["projects"][name] for name in selected if name not in projects}
    projects.update(added)
    for name, path in repositories.items():
        if not PROJECT_NAME.fullmatch(name):
            raise ProjectError(f"--repo {name}: {PROJECT_NAME_WORDS}")
        if refusal := project_name_refusal(name):
            raise ProjectError(f"--repo {name}: {refusal}")
        if not path.is_dir():
            raise ProjectError(f"--repo {name}: no folder {path}; give a clone of the repository")
        source = parse_source(str(path.resolve()), folder)
        if name in projects and source not in projects[name]["sources"]:
            raise ProjectError(f"--repo {name}: the study has another project of that name; choose another name")
    if not (folder / "dvc.yaml").exists():  # also missing after an interrupted creation
        yield from create_project(folder, to_yaml(values))
    if added:
        write_values(folder, values)
    for key in update_pins(folder, missing=True):
        yield f"pinned: {key}"
    for name, path in repositories.items():
        if name not in projects:
            add_project(folder, name, str(path.resolve()))
            yield f"{name}: {path} is pinned"


def _check_existing(folder: Path, limits: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if an existing study cannot be read or has other limits, before hours of work."""
    parameters = load_parameters(folder)
    read_recorded_results(folder)
    for section, section_limits in limits.items():
        for key, value in section_limits.items():
            current = getattr(getattr(parameters, section), key)
            if current != value:
                raise ProjectError(
                    f"the study in {folder} was begun with {section}.{key}: {current}, not "
                    f"{value}; leave that option out, or change the value in params.yaml there"
                )


def studied_projects(project: Project) -> list[str]:
    return [name for name in project.partitions if name != CONTROL]


def assign_controls(project: Project) -> dict[str, str]:
    """Each project to the next one, of its language if possible, whose adapter is its control."""
    names = studied_projects(project)
    languages = {name: _language(project, name)[0] for name in names}
    controls = {}
    for position, name in enumerate(names):
        candidates = names[position + 1 :] + names[:position]
        same_language = [other for other in candidates if languages[other] == languages[name]]
        if other := next(iter(same_language or candidates), None):
            controls[name] = other
    return controls


def set_control_adapter(project: Project, name: str, other: str) -> None:
    """Set another project's adapter as the control of an evaluation, if it is trained."""
    version = content_md5(project.output("code_adapter", other))
    if not version:
        return
    with _study_lock(project.root):
        values = read_values(project.root)
        section = values["projects"][name].setdefault("evaluation", {})
        section["other_adapter"] = {"project": other, "version": version}
        write_values(project.root, values)
    follow_projects(project)


def record_result(project: Project, name: str) -> None:
    folder = project.output("code_adapter_evaluation", name)
    metrics = read_json(folder / "metrics.json")
    if metrics:
        condition_bits = pl.read_parquet(folder / "ways.parquet")
        result = _project_result(project, name, metrics, condition_bits)
        with _study_lock(project.root):
            other_results = [
                o for o in read_recorded_results(project.root) if (o.name, o.budget) != (name, result.budget)
            ]
            write_results(project.root, [*other_results, result])


def _study_lock(root: Path) -> AbstractContextManager[None]:
    return folder_lock(root / ".cortex" / "study")


def _project_result(
    project: Project, name: str, metrics: Mapping[str, float], condition_bits: pl.DataFrame
) -> ProjectResult:
    language, lines = _language(project, name)
    bits = {condition: metrics[metric] for condition, metric in _CONDITION_METRICS.items() if metric in metrics}
    servable = [condition for condition in _SERVABLE if condition in bits]
    adapter = project.output("code_adapter", name)
    settings = read_json(adapter / TRAINING).get("settings", {})
    seconds = last_seconds(project.root).get(("code_adapter", name))
    questions = {}
    for question_set, prefix in {"all": "team", **{kind: f"choice_{kind}" for kind in KINDS}, "shown": "shown"}.items():
        if f"{prefix}_items" in metrics:
            accuracies = {
                condition: f"{prefix}_{_QUESTION_NAMES.get(condition, condition)}_accuracy"
                for condition in (*_SERVABLE, "other adapter")
            }
            correct = {condition: metrics[key] for condition, key in accuracies.items() if key in metrics}
            questions[question_set] = QuestionResults(int(metrics[f"{prefix}_items"]), correct)
    evaluation = load_parameters(project.root).evaluation
    gains = {}
    for comparison, (condition, reference) in _COMPARISONS.items():
        rows = condition_bits.drop_nulls([f"{condition}_bits", f"{reference}_bits"])
        if rows.height:
            paired = bits_saved(rows, reference, evaluation, condition)
            interval = paired.interval(evaluation.resamples, evaluation.confidence, evaluation.seed)
            p = sign_flip_p(paired, evaluation.resamples, evaluation.seed)
            gains[comparison] = BitsSaved(interval.estimate, interval.low, interval.high, p)
    forgetting = None
    if "forgetting" in metrics:
        forgetting = (metrics["forgetting"], metrics["forgetting_low"], metrics["forgetting_high"])
    return ProjectResult(
        name=name,
        language=language,
        lines=lines,
        budget=int(settings.get("max_tokens", 0)),
        tokens=int(read_json(adapter / "metrics.json").get("train_tokens", 0)),
        minutes=None if seconds is None else seconds / 60,
        items=condition_bits.height,
        gaps=int(condition_bits["gap"].sum()),
        bits=bits,
        gap_bits={c: metrics[key] for c in _SERVABLE if (key := f"gap_{c}_bits_per_byte") in metrics},
        first_lines={c: metrics[key] for c in _SERVABLE if (key := f"line_{c}") in metrics},
        questions=questions,
        gains=gains,
        forgetting=forgetting,
        best=min(servable, key=lambda condition: bits[condition], default="base"),
    )


def _language(project: Project, name: str) -> tuple[str, int]:
    path = project.output("repository_files", name) / "files.parquet"
    if not path.exists():
        return "none", 0
    lines = (
        pl.scan_parquet(path)
        .filter(pl.col("trainable") & pl.col("language").is_not_null())
        .group_by("language")
        .agg(pl.col("text").str.count_matches("\n").sum().alias("lines"))
        .sort("lines", "language", descending=[True, False])
        .collect()
    )
    code = lines.filter(pl.col("language").is_in(LANGUAGES))
    if not code.height:
        return "none", 0
    return str(code["language"][0]), int(code["lines"].sum())


def run_study(
    root: Path, budgets: Sequence[int], report: Callable[[str], None], only: Collection[str] = ()
) -> RunOutcome:
    """Train and evaluate the adapter of each project; finished outputs are not made again.

    A project is evaluated and recorded in ``study.json`` as soon as its adapter and its control adapter are trained, so
    an interrupted study leaves complete results.

    ``budgets`` are maximum numbers of training tokens, run one after the other; none for the value in params.yaml.
    ``only`` names the projects to evaluate; none for all.
    Returns stages that ran and that failed; a failed project does not stop the others.
    """
    project, _ = open_location(root)
    all_projects = studied_projects(project)
    names = [name for name in all_projects if not only or name in only]
    outcome = _run_asset(root, "repository_files", all_projects, report)  # each may be another one's control
    outcome += _run_asset(root, "general_code", [None], report)
    control_projects = assign_controls(project)
    for tokens in budgets or (None,):
        remaining = names
        if tokens is not None:
            if tokens != budgets[-1]:  # the workspace holds only the largest budget's adapter
                finished = {result.name for result in read_recorded_results(root) if result.budget == tokens}
                remaining = [name for name in names if name not in finished]
            if remaining:
                with _study_lock(root):
                    values = read_values(root)
                    section = values.setdefault("adapters", {})
                    if section.get("max_tokens") != tokens:
                        section["max_tokens"] = tokens
                        write_values(root, values)
        for name in remaining:
            outcome += _study_project(root, name, control_projects.get(name), report)
    return outcome


def _study_project(root: Path, name: str, other: str | None, report: Callable[[str], None]) -> RunOutcome:
    outcome = _run_asset(root, "code_adapter", [name, other] if other else [name], report)
    if other:
        set_control_adapter(open_location(root)[0], name, other)
    evaluated = _run_asset(root, "code_adapter_evaluation", [name], report)
    if not evaluated.failed:  # valid even if the other project's adapter failed
        record_result(open_location(root)[0], name)
    return outcome + evaluated


def _run_asset(root: Path, asset: str, names: Sequence[str | None], report: Callable[[str], None]) -> RunOutcome:
    project, definitions = open_location(root)
    instance, upstream = open_instance(root), project.graph.upstream([asset])
    outcome = RunOutcome()
    for name in names:
        outcome += run_stale(project, definitions, instance, name, report, upstream)
    return outcome
