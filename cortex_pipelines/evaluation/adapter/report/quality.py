"""Summary of output quality in four metrics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import fsum

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS
from cortex_pipelines.evaluation.adapter.measures.test_runner import pass_at_k_metrics
from cortex_pipelines.evaluation.metrics.grading import mean
from cortex_pipelines.evaluation.metrics.style import distances_by_feature, learn_style, style_distance
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.statistics.intervals import paired_bootstrap

_MANY_RIGHT = ("documentation", "tests")


@dataclass(frozen=True)
class QualityReport:
    """Quality of a model's greedy outputs on held-out items, each metric from 0 to 1 or None.

    ``semantic_accuracy`` is of all questions about held-out code: generated answers equal to the truth or passing the
    related tests, and choices. Documentation and tests are excluded: they have many right answers.
    ``style_consistency`` is 1 minus the distance to the true answers' style: the project's average would be the wrong
    yardstick, as the true answers are not average. ``test_pass_rate`` is of bodies whose tests notice one that raises.
    """

    syntax_correctness: float | None
    semantic_accuracy: float | None
    style_consistency: float | None
    test_pass_rate: float | None


@dataclass(frozen=True)
class QualityReports:
    by_role: Mapping[str, QualityReport]
    features: Mapping[str, Mapping[str, float]]
    missing: Mapping[str, str]


def quality_reports(generations: pl.DataFrame, choices: pl.DataFrame) -> QualityReports:
    greedy = generations.filter(sample=0)
    outputs = {role: greedy.filter(role=role) for role in WRITERS}
    team = learn_style(_code(outputs["base"], "expected"))
    reports, features = {}, {}
    for role in WRITERS:
        rows = list(outputs[role].iter_rows(named=True))
        answers = [bool(row["right"]) or row["tests"] == "passed" for row in rows if row["task"] not in _MANY_RIGHT]
        answers += (choices[f"{role}_chosen"] == choices["truth"]).fill_null(value=False).to_list()
        tested = [row["tests"] == "passed" for row in rows if row["tests"] is not None]
        style = learn_style(_code(outputs[role], "output"))
        distance = style_distance(style, team)
        features[role] = distances_by_feature(style, team)
        reports[role] = QualityReport(
            mean(rows, "syntax_correct"),
            fsum(answers) / len(answers) if answers else None,
            None if distance is None else 1 - distance,
            fsum(tested) / len(tested) if tested else None,
        )
    nothing = "nothing was generated (evaluation.generated_items, or no held-out item is short)"
    reasons = {
        "syntax_correctness": nothing,
        "semantic_accuracy": "no question could be asked",
        "style_consistency": nothing,
        "test_pass_rate": "no held-out Python function that a test names was written",
    }
    details = greedy["tests_detail"].drop_nulls()
    if details.len():
        reasons["test_pass_rate"] = str(details[0])
    missing = {name: reason for name, reason in reasons.items() if getattr(reports["challenger"], name) is None}
    return QualityReports(reports, features, missing)


def quality_metrics(reports: QualityReports) -> dict[str, float]:
    return {
        f"quality_{role}_{name}": value
        for role, report in reports.by_role.items()
        for name, value in asdict(report).items()
        if value is not None
    }


def run_metrics(generations: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """``tests_difference``: share of passing greedy bodies of the challenger minus that of the base, over files."""
    metrics = {}
    tested = generations.filter(pl.col("tests").is_not_null())
    for role in WRITERS:
        results: dict[str, list[bool]] = {}
        for row in tested.filter(pl.col("role") == role).iter_rows(named=True):
            results.setdefault(row["example_id"], []).append(row["tests"] == "passed")
        if results:
            metrics[f"tests_{role}_items"] = float(len(results))
        for name, value in pass_at_k_metrics(results, settings.pass_k).items():
            metrics[f"tests_{role}_{name}"] = value
    passes = (pl.col("tests") == "passed").cast(pl.Float64)
    greedy = tested.filter(sample=0).select("example_id", "path", "role", passes=passes)
    base, challenger = (greedy.filter(role=role) for role in WRITERS)
    pairs = challenger.join(base, on="example_id")
    if pairs.height:
        difference = paired_bootstrap(
            (pairs["passes"] - pairs["passes_right"]).to_list(), clusters=pairs["path"].to_list(), **settings.bootstrap
        )
        metrics |= difference.as_metrics("tests_difference")
    return metrics


def _code(outputs: pl.DataFrame, column: str) -> list[tuple[str, str]]:
    code_rows = outputs.filter(pl.col("task").is_in(["completion", "refactoring", "feedback"]))
    return list(code_rows.select("language", column).iter_rows())
