"""Results of an adapter study: its file, means over the projects, Markdown tables and charts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.charts import COLOUR, picture
from cortex_pipelines.statistics.significance import holm
from cortex_pipelines.versioning.project import ProjectError

RESULT = "study.json"
_ADDED_ANSWERS = "questions answered beyond the other adapter"


@dataclass(frozen=True)
class BitsSaved:
    """Bits per byte saved over another condition, with the interval over bytes; ``p`` of a sign-flip test."""

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
    """Results of several ``study.json``; ProjectError if one is invalid, or two contain the same project."""
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
                raise ProjectError(f"{path}: {result.name} is in another file as well; give one")
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


_SIGNIFICANT = 0.05
_SIDE_BY_SIDE = {"context": "#8a8a8a", "adapter": COLOUR, "both": "#e07b00"}
_CURVES = ("base", "adapter", "both")
_QUESTION_SETS = {"context": "shown", "adapter": "all", "both": "shown"}  # condition to the questions that it answered


def completion_table(all_results: Sequence[ProjectResult]) -> str:
    results = with_most_tokens(all_results)
    conditions = list(dict.fromkeys(condition for result in results for condition in result.bits))
    head = ["project", "language", "lines", "tokens", "completions", *conditions, "best"]
    rows = []
    for result in results:
        row = [result.name, result.language, f"{result.lines:,}", f"{result.tokens:,}", str(result.items)]
        row += [f"{result.bits[condition]:.3f}" if condition in result.bits else "" for condition in conditions]
        rows.append([*row, result.best])
    return _markdown(head, rows)


def gain_table(all_results: Sequence[ProjectResult]) -> str:
    """Bits per byte that one condition saves over another, in Markdown."""
    results = with_most_tokens(all_results)
    names = list(dict.fromkeys(name for result in results for name in result.gains))
    p_values = {name: corrected_p_values(results, name) for name in names}
    rows = []
    for result in results:
        row = [result.name]
        for name in names:
            gain = result.gains.get(name)
            mark = "" if gain is None or p_values[name][result.name] < _SIGNIFICANT else ", not shown"
            row.append("" if gain is None else f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}{mark})")
        rows.append(row)
    return _markdown(["bits saved per byte", *names], rows)


def question_table(results: Sequence[ProjectResult]) -> str:
    head = ["project", "first lines right", "gaps, bits per byte", "questions", "names", "repairs"]
    head += ["next statements", "with similar code", "perplexity of other code"]
    question_sets = ("all", "naming", "fix", "statement", "shown")
    rows = []
    for result in with_most_tokens(results):
        row = [result.name, _by_condition(result.first_lines, "{:.0%}")]
        row.append(f"{_by_condition(result.gap_bits, '{:.3f}')} ({result.gaps})" if result.gap_bits else "")
        for question_set in question_sets:
            answers = result.questions.get(question_set)
            row.append(f"{_by_condition(answers.correct, '{:.0%}')} ({answers.items})" if answers else "")
        row.append("" if result.forgetting is None else _percents(*result.forgetting))
        rows.append(row)
    return _markdown(head, rows)


def mean_table(results: Sequence[ProjectResult]) -> str:
    rows = []
    for name, mean in means(results).items():
        interval = "" if mean.low is None else f"{mean.low:+.1%} to {mean.high:+.1%}"
        rows.append([name, f"{mean.estimate:+.1%}", interval])
    return _markdown(["mean over projects", "difference", "95 % interval"], rows)


def curve_table(results: Sequence[ProjectResult]) -> str:
    head = ["project", "tokens", "minutes", "bits per byte: base", "adapter", "both"]
    head += ["questions: base", "adapter", "perplexity of other code", "as many again would bring"]
    rows = []
    for name in dict.fromkeys(result.name for result in results):
        points = sorted((o for o in results if o.name == name), key=lambda result: result.tokens)
        for result in points if len(points) > 1 else []:
            row = [name, f"{result.tokens:,}", "" if result.minutes is None else f"{result.minutes:.0f}"]
            row += [f"{result.bits[condition]:.3f}" if condition in result.bits else "" for condition in _CURVES]
            correct = result.questions["all"].correct if "all" in result.questions else {}
            row += [f"{correct[condition]:.0%}" if condition in correct else "" for condition in ("base", "adapter")]
            row.append("" if result.forgetting is None else _percents(*result.forgetting))
            rows.append([*row, _forecast(points) if result is points[-1] else ""])
    return _markdown(head, rows) if rows else ""


def _forecast(points: Sequence[ProjectResult]) -> str:
    """Extrapolate bits linearly in the logarithm of the tokens."""
    if len({result.tokens for result in points}) < 2:
        return "nothing: there is no more data"
    bits_by_tokens = {result.tokens: result.bits["adapter"] for result in points if "adapter" in result.bits}
    if len(bits_by_tokens) < 2:
        return "not known: too few completions"
    slope, _ = np.polyfit(np.log2(list(bits_by_tokens)), list(bits_by_tokens.values()), 1)
    minutes = points[-1].minutes
    training_time = "" if minutes is None else f" in {minutes:.0f} min"
    return f"{slope:+.3f} bits per byte{training_time}"


def saved_picture(all_results: Sequence[ProjectResult]) -> bytes:
    results = with_most_tokens(all_results)
    saved = {
        condition: [
            1 - result.bits[condition] / result.bits["base"] if condition in result.bits else None for result in results
        ]
        for condition in _SIDE_BY_SIDE
    }
    return _points(results, saved, "bits of completions saved over the base, %")


def answered_picture(all_results: Sequence[ProjectResult]) -> bytes:
    results = with_most_tokens(all_results)

    def gain_over_base(result: ProjectResult, condition: str) -> float | None:
        answers = result.questions.get(_QUESTION_SETS[condition])
        if answers is None or condition not in answers.correct:
            return None
        return answers.correct[condition] - answers.correct["base"]

    gains = {condition: [gain_over_base(result, condition) for result in results] for condition in _SIDE_BY_SIDE}
    return _points(results, gains, "questions answered correctly beyond the base, points")


def _points(
    results: Sequence[ProjectResult], values_by_condition: Mapping[str, Sequence[float | None]], title: str
) -> bytes:
    def draw(axes: Any) -> None:
        for condition, values in values_by_condition.items():
            rows = [row for row, value in enumerate(values) if value is not None]
            shares = [100 * value for value in values if value is not None]
            axes.scatter(shares, rows, color=_SIDE_BY_SIDE[condition], label=condition, zorder=3)
        axes.axvline(0, color="#444444", linewidth=0.8)
        axes.set_yticks(range(len(results)), [result.name for result in results])
        axes.invert_yaxis()
        axes.grid(axis="x", color="#dddddd")
        axes.set_xlabel(title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)

    return picture(draw, 7, 1.6 + 0.3 * len(results), (0.2, 0.16, 0.77, 0.74))


def _by_condition(values_by_condition: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{condition} {form.format(value)}" for condition, value in values_by_condition.items())


def _percents(estimate: float, low: float, high: float) -> str:
    return f"{estimate:+.1%} ({low:+.1%} to {high:+.1%})"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: tuple[Callable[[Sequence[ProjectResult]], str], ...] = (
    completion_table,
    gain_table,
    question_table,
    mean_table,
    curve_table,
)
"""In reading order; a table without rows is an empty string."""
