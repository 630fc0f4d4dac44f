"""Tables and pictures of a study, for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cortex_pipelines.charts import COLOUR, picture
from cortex_pipelines.orchestration.adapter_study.results import (
    Studied,
    corrected,
    means,
    with_most_tokens,
)

_SIGNIFICANT = 0.05
_SIDE_BY_SIDE = {"context": "#8a8a8a", "adapter": COLOUR, "both": "#e07b00"}
_CURVES = ("base", "adapter", "both")
_PART_OF = {"context": "shown", "adapter": "all", "both": "shown"}
"""Way to answer, to the questions that it was asked."""


def completion_table(every: Sequence[Studied]) -> str:
    """Bits per byte of completions by way to answer, in Markdown."""
    studied = with_most_tokens(every)
    ways = list(dict.fromkeys(way for one in studied for way in one.bits))
    head = ["project", "language", "lines", "tokens", "completions", *ways, "best"]
    rows = []
    for one in studied:
        row = [one.name, one.language, f"{one.lines:,}", f"{one.tokens:,}", str(one.items)]
        row += [f"{one.bits[way]:.3f}" if way in one.bits else "" for way in ways]
        rows.append([*row, one.best])
    return _markdown(head, rows)


def gain_table(every: Sequence[Studied]) -> str:
    """Bits per byte that one way saves over another, in Markdown."""
    studied = with_most_tokens(every)
    names = list(dict.fromkeys(name for one in studied for name in one.gains))
    chances = {name: corrected(studied, name) for name in names}
    rows = [[one.name, *(_gain(one, name, chances[name]) for name in names)] for one in studied]
    return _markdown(["bits saved per byte", *names], rows)


def question_table(studied: Sequence[Studied]) -> str:
    """First lines written right, questions answered correctly, and forgetting, in Markdown."""
    head = ["project", "first lines right", "gaps, bits per byte", "questions", "names", "repairs"]
    head += ["next statements", "with similar code", "perplexity of other code"]
    parts = ("all", "naming", "fix", "statement", "shown")
    rows = []
    for one in with_most_tokens(studied):
        row = [one.name, _each(one.first_lines, "{:.0%}")]
        row.append(f"{_each(one.gap_bits, '{:.3f}')} ({one.gaps})" if one.gap_bits else "")
        for part in parts:
            asked = one.questions.get(part)
            row.append(f"{_each(asked.correct, '{:.0%}')} ({asked.items})" if asked else "")
        row.append("" if one.forgetting is None else _percents(*one.forgetting))
        rows.append(row)
    return _markdown(head, rows)


def mean_table(studied: Sequence[Studied]) -> str:
    """Means over the projects, in Markdown: differences to the base, or to what is named."""
    rows = []
    for name, mean in means(studied).items():
        ends = "" if mean.low is None else f"{mean.low:+.1%} to {mean.high:+.1%}"
        rows.append([name, f"{mean.estimate:+.1%}", ends])
    return _markdown(["mean over projects", "difference", "95 % interval"], rows)


def curve_table(studied: Sequence[Studied]) -> str:
    """What more training tokens bring, of projects with several budgets, in Markdown."""
    head = ["project", "tokens", "minutes", "bits per byte: base", "adapter", "both"]
    head += ["questions: base", "adapter", "perplexity of other code", "as many again would bring"]
    rows = []
    for name in dict.fromkeys(one.name for one in studied):
        points = sorted((o for o in studied if o.name == name), key=lambda one: one.tokens)
        for one in points if len(points) > 1 else []:
            row = [name, f"{one.tokens:,}", "" if one.minutes is None else f"{one.minutes:.0f}"]
            row += [f"{one.bits[way]:.3f}" if way in one.bits else "" for way in _CURVES]
            correct = one.questions["all"].correct if "all" in one.questions else {}
            row += [f"{correct[way]:.0%}" if way in correct else "" for way in ("base", "adapter")]
            row.append("" if one.forgetting is None else _percents(*one.forgetting))
            rows.append([*row, _forecast(points) if one is points[-1] else ""])
    return _markdown(head, rows) if rows else ""


def _forecast(points: Sequence[Studied]) -> str:
    """By a straight line of bits over the logarithm of the tokens."""
    if len({one.tokens for one in points}) < 2:
        return "nothing: there is no more data"
    known = {one.tokens: one.bits["adapter"] for one in points if "adapter" in one.bits}
    if len(known) < 2:
        return "not known: too few completions"
    slope, _ = np.polyfit(np.log2(list(known)), list(known.values()), 1)
    minutes = points[-1].minutes
    took = "" if minutes is None else f" in {minutes:.0f} min"
    return f"{slope:+.3f} bits per byte{took}"


def saved_picture(every: Sequence[Studied]) -> bytes:
    """SVG: share of the base's bits that each way to answer saves, project by project."""
    studied = with_most_tokens(every)
    saved = {
        way: [1 - one.bits[way] / one.bits["base"] if way in one.bits else None for one in studied]
        for way in _SIDE_BY_SIDE
    }
    return _points(studied, saved, "bits of completions saved over the base, %")


def answered_picture(every: Sequence[Studied]) -> bytes:
    """SVG: questions that each way answers correctly beyond the base, project by project."""
    studied = with_most_tokens(every)

    def beyond(one: Studied, way: str) -> float | None:
        asked = one.questions.get(_PART_OF[way])
        if asked is None or way not in asked.correct:
            return None
        return asked.correct[way] - asked.correct["base"]

    more = {way: [beyond(one, way) for one in studied] for way in _SIDE_BY_SIDE}
    return _points(studied, more, "questions answered correctly beyond the base, points")


def _points(
    studied: Sequence[Studied], figures: Mapping[str, Sequence[float | None]], title: str
) -> bytes:
    def draw(axes: Any) -> None:
        for way, values in figures.items():
            rows = [row for row, value in enumerate(values) if value is not None]
            shares = [100 * value for value in values if value is not None]
            axes.scatter(shares, rows, color=_SIDE_BY_SIDE[way], label=way, zorder=3)
        axes.axvline(0, color="#444444", linewidth=0.8)
        axes.set_yticks(range(len(studied)), [one.name for one in studied])
        axes.invert_yaxis()
        axes.grid(axis="x", color="#dddddd")
        axes.set_xlabel(title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)

    return picture(draw, 7, 1.6 + 0.3 * len(studied), (0.2, 0.16, 0.77, 0.74))


def _gain(one: Studied, name: str, chances: Mapping[str, float]) -> str:
    gain = one.gains.get(name)
    if gain is None:
        return ""
    mark = "" if chances[one.name] < _SIGNIFICANT else ", not shown"
    return f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}{mark})"


def _each(figures: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{way} {form.format(value)}" for way, value in figures.items())


def _percents(estimate: float, low: float, high: float) -> str:
    return f"{estimate:+.1%} ({low:+.1%} to {high:+.1%})"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: tuple[Callable[[Sequence[Studied]], str], ...] = (
    completion_table,
    gain_table,
    question_table,
    mean_table,
    curve_table,
)
"""In the order in which they are read; one that has nothing to say is empty."""
