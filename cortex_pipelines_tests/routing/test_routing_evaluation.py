from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.release.gates import decide
from cortex_pipelines.routing.evaluation.report import routing_report
from cortex_pipelines.routing.evaluation.scores import (
    CurvePoint,
    area_under_risk,
    class_table,
    compare,
    coverage_risk,
    likelier_than_tfidf_p,
    recalls,
    routing_metrics,
    scope_metrics,
    score_tasks,
)
from cortex_pipelines.routing.selection.ensemble import expected_calibration_error
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.routing import ROUTING_DATASET
from cortex_pipelines.statistics.intervals import Interval
from cortex_pipelines_tests.messages import missing

ROOT = Path(__file__).parents[2]
Row = tuple[str, str, str | None, str | None]


def scores(rows: list[Row], person: int = 0, tfidf: list[str] | None = None) -> pl.DataFrame:
    """Rows of (master, challenger, baseline, champion); the first ``person`` ask a person.

    TF-IDF is always right unless its answers are given.
    """
    usual = {"label_source": "outcome", "weight": 1.0, "origin": "x", "occurred_at": datetime(2026, 1, 1, tzinfo=UTC)}
    test = ROUTING_DATASET[2].frame(
        [
            usual
            | {"example_id": f"{n:04}", "text": f"<Task> & {chr(97 + n // 26)}{chr(97 + n % 26)}", "master": row[0]}
            for n, row in enumerate(rows)
        ]
    )
    deciders = ["person" if n < person else "joint" for n in range(len(rows))]
    decisions = [
        Decision(row[1], 0.75, 0.5, (), (), by, (), by == "person", 1.0, "x", {row[1]: 0.75})
        for by, row in zip(deciders, rows, strict=True)
    ]
    champion = None if rows[0][3] is None else [row[3] for row in rows]
    learnt = tfidf or [row[0] for row in rows]
    return score_tasks(test, decisions, [row[2] for row in rows], learnt, champion)


ROWS: list[Row] = [("a", "a", "b", None)] * 30 + [("a", "a", "a", None)] * 20
ROWS += [("b", "a", "b", None)] * 10 + [("c", "b", None, None)] * 20


def test_accuracies_difference_and_p_value(settings: RoutingSettings) -> None:
    comparison = compare(scores(ROWS), "baseline", settings)
    assert comparison.items == 80
    assert (comparison.first.estimate, comparison.second.estimate) == (50 / 80, 30 / 80)
    assert comparison.difference.estimate == pytest.approx(20 / 80)
    assert comparison.difference.low < 20 / 80 < comparison.difference.high
    # 30 gained against 10 lost: exact binomial, two-sided
    assert comparison.p_value == pytest.approx(0.00221, abs=1e-4)
    swapped = scores([(m, b or "z", c, None) for m, c, b, _ in ROWS])
    assert compare(swapped, "baseline", settings).difference.low == pytest.approx(-comparison.difference.high, abs=0.03)


def test_tasks_of_one_wording_are_one_for_the_interval(settings: RoutingSettings) -> None:
    apart = scores(ROWS)
    template = apart.with_columns(text=pl.format("Disk of web-{} is full: /srv/{}.log", "example_id", "master"))
    metrics = [routing_metrics(frame, [], settings, sample=False) for frame in (apart, apart[:1], template)]
    assert [figures["clusters"] for figures in metrics] == [80, 1, 1]
    halves = pl.concat([template[:40], apart[40:]])
    narrow, wide = (compare(frame, "baseline", settings).difference for frame in (apart, halves))
    assert narrow.estimate == wide.estimate
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_the_champion_or_else_the_baseline_is_the_reference(settings: RoutingSettings) -> None:
    metrics = routing_metrics(scores(ROWS, person=20), ["a", "b"], settings, sample=True)
    assert "champion" not in metrics
    assert metrics["reference"] == metrics["baseline"]
    assert metrics["difference_low"] == metrics["baseline_difference_low"] > 0
    assert (metrics["coverage"], metrics["hand_written_sample"]) == (60 / 80, 1.0)
    assert metrics["covered"] == 30 / 60
    assert (metrics["known_items"], metrics["known_challenger"]) == (60, 50 / 60)
    assert metrics["ece"] == pytest.approx(abs(0.75 - 50 / 80))
    assert all(isinstance(value, float) for value in metrics.values())
    rows = [(m, c, b, m) for m, c, b, _ in ROWS]
    metrics = routing_metrics(scores(rows), [], settings, sample=False)
    assert (metrics["champion"], metrics["reference"]) == (1.0, 1.0)
    assert metrics["difference"] == pytest.approx(-30 / 80)
    assert metrics["difference_high"] < 0 < metrics["baseline_difference_low"]
    assert "known_items" not in metrics


