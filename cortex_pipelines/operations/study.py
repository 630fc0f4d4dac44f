"""``cortex study adapters``: a project of many projects, and what adapters are worth in each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.ways import gained
from cortex_pipelines.evaluation.statistics.multiple_comparisons import compare_all
from cortex_pipelines.operations.projects.adding import add_project
from cortex_pipelines.operations.projects.beginning import begin_project
from cortex_pipelines.operations.projects.moving_pins import move_pins
from cortex_pipelines.operations.projects.parameter_file import round_trip
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.project import Project, ProjectError

PROJECTS = Path(__file__).parent / "study_of_adapters.yaml"
CONTROL = "flask"
RESULT = "study.json"

_WAYS = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
    "other adapter": "other_adapter_bits_per_byte",
    "n-grams": "ngrams_bits_per_byte",
    "base, n-grams": "base_with_ngrams_bits_per_byte",
    "adapter, n-grams": "adapter_with_ngrams_bits_per_byte",
}
"""Way to answer, to its figure of held-out completions."""
_QUESTIONS = {"base": "base", "context": "context", "adapter": "challenger", "both": "both"}
_OVER = {"base": "base", "context": "context", "other adapter": "other_adapter", "n-grams": "cache"}
"""What the adapter is compared with, to its columns in ``ways.parquet``."""


@dataclass(frozen=True)
class Gain:
    """Bits per byte that an adapter saves over something else.

    Args:
        estimate: The mean over bytes.
        low: Lower end of its interval.
        high: Upper end.
        p: Of no difference, by Holm's correction over the projects of the study.
    """

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Studied:
    """What was measured in one project.

    Args:
        name: The project.
        language: In which most of its code is written.
        lines: Of code.
        items: Held-out completions.
        questions: Questions with several answers; each also asked with similar code.
        bits: Way to answer, to bits per byte of the completions.
        correct: Way to answer, to the share of the questions answered correctly.
        gains: What the adapter is compared with, to what it saves.
        forgetting: Rise of perplexity on code of the control; None if it was not measured.
        best: Way that needs the fewest bits, of those that can be served.
    """

    name: str
    language: str
    lines: int
    items: int
    questions: int
    bits: dict[str, float]
    correct: dict[str, float]
    gains: dict[str, Gain]
    forgetting: float | None
    best: str


@dataclass(frozen=True)
class Mean:
    """A mean over projects with an interval by Student's t; without one of a single project."""

    estimate: float
    low: float | None
    high: float | None


