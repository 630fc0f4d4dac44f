import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.routing.audit.assets import routing_audit
from cortex_pipelines.routing.audit.groups import NOT_KNOWN, audit_groups, largest_gap, rejected, task_language
from cortex_pipelines.routing.dataset.build import build_dataset
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY, ROUTING_SCORES
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS, SAMPLE_LOGS, read_events, write_tables

CASES = load_cases(__file__)
EVALUATION = PARAMETERS.evaluation.model_copy(update={"resamples": 200})


def tasks(*groups: tuple[str, int, int, float, int]) -> pl.DataFrame:
    """Master, tasks, how many are right, confidence, how many are left to a person."""
    usual = {"priority": None, "source": "a.jsonl", "language": "english"}
    rows = [
        usual | {"right": n < right, "confidence": confidence, "abstained": n < abstained, "master": master}
        for master, items, right, confidence, abstained in groups
        for n in range(items)
    ]
    return pl.DataFrame(rows, schema_overrides={"priority": pl.String})


def by_value(groups: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["value"]: row for row in groups.filter(attribute="master").iter_rows(named=True)}


def test_groups_that_fall_behind_abstain_or_are_too_sure_are_named() -> None:
    groups = audit_groups(tasks(("a", 60, 54, 0.9, 3), ("b", 60, 55, 0.9, 3), ("c", 60, 25, 0.42, 3)), 10, EVALUATION)
    groups_by_value = by_value(groups)
    assert groups_by_value["c"]["warnings"] == ["right less often than the rest"]
    assert groups_by_value["a"]["warnings"] == groups_by_value["b"]["warnings"] == []
    assert groups_by_value["c"]["accuracy"] == pytest.approx(25 / 60)
    assert (largest_gap(groups, "master", 10), largest_gap(groups, "source", 10)) == (pytest.approx(30 / 60), None)
    values = set(groups.filter(pl.col("attribute") != "master").select("attribute", "value").iter_rows())
    assert values == {("priority", NOT_KNOWN), ("source", "a.jsonl"), ("language", "english")}
    groups = audit_groups(tasks(("a", 50, 40, 0.8, 1), ("b", 50, 40, 0.99, 25)), 10, EVALUATION)
    groups_by_value = by_value(groups)
    warnings = ["left to a person more often than the rest", "more confident than right"]
    assert groups_by_value["b"]["warnings"] == warnings
    assert groups_by_value["a"]["warnings"] == []
    groups = audit_groups(tasks(("a", 60, 60, 1.0, 0), ("b", 4, 0, 1.0, 4)), 10, EVALUATION)
    assert (by_value(groups)["b"]["warnings"], by_value(groups)["b"]["items"]) == ([], 4)
    assert rejected([0.01, 0.04, 0.03, None], 0.05) == [True, False, False, False]
    assert (rejected([0.01, 0.02, 0.04], 0.05), rejected([], 0.05)) == ([True, True, True], [])


@pytest.mark.parametrize(("text", "language"), CASES["a_language_is_guessed_or_left_open"])
def test_a_language_is_guessed_or_left_open(text: str, language: str | None) -> None:
    assert task_language(text) == language


class Inputs:
    """What the audit reads, made of logs, with a router that follows them."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        write_tables(folder, logs)
        self.test = build_dataset(read_events(logs), {}, PARAMETERS.routing)["test"]
        for name, frame in {"test": self.test, "scores": self.scores()}.items():
            frame.write_parquet(folder / f"{name}.parquet")

    def scores(self) -> pl.DataFrame:
        usual = {"challenger_right": True, "confidence": 0.9, "in_scope": 0.9, "tfidf": "development"}
        usual |= {"tfidf_right": False, "baseline": None, "baseline_right": False}
        usual |= {"champion": None, "champion_right": None}
        rows = [
            usual
            | {name: task[name] for name in ("example_id", "text", "master")}
            | {"challenger": task["master"], "decided_by": "person" if n % 9 == 0 else "joint"}
            for n, task in enumerate(self.test.iter_rows(named=True))
        ]
        return ROUTING_SCORES.frame(rows)

    def audit(self, out: Path) -> tuple[dict[str, pl.DataFrame], dict[str, Any], str]:
        out.mkdir(exist_ok=True)
        tables = routing_audit(
            *(self.folder, self.folder, self.folder),
            *(PARAMETERS.audit, EVALUATION, PARAMETERS.predictors, PARAMETERS.coordination),
            out,
        )
        figures = json.loads((out / "metrics.json").read_text())
        return tables, figures, (out / "report.html").read_text()


def test_on_the_sample_estimates_are_refused_and_groups_are_shown(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, SAMPLE_LOGS)
    tables, figures, report = inputs.audit(tmp_path / "out")
    assert OFF_POLICY.conform(tables["off_policy"]).equals(tables["off_policy"])
    assert AUDIT_GROUPS.conform(tables["groups"]).equals(tables["groups"])
    assert "without their propensity" in tables["off_policy"]["refused"][0]
    assert (figures["off_policy_refused"], figures["hand_written_sample"]) == (1.0, 1.0)
    assert missing(report, "Refused", "hand-written sample") == []
    groups = tables["groups"]
    for (_,), attribute_groups in groups.group_by("attribute"):
        assert attribute_groups["items"].sum() == inputs.test.height
    assert (groups.filter(pl.col("value") == "high").height, figures["accuracy_gap_master"]) == (1, 0.0)
    again, _, repeated_groups = inputs.audit(tmp_path / "again")
    assert repeated_groups == report
    assert again["groups"].equals(groups)


def test_logs_with_propensities_give_an_estimate(tmp_path: Path) -> None:
    """A log that a router drew at random: half of the decisions went to the right master."""
    logs = tmp_path / "logs"
    logs.mkdir()
    when = datetime(2026, 3, 2, tzinfo=UTC).isoformat()
    lines = []
    for n in range(700):
        right, routed = ("x", "y") if n % 2 else ("y", "x"), ("x", "y")[n // 2 % 2]
        line = {"task_id": f"t{n}", "title": f"Task number {n} of its sort", "timestamp": when, "propensity": 0.5}
        outcome = "completed" if routed == right[0] else "failed"
        lines.append(line | {"routed_to": routed, "ideal_expert": right[0], "outcome": outcome})
    (logs / "a.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    inputs = Inputs(tmp_path, logs)
    tables, figures, report = inputs.audit(tmp_path / "out")
    assert set(tables["off_policy"]["estimator"]) == {"logged", "ips", "snips", "doubly_robust"}
    assert figures["off_policy_logged_low"] < 0.5 < figures["off_policy_logged_high"]
    assert figures["off_policy_snips"] == 1.0  # it sends every task where it succeeds
    assert figures["off_policy_ips_low"] < 1.0
    assert figures["off_policy_doubly_robust"] > 0.85
    assert "doubly robust" in report