def test_who_beats_the_rules_but_not_the_plainest_learner_is_not_promoted(settings: RoutingSettings) -> None:
    gate = load_parameters(ROOT).release.task_router
    identical_scores = scores(ROWS, tfidf=[row[1] or "" for row in ROWS])
    metrics = routing_metrics(identical_scores, [], settings, sample=False)
    assert metrics["baseline_difference_low"] > gate.smallest_improvement
    assert metrics["tfidf_difference"] == metrics["least_difference"] == 0.0
    assert decide(metrics, gate).verdict == "kept"
    beaten = scores(ROWS, tfidf=["c"] * len(ROWS))
    metrics = routing_metrics(beaten, [], settings, sample=False)
    assert metrics["least_difference_low"] == metrics["baseline_difference_low"]
    assert decide(metrics, gate).verdict == "promoted"
    # one that is as often right, but gives the right masters more
    likelier = routing_metrics(identical_scores, [], settings, sample=False, likelier_p=settings.adopt_p)
    assert decide(likelier, gate).verdict == "promoted"
    assert decide(likelier | {"least_difference_low": 0.0}, gate).verdict == "kept"
    worse = scores(ROWS, tfidf=[row[0] for row in ROWS])
    assert decide(routing_metrics(worse, [], settings, sample=False, likelier_p=0.0), gate).verdict == "refused"
    # TF-IDF itself is compared with the reference alone
    itself = routing_metrics(identical_scores, [], settings, sample=False, is_tfidf=True)
    assert decide(itself, gate).verdict == "promoted"


def test_the_likelihood_of_the_right_masters_is_compared_in_pairs() -> None:
    right = ["a", "b"] * 20
    pairs = list(zip(right, [0.55, 0.6, 0.65, 0.7] * 10, strict=True))

    def p_value(gain: float) -> float:
        decisions = [
            Decision("a", 0.5, 0.5, (), (), "joint", (), False, 1.0, "x", {master: share + gain * (n % 3)})
            for n, (master, share) in enumerate(pairs)
        ]
        tfidf = np.log([[share, 1 - share] if m == "a" else [1 - share, share] for m, share in pairs])
        return likelier_than_tfidf_p(decisions, right, ["a", "b"], tfidf)

    assert p_value(0.0) == 1.0, "it is TF-IDF itself"
    assert p_value(0.1) < 0.001 < 0.999 < p_value(-0.1)
    assert likelier_than_tfidf_p([], [], ["a"], np.zeros((0, 1))) == 1.0


def test_abstention_is_counted_and_one_never_sure_covers_nothing(settings: RoutingSettings) -> None:
    def decided(score: float) -> Decision:
        abstained = score < 0.5
        by = "person" if abstained else "joint"
        return Decision("a", 0.9, score, (), (), by, (), abstained, 1.0, "x", {"a": 0.9})

    tasks = [decided(score) for score in (0.9, 0.8, 0.7, 0.2)]
    requests = [decided(score) for score in (0.1, 0.3, 0.6)]
    metrics = scope_metrics(tasks, requests, 0.5, settings)
    assert (metrics["in_scope_kept"], metrics["out_of_scope_abstained"]) == (0.75, pytest.approx(2 / 3))
    assert (metrics["scope_auroc"], metrics["out_of_scope_items"]) == (pytest.approx(10 / 12), 3.0)
    metrics |= routing_metrics(scores(ROWS), [], settings, sample=False)
    html = routing_report(scores(ROWS), metrics, "commonest master", [], [], [], [], [("<cake>", "a")])
    assert "<td>&lt;cake&gt;</td><td>a</td>" in html
    assert "Commonest master" in html
    assert "rules" not in html
    metrics = routing_metrics(scores(ROWS, person=80), ["c"], settings, sample=False)
    assert metrics["coverage"] == 0.0
    assert "covered" not in metrics
    assert "none" in routing_report(scores(ROWS, person=80), metrics, "keyword rules", ["c"], [], [], [])


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.95, 0.15], [True, False], 0.5 * 0.05 + 0.5 * 0.15),
        ([0.91, 0.99], [True, False], abs(0.95 - 0.5)),
    ],
)
def test_the_calibration_error(confidence: list[float], right: list[bool], expected: float) -> None:
    assert expected_calibration_error(confidence, right) == pytest.approx(expected)


