"""Summary of output quality in four metrics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from cortex_pipelines.evaluation.generation.test_runner import pass_figures
from cortex_pipelines.evaluation.metrics.grading import mean
from cortex_pipelines.evaluation.metrics.style import (
    Style,
    distances_by_feature,
    learnt_style,
    style_distance,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.statistics.intervals import paired_bootstrap

_MANY_RIGHT = ("documentation", "tests")


@dataclass(frozen=True)
class QualityReport:
    """Quality of a model's greedy outputs on held-out items, each metric from 0 to 1.

    A figure that could not be measured is None; ``QualityReports.missing`` says why.

    Args:
        syntax_correctness: Share of the outputs that are code (not of architecture and
            documentation) with which
            the unit parses without an error that it does not have with the truth.
        semantic_accuracy: Accuracy on all questions about held-out code:
            generated answers that equal the truth but for layout and comments (of an import to
            judge: the same judgement) or pass the repository's related tests, and choices where
            the true answer is the likeliest. Documentation and tests are left out: there are many
            right ones, few of which equal the one in the repository.
        style_consistency: 1 minus the distance between the style of the written code and that of
            the true answers to the same questions; see ``style``. The project's average would be
            the wrong yardstick: the true answers themselves are not average.
        test_pass_rate: Share of the written bodies with which the repository's related tests pass,
            of those whose tests pass with the true body and fail with one that raises.
    """

    syntax_correctness: float | None
    semantic_accuracy: float | None
    style_consistency: float | None
    test_pass_rate: float | None


@dataclass(frozen=True)
class QualityReports:
    """Quality reports of base and challenger.

    Args:
        by_role: Role to its report.
        features: Role to the distance from the true answers' style, feature by feature.
        missing: Figure to why it could not be measured.
    """

    by_role: Mapping[str, QualityReport]
    features: Mapping[str, Mapping[str, float]]
    missing: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The reports as plain values, for ``quality.json``."""
        return asdict(self)


def quality_reports(generations: pl.DataFrame, choices: pl.DataFrame) -> QualityReports:
    """Quality reports of all roles with outputs.

    Args:
        generations: Table ``GENERATIONS``.
        choices: Table ``MULTIPLE_CHOICE``.
    """
    greedy = generations.filter((pl.col("asked") == "plain") & (pl.col("sample") == 0))
    roles = ("base", "challenger")
    written = {role: greedy.filter(pl.col("role") == role) for role in roles}
    styles = {role: learnt_style(_code(written[role], "output")) for role in roles}
    team = learnt_style(_code(written["base"], "expected"))
    reports = {
        role: _report(
            written[role], choices[f"{role}_chosen"] == choices["truth"], styles[role], team
        )
        for role in roles
    }
    return QualityReports(
        reports,
        {role: distances_by_feature(styles[role], team) for role in roles},
        _missing(reports["challenger"], greedy),
    )


def quality_metrics(reports: QualityReports) -> dict[str, float]:
    """Metrics ``quality_<role>_<figure>``, without missing ones."""
    return {
        f"quality_{role}_{name}": value
        for role, report in reports.by_role.items()
        for name, value in asdict(report).items()
        if value is not None
    }


def run_metrics(generations: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """``tests_<role>_items``, the number of functions whose tests ran, and ``…_pass_at_<k>``.

    And ``tests_difference``: the share of the challenger's greedy bodies that pass less that of the
    base's, with its interval over files.
    """
    metrics = {}
    known = generations.filter(pl.col("tests").is_not_null() & (pl.col("asked") == "plain"))
    for role in ("base", "challenger"):
        results: dict[str, list[bool]] = {}
        for row in known.filter(pl.col("role") == role).iter_rows(named=True):
            results.setdefault(row["example_id"], []).append(row["tests"] == "passed")
        if results:
            metrics[f"tests_{role}_items"] = float(len(results))
        for name, value in pass_figures(results, settings.pass_k).items():
            metrics[f"tests_{role}_{name}"] = value
    passes = (pl.col("tests") == "passed").cast(pl.Float64)
    greedy = known.filter(pl.col("sample") == 0).select("example_id", "path", "role", passes=passes)
    base, challenger = (greedy.filter(pl.col("role") == role) for role in ("base", "challenger"))
    pairs = challenger.join(base, on="example_id")
    if pairs.height:
        difference = paired_bootstrap(
            (pairs["passes"] - pairs["passes_right"]).to_list(),
            clusters=pairs["path"].to_list(),
            resamples=settings.resamples,
            confidence=settings.confidence,
            seed=settings.seed,
        )
        metrics |= difference.figures("tests_difference")
    return metrics


def _report(
    written: pl.DataFrame, chosen_right: pl.Series, style: Style, team: Style
) -> QualityReport:
    rows = list(written.iter_rows(named=True))
    answers = [
        bool(row["right"]) or row["tests"] == "passed"
        for row in rows
        if row["task"] not in _MANY_RIGHT
    ]
    answers += [bool(right) for right in chosen_right.fill_null(value=False)]
    distance = style_distance(style, team)
    tested = [row["tests"] == "passed" for row in rows if row["tests"] is not None]
    return QualityReport(
        mean(rows, "syntax_correct"),
        sum(answers) / len(answers) if answers else None,
        None if distance is None else 1 - distance,
        sum(tested) / len(tested) if tested else None,
    )


def _missing(report: QualityReport, greedy: pl.DataFrame) -> dict[str, str]:
    nothing = "nothing was generated (evaluation.generated_items, or no held-out item is short)"
    reasons = {
        "syntax_correctness": nothing,
        "semantic_accuracy": "no question could be asked",
        "style_consistency": nothing,
        "test_pass_rate": "no held-out Python function that a test names was written",
    }
    details = greedy.filter(pl.col("tests_detail").is_not_null())["tests_detail"]
    if details.len():
        reasons["test_pass_rate"] = str(details[0])
    return {name: why for name, why in reasons.items() if getattr(report, name) is None}


def _code(written: pl.DataFrame, column: str) -> list[tuple[str, str]]:
    asked = written.filter(pl.col("task").is_in(["completion", "refactoring", "feedback"]))
    return list(asked.select("language", column).iter_rows())
