"""``cortex study``: a project of many projects, and what adapters are worth in each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.model.lora import TRAINING
from cortex_pipelines.atomic import locked
from cortex_pipelines.catalog import project_name_refusal
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.conditions import gained
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.project_sources import parse_source
from cortex_pipelines.orchestration.adapter_study.results import (
    Gain,
    QuestionResults,
    Studied,
    recorded,
    write_results,
)
from cortex_pipelines.projects.add import add_project
from cortex_pipelines.projects.create import begin_project
from cortex_pipelines.projects.parameter_file import (
    as_text,
    read_values,
    round_trip,
    write_values,
)
from cortex_pipelines.projects.update_pins import move_pins
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.settings import PROJECT_NAME, PROJECT_NAME_WORDS
from cortex_pipelines.statistics.multiple_comparisons import sign_flip_p
from cortex_pipelines.tracking.durations import last_seconds
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import Project, ProjectError

PROJECTS = Path(__file__).parent / "study_of_adapters.yaml"
CONTROL = "flask"

_WAYS = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
    "other adapter": "other_adapter_bits_per_byte",
    "n-grams": "ngrams_bits_per_byte",
    "base, n-grams": "base_with_ngrams_bits_per_byte",
    "adapter, n-grams": "adapter_with_ngrams_bits_per_byte",
    "context, n-grams": "retrieval_with_ngrams_bits_per_byte",
    "both, n-grams": "both_with_ngrams_bits_per_byte",
}
"""Way to answer, to its figure of held-out completions."""
_SERVED = ("base", "context", "adapter", "both")
_ROLES = {"adapter": "challenger", "other adapter": "other_adapter"}
"""Way to its name among the figures of questions, where that is another one."""
_OVER = {
    "adapter over base": ("adapter", "base"),
    "adapter over context": ("adapter", "context"),
    "both over context": ("both", "context"),
    "both over context, n-grams beside": ("both_cache", "context_cache"),
    "adapter over other adapter": ("adapter", "other_adapter"),
    "adapter over n-grams": ("adapter", "cache"),
}
"""What is compared, to its ways in ``ways.parquet``."""


def begin_study(
    folder: Path,
    chosen: Sequence[str],
    repositories: Mapping[str, Path],
    limits: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Make the folder of a study a project, or go on with the one that is there.

    Args:
        folder: Where.
        chosen: Names of listed projects, which are added where the study lacks them, or of its own;
            none for all that are listed, or in a study that was begun before, for those it has.
        repositories: Further projects by name: repositories with their history.
        limits: Section and key, to what holds instead of the standard profile, from the beginning;
            of a study that was begun before, what is to hold in it already.

    Yields:
        What was done, in sentences.

    Raises:
        ProjectError: there is no such project or folder, a repository has another one's name or one
            that no project can have, or what was begun is damaged or has other limits.
    """
    listed = round_trip().load(PROJECTS.read_text(encoding="utf-8"))
    begun = (folder / "params.yaml").exists()
    if begun:
        _check_begun(folder, limits)
        values = read_values(folder)
    else:
        values = listed
        for section, wanted in limits.items():
            values.setdefault(section, {}).update(wanted)
    projects = values["projects"]
    every = [name for name in {**listed["projects"], **projects} if name != CONTROL]
    if wrong := set(chosen) - set(every):
        raise ProjectError(
            f"no project {', '.join(sorted(wrong))} in the study; there is: {', '.join(every)}"
        )
    if not begun:
        for name in set(every) - set(chosen or every):
            del projects[name]
    added = {name: listed["projects"][name] for name in chosen if name not in projects}
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
            raise ProjectError(
                f"--repo {name}: the study has another project of that name; choose another name"
            )
    if not (folder / "dvc.yaml").exists():  # nor after a kill before it was whole
        yield from begin_project(folder, as_text(values))
    if added:
        write_values(folder, values)
    for key in move_pins(folder, missing=True):
        yield f"pinned: {key}"
    for name, path in repositories.items():
        if name not in projects:
            add_project(folder, name, str(path.resolve()))
            yield f"{name}: {path} is pinned"