def page(rows: list[Row], settings: RoutingSettings, **options: Any) -> str:
    frame = scores(rows)
    metrics = routing_metrics(frame, ["a", "b"], settings, options.pop("sample", False))
    rest = [options.pop(name, []) for name in ("notes", "steps", "curve")]
    return routing_report(frame, metrics, "keyword rules", ["a", "b"], *rest)


def test_the_report_shows_champion_candidates_and_learning_curve(settings: RoutingSettings) -> None:
    assert "no figure on this page is evidence" in page(ROWS, settings, sample=True)
    assert "no figure on this page is evidence" not in page(ROWS, settings, sample=False)
    html = page([(m, c, b, m) for m, c, b, _ in ROWS], settings)
    assert "Router minus champion" in html
    assert "Router minus champion" not in page(ROWS, settings)
    compared = {"against": "lexical", "p_value": 0.18, "p_loss": 0.07, "p_corrected": 0.14}
    figures = {"accuracy": 0.5, "loss": 1.0, "ece": 0.1, "gained": 7, "lost": 2}
    first = {"model": "lexical", "adopted": True, **figures, **dict.fromkeys(compared)}
    step = {"model": "semantic", "adopted": False, **figures, **compared}
    share = Interval(0.5, 0.4, 0.6, 0.95)
    html = page(ROWS, settings, steps=[first, step], curve=[CurvePoint(40, share, share)])
    assert '<td>semantic</td><td class="n">0.5000</td>' in html
    assert (
        '<td>lexical</td><td class="n">7</td><td class="n">2</td><td class="n">0.18</td>'
        '<td class="n">0.07</td><td class="n">0.14</td><td>no</td>' in html
    )
    assert '<td class="n">40</td><td class="n">0.500 (0.400 to 0.600)</td>' in html
    assert html.count("<img") == 2
    assert "Learning curve" not in page(ROWS, settings)


def test_the_report_is_self_contained_escaped_and_always_the_same(settings: RoutingSettings) -> None:
    html = page(ROWS, settings, notes=["1 < 2"])
    assert html == page(ROWS, settings, notes=["1 < 2"])
    assert missing(html, "1 &lt; 2", "&lt;Task&gt; &amp; a") == []
    assert "<Task>" not in html
    assert "http" not in html
    assert "Gained: right where the baseline is wrong (30)" in html
    assert missing(html, "Lost: wrong where the baseline is right (10)", "20 of 30 shown") == []
    # the confusion matrix: a to a, b to a, c to b
    assert missing(html, '<tr><td>a</td><td class="n hit">50</td>', '<tr><td>b</td><td class="n miss">10</td>') == []


def test_recall_of_each_master_and_risk_by_coverage(settings: RoutingSettings) -> None:
    frame = scores(ROWS)
    assert recalls(frame) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert routing_metrics(frame, [], settings, False)["worst_recall"] == 0.0
    by_master = [(row["Master"], row["Precision"]) for row in class_table(frame)]
    assert by_master == [("b", "0.000"), ("c", "never sent to"), ("a", "0.833")]
    good = coverage_risk([0.9, 0.8, 0.2], [True, True, False])
    assert good == [(1 / 3, 0.0), (2 / 3, 0.0), (1.0, pytest.approx(1 / 3))]
    bad = coverage_risk([0.2, 0.3, 0.9], [True, True, False])
    assert area_under_risk(good) < area_under_risk(bad)