def begin_study(
    folder: Path,
    chosen: Sequence[str],
    repositories: Mapping[str, Path],
    limits: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Make the folder of a study a project, or go on with the one that is there.

    Args:
        folder: Where.
        chosen: Names of the projects; none for all.
        repositories: Further projects by name: repositories with their history.
        limits: Section and key, to what holds instead of the standard profile.

    Yields:
        What was done, in sentences.

    Raises:
        ProjectError: there is no such project, or no such folder.
    """
    listed = round_trip().load(PROJECTS.read_text(encoding="utf-8"))
    every = [name for name in listed["projects"] if name != CONTROL]
    if wrong := set(chosen) - set(every):
        raise ProjectError(
            f"no project {', '.join(sorted(wrong))} in the study; there is: {', '.join(every)}"
        )
    for name, path in repositories.items():
        if not path.is_dir():
            raise ProjectError(f"--repo {name}: no folder {path}; give a clone of the repository")
    if not (folder / "params.yaml").exists():
        yield from begin_project(folder)
        wanted = {CONTROL, *(chosen or every)}
        for name in set(listed["projects"]) - wanted:
            del listed["projects"][name]
        _write(folder, listed | limits)
        for key in move_pins(folder):
            yield f"pinned: {key}"
    params = load_parameters(folder)
    for name, path in repositories.items():
        if name not in params.projects:
            add_project(folder, name, str(path.resolve()))
            yield f"{name}: {path} is pinned"


def studied_projects(project: Project) -> list[str]:
    """Names of the projects that get an adapter."""
    return [name for name in project.partitions if name != CONTROL]


def pair_adapters(project: Project) -> None:
    """Give each project's evaluation the adapter of another, of the same language where there is.

    The next one in order is taken, so that each adapter is the control of at most a few others.
    """
    trained = {
        name: version
        for name in studied_projects(project)
        if (version := content_md5(project.output("code_adapter", name)))
    }
    languages = {name: _language(project, name)[0] for name in trained}
    values = _read(project.root)
    names = list(trained)
    for place, name in enumerate(names):
        others = names[place + 1 :] + names[:place]
        same = [other for other in others if languages[other] == languages[name]]
        if other := next(iter(same or others), None):
            section = values["projects"][name].setdefault("evaluation", {})
            section["other_adapter"] = {"project": other, "version": trained[other]}
    _write(project.root, values)
    follow_projects(project)


def results(project: Project) -> list[Studied]:
    """What was measured in each project whose adapter is evaluated."""
    tables, figures = {}, {}
    for name in studied_projects(project):
        folder = project.output("code_adapter_evaluation", name)
        if measured := read_json(folder / "metrics.json"):
            figures[name] = measured
            tables[name] = pl.read_parquet(folder / "ways.parquet")
    gains = _gains(tables, project)
    return [_studied(project, name, figures[name], tables[name], gains[name]) for name in figures]


def write_results(root: Path, studied: Sequence[Studied]) -> Path:
    """Write ``study.json``: each project, and means over them."""
    path = root / RESULT
    known = {
        "projects": [asdict(one) for one in studied],
        "means": {name: asdict(mean) for name, mean in means(studied).items()},
    }
    write_whole(path, json.dumps(known, indent=1) + "\n")
    return path


def means(studied: Sequence[Studied]) -> dict[str, Mean]:
    """Means over projects, each of which counts alike.

    Bits saved by the adapter over each way, as a share of the base's; questions answered correctly
    by each way beyond the base; forgetting.
    """
    figures: dict[str, list[float]] = {}
    for one in studied:
        base = one.bits["base"]
        for way, bits in one.bits.items():
            if way != "base":
                figures.setdefault(f"bits saved over the base: {way}", []).append(1 - bits / base)
        for way, share in one.correct.items():
            if way != "base":
                name = f"questions beyond the base: {way}"
                figures.setdefault(name, []).append(share - one.correct["base"])
        if one.forgetting is not None:
            figures.setdefault("forgetting", []).append(one.forgetting)
    return {name: _mean(values) for name, values in figures.items()}


def _mean(values: Sequence[float]) -> Mean:
    estimate = float(np.mean(values))
    if len(values) < 2:
        return Mean(estimate, None, None)
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Mean(estimate, estimate - half, estimate + half)


def _studied(
    project: Project,
    name: str,
    metrics: Mapping[str, float],
    ways: pl.DataFrame,
    gains: dict[str, Gain],
) -> Studied:
    language, lines = _language(project, name)
    bits = {way: metrics[figure] for way, figure in _WAYS.items() if figure in metrics}
    served = [way for way in ("base", "context", "adapter", "both") if way in bits]
    prefix = "shown_" if "shown_items" in metrics else "team_"
    correct = {
        way: share
        for way, role in _QUESTIONS.items()
        if (share := metrics.get(f"{prefix}{role}_accuracy")) is not None
    }
    return Studied(
        name,
        language,
        lines,
        ways.height,
        int(metrics.get(f"{prefix}items", 0)),
        bits,
        correct,
        gains,
        metrics.get("forgetting"),
        min(served, key=lambda way: bits[way], default="base"),
    )


def _gains(tables: Mapping[str, pl.DataFrame], project: Project) -> dict[str, dict[str, Gain]]:
    """What each adapter saves over the other ways, corrected over all projects for each way."""
    gains: dict[str, dict[str, Gain]] = {name: {} for name in tables}
    settings = load_parameters(project.root).evaluation
    for over, way in _OVER.items():
        paired = {}
        for name, table in tables.items():
            part = table.filter(pl.col(f"{way}_bits").is_not_null())
            if part.height:
                paired[name] = gained(part, "adapter", way, settings)
        for result in compare_all(
            paired,
            resamples=settings.resamples,
            confidence=settings.confidence,
            seed=settings.seed,
        ):
            interval = result.interval
            gains[result.metric][over] = Gain(
                interval.estimate, interval.low, interval.high, result.p_corrected
            )
    return gains


def _language(project: Project, name: str) -> tuple[str, int]:
    """The language of most of a project's code, and how many lines it has in all."""
    path = project.output("repository_files", name) / "files.parquet"
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


def _read(root: Path) -> Any:
    return round_trip().load((root / "params.yaml").read_text(encoding="utf-8"))


def _write(root: Path, values: Any) -> None:
    text = StringIO()
    round_trip().dump(values, text)
    write_whole(root / "params.yaml", text.getvalue())
