"""Markdown tables and charts of a study."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cortex_pipelines.charts import COLOUR, picture
from cortex_pipelines.orchestration.adapter_study.results import (
    ProjectResult,
    corrected_p_values,
    means,
    with_most_tokens,
)

_SIGNIFICANT = 0.05
_SIDE_BY_SIDE = {"context": "#8a8a8a", "adapter": COLOUR, "both": "#e07b00"}
_CURVES = ("base", "adapter", "both")
_QUESTION_SETS = {"context": "shown", "adapter": "all", "both": "shown"}
"""Condition to the questions that it answered."""


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
    rows = [[result.name, *(_gain(result, name, p_values[name]) for name in names)] for result in results]
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


def _gain(result: ProjectResult, name: str, p_values: Mapping[str, float]) -> str:
    gain = result.gains.get(name)
    if gain is None:
        return ""
    mark = "" if p_values[result.name] < _SIGNIFICANT else ", not shown"
    return f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}{mark})"


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