def _check_begun(folder: Path, limits: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise before hours of work on what cannot be read, or not as the caller wants it."""
    parameters = load_parameters(folder)
    recorded(folder)
    for section, wanted in limits.items():
        for key, value in wanted.items():
            holds = getattr(getattr(parameters, section), key)
            if holds != value:
                raise ProjectError(
                    f"the study in {folder} was begun with {section}.{key}: {holds}, not {value}; "
                    "leave that option out, or change the value in params.yaml there"
                )


def studied_projects(project: Project) -> list[str]:
    """Names of the projects that get an adapter."""
    return [name for name in project.partitions if name != CONTROL]


def partners(project: Project) -> dict[str, str]:
    """Each project to the one whose adapter is its control, of the same language where there is.

    The next one in order is taken, so that each adapter is the control of at most a few others.
    """
    names = studied_projects(project)
    languages = {name: _language(project, name)[0] for name in names}
    found = {}
    for place, name in enumerate(names):
        others = names[place + 1 :] + names[:place]
        same = [other for other in others if languages[other] == languages[name]]
        if other := next(iter(same or others), None):
            found[name] = other
    return found


def compare_with(project: Project, name: str, other: str) -> None:
    """Give a project's evaluation the adapter of another, if there is one."""
    version = content_md5(project.output("code_adapter", other))
    if not version:
        return
    with _alone(project.root):
        values = read_values(project.root)
        section = values["projects"][name].setdefault("evaluation", {})
        section["other_adapter"] = {"project": other, "version": version}
        write_values(project.root, values)
    follow_projects(project)


def set_budget(root: Path, tokens: int) -> None:
    """Let every adapter of the study be trained on at most so many tokens."""
    with _alone(root):
        values = read_values(root)
        section = values.setdefault("adapters", {})
        if section.get("max_tokens") != tokens:
            section["max_tokens"] = tokens
            write_values(root, values)


def record(project: Project, name: str) -> None:
    """Take up in ``study.json`` what is measured of a project, in place of the same before."""
    folder = project.output("code_adapter_evaluation", name)
    metrics = read_json(folder / "metrics.json")
    if metrics:
        ways = pl.read_parquet(folder / "ways.parquet")
        one = _studied(project, name, metrics, ways)
        with _alone(project.root):
            known = [o for o in recorded(project.root) if (o.name, o.budget) != (name, one.budget)]
            write_results(project.root, [*known, one])


def _alone(root: Path) -> AbstractContextManager[None]:
    """Keep other runs of the same study from writing between reading and writing."""
    return locked(root / ".cortex" / "study")


def _studied(
    project: Project, name: str, metrics: Mapping[str, float], ways: pl.DataFrame
) -> Studied:
    language, lines = _language(project, name)
    bits = {way: metrics[figure] for way, figure in _WAYS.items() if figure in metrics}
    served = [way for way in _SERVED if way in bits]
    adapter = project.output("code_adapter", name)
    trained = read_json(adapter / "metrics.json") or {}
    settings = (read_json(adapter / TRAINING) or {}).get("settings", {})
    seconds = last_seconds(project.root).get(("code_adapter", name))
    return Studied(
        name,
        language,
        lines,
        int(settings.get("max_tokens", 0)),
        int(trained.get("train_tokens", 0)),
        None if seconds is None else seconds / 60,
        ways.height,
        int(ways["gap"].sum()),
        bits,
        _figures(metrics, "gap_{}_bits_per_byte"),
        _figures(metrics, "line_{}"),
        _questions(metrics),
        _gains(ways, load_parameters(project.root).evaluation),
        _with_ends(metrics, "forgetting"),
        min(served, key=lambda way: bits[way], default="base"),
    )


def _figures(metrics: Mapping[str, float], pattern: str) -> dict[str, float]:
    known = {way: metrics.get(pattern.format(way)) for way in _SERVED}
    return {way: value for way, value in known.items() if value is not None}


def _questions(metrics: Mapping[str, float]) -> dict[str, QuestionResults]:
    """Questions of each kind; similar code is shown with some of all kinds."""
    parts = {"all": "team_", **{kind: f"choice_{kind}_" for kind in KINDS}, "shown": "shown_"}
    return {
        part: QuestionResults(
            int(metrics[f"{prefix}items"]),
            {
                way: metrics[figure]
                for way in (*_SERVED, "other adapter")
                if (figure := f"{prefix}{_ROLES.get(way, way)}_accuracy") in metrics
            },
        )
        for part, prefix in parts.items()
        if f"{prefix}items" in metrics
    }


def _with_ends(metrics: Mapping[str, float], name: str) -> tuple[float, float, float] | None:
    if name not in metrics:
        return None
    return metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"]


def _gains(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, Gain]:
    """What an adapter saves, and what it saves beside similar code."""
    gains = {}
    for name, (way, over) in _OVER.items():
        part = table.drop_nulls([f"{way}_bits", f"{over}_bits"])
        if part.height:
            paired = gained(part, way, over, settings)
            interval = paired.interval(settings.resamples, settings.confidence, settings.seed)
            p = sign_flip_p(paired, settings.resamples, settings.seed)
            gains[name] = Gain(interval.estimate, interval.low, interval.high, p)
    return gains


def _language(project: Project, name: str) -> tuple[str, int]:
    """The language of most of a project's code, and how many lines it has in all."""
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
