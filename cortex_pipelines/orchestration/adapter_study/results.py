"""Results of an adapter study: its file, and means over the projects."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.statistics.significance import holm
from cortex_pipelines.versioning.project import ProjectError

RESULT = "study.json"
_ADDED_ANSWERS = "questions answered beyond the other adapter"


@dataclass(frozen=True)
class BitsSaved:
    """Bits per byte that one condition saves over another, with the interval of the mean over bytes; ``p`` of a
    sign-flip test, not corrected.
    """

    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class QuestionResults:
    items: int
    correct: dict[str, float]


@dataclass(frozen=True)
class ProjectResult:
    """``minutes``: None if the training did not run on this machine; ``questions``: by kind, and of ``all``;
    ``shown`` are those also asked with similar code in the prompt, the only ones for ``context`` and ``both``;
    ``forgetting``: rise of perplexity on the control's code, with its interval; ``best``: condition with the fewest
    bits, of those that can be served.
    """

    name: str
    language: str
    lines: int
    budget: int
    tokens: int
    minutes: float | None
    items: int
    gaps: int
    bits: dict[str, float]
    gap_bits: dict[str, float]
    first_lines: dict[str, float]
    questions: dict[str, QuestionResults]
    gains: dict[str, BitsSaved]
    forgetting: tuple[float, float, float] | None
    best: str


@dataclass(frozen=True)
class MeanWithInterval:
    """A mean over projects with a Student's t interval, which is None for a single project."""

    estimate: float
    low: float | None
    high: float | None


_RESULTS = TypeAdapter(list[ProjectResult])


def read_recorded_results(root: Path) -> list[ProjectResult]:
    path = root / RESULT
    return read_results([path]) if path.exists() else []


def write_results(root: Path, results: Sequence[ProjectResult]) -> Path:
    path = root / RESULT
    sorted_results = sorted(results, key=lambda result: (result.name, result.budget))
    content = {
        "projects": [asdict(result) for result in sorted_results],
        "means": {name: asdict(mean) for name, mean in means(sorted_results).items()},
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")
    return path


def with_most_tokens(results: Sequence[ProjectResult]) -> list[ProjectResult]:
    largest: dict[str, ProjectResult] = {}
    for result in sorted(results, key=lambda result: result.budget):
        largest[result.name] = result
    return [largest[name] for name in dict.fromkeys(result.name for result in results)]


def read_results(paths: Sequence[Path]) -> list[ProjectResult]:
    """Results of several ``study.json``, such as of a study on several machines. Raises ProjectError: a file is
    invalid, or two files contain the same project.
    """
    by_project_and_budget: dict[tuple[str, int], ProjectResult] = {}
    for path in paths:
        try:
            file_results = _RESULTS.validate_python(json.loads(path.read_bytes())["projects"])
        except (ValueError, KeyError, TypeError) as error:
            raise ProjectError(
                f"{path} is not a study.json of this version of `cortex study adapters`; move it "
                "away and run that again, which records finished projects again"
            ) from error
        for result in file_results:
            if (result.name, result.budget) in by_project_and_budget:
                raise ProjectError(f"{path}: {result.name} stands in another file as well; give one")
            by_project_and_budget[result.name, result.budget] = result
    return list(by_project_and_budget.values())


def corrected_p_values(results: Sequence[ProjectResult], name: str) -> dict[str, float]:
    p_values = {result.name: result.gains[name].p for result in results if name in result.gains}
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def means(results: Sequence[ProjectResult]) -> dict[str, MeanWithInterval]:
    """Unweighted means over projects, each with its largest budget.

    By condition, relative to the base model: share of bits saved, also on gaps alone; correct first lines; correct
    answers. Also correct answers beyond another project's adapter, which knows the format as well; and forgetting.
    """
    values_by_name: dict[str, list[float]] = {}
    for result in with_most_tokens(results):
        for quantity, bits in (("bits saved", result.bits), ("bits of gaps saved", result.gap_bits)):
            for condition, saved in _beyond_base(bits).items():
                values_by_name.setdefault(f"{quantity}: {condition}", []).append(-saved / bits["base"])
        for condition, gain in _beyond_base(result.first_lines).items():
            values_by_name.setdefault(f"first lines written right: {condition}", []).append(gain)
        for question_set, question_results in result.questions.items():
            for condition, gain in _beyond_base(question_results.correct).items():
                values_by_name.setdefault(f"questions answered, {question_set}: {condition}", []).append(gain)
            if "other adapter" in question_results.correct:
                difference = question_results.correct["adapter"] - question_results.correct["other adapter"]
                values_by_name.setdefault(f"{_ADDED_ANSWERS}, {question_set}", []).append(difference)
        if result.forgetting is not None:
            values_by_name.setdefault("forgetting", []).append(result.forgetting[0])
    return {name: mean_over_projects(values) for name, values in values_by_name.items()}


def _beyond_base(metrics: Mapping[str, float]) -> dict[str, float]:
    return {condition: value - metrics["base"] for condition, value in metrics.items() if condition != "base"}


def mean_over_projects(values: Sequence[float]) -> MeanWithInterval:
    estimate = float(np.mean(values))
    if len(values) < 2:
        return MeanWithInterval(estimate, None, None)
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return MeanWithInterval(estimate, estimate - half, estimate + half)
