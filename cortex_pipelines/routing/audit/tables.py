"""Tables for the audit of held-out tasks."""

import polars as pl

from cortex_pipelines.routing.audit.fairness import AuditGroup
from cortex_pipelines.routing.audit.task_language import task_language
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY
from cortex_pipelines.statistics.off_policy import Estimate, LoggedDecisions, Refusal

PERSON = "person"
"""What the scores say of a task that the router leaves to a person."""


def audited_tasks(scores: pl.DataFrame, test: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    priorities = _by_text(features.filter(pl.col("priority").is_not_null()), "priority")
    rows = [
        {
            "right": row["challenger_right"],
            "confidence": row["confidence"],
            "abstained": row["decided_by"] == PERSON,
            "master": row["master"],
            "priority": priorities.get(normalised(row["text"])),
            "source": row["origin"],
            "language": task_language(row["text"]),
        }
        for row in scores.join(test.select("example_id", "origin"), on="example_id", how="left").iter_rows(named=True)
    ]
    schema = {"right": pl.Boolean, "confidence": pl.Float64, "abstained": pl.Boolean}
    texts = dict.fromkeys(("master", "priority", "source", "language"), pl.String)
    return pl.DataFrame(rows, schema={**schema, **texts}, orient="row")


def logged_decisions(
    attempts: pl.DataFrame, decisions: pl.DataFrame, scores: pl.DataFrame
) -> tuple[LoggedDecisions, list[dict[str, float]]]:
    """Logged decisions on held-out tasks, with the router's preferred decision for each.

    Tasks that the router leaves to a person are excluded: their outcome is not logged.
    """
    choices = {
        normalised(row["text"]): row["challenger"]
        for row in scores.filter(pl.col("decided_by") != PERSON).iter_rows(named=True)
        if row["challenger"] is not None
    }
    with_propensity = decisions.filter(pl.col("propensity").is_not_null()).sort(
        "decided_at", "file", "byte_offset", nulls_last=True
    )
    propensity: dict[str, float] = {}
    for row in with_propensity.iter_rows(named=True):
        propensity.setdefault(row["attempt_id"], row["propensity"])
    attempts_with_outcome = attempts.filter(pl.col("success").is_not_null() & pl.col("cluster").is_in(list(choices)))
    logged = LoggedDecisions(
        actions=attempts_with_outcome["master"].to_list(),
        rewards=attempts_with_outcome["success"].to_list(),
        propensities=[propensity.get(attempt_id) for attempt_id in attempts_with_outcome["attempt_id"]],
        clusters=attempts_with_outcome["cluster"].to_list(),
    )
    return logged, [{choices[cluster]: 1.0} for cluster in logged.clusters]


def deciding_models(decisions: pl.DataFrame) -> dict[str, int]:
    versioned = decisions.filter(pl.col("model_version").is_not_null() & ~pl.col("test_row"))
    counts = versioned.group_by("model_version").len().sort("model_version")
    return dict(counts.iter_rows())


def groups_table(groups: list[AuditGroup]) -> pl.DataFrame:
    return AUDIT_GROUPS.frame(
        [
            {
                "attribute": group.attribute,
                "value": group.value,
                "items": group.items,
                "accuracy": group.accuracy.estimate,
                "accuracy_low": group.accuracy.low,
                "accuracy_high": group.accuracy.high,
                "confidence": group.confidence,
                "overconfidence": group.overconfidence.estimate,
                "overconfidence_low": group.overconfidence.low,
                "overconfidence_high": group.overconfidence.high,
                "abstention": group.abstention.estimate,
                "abstention_low": group.abstention.low,
                "abstention_high": group.abstention.high,
                "warnings": list(group.warnings),
            }
            for group in groups
        ]
    )


def off_policy_table(estimate: Estimate | Refusal) -> pl.DataFrame:
    shared = {"items": estimate.items, "effective": estimate.effective}
    empty = {"estimate": None, "low": None, "high": None}
    if isinstance(estimate, Refusal):
        return OFF_POLICY.frame([{"estimator": "none", **shared, **empty, "refused": estimate.reason}])
    return OFF_POLICY.frame(
        [
            {
                **{"estimator": name, **shared, "refused": None},
                **{"estimate": estimator.estimate, "low": estimator.low, "high": estimator.high},
            }
            for name, estimator in (
                ("logged", estimate.logged),
                ("ips", estimate.ips),
                ("snips", estimate.snips),
                ("doubly_robust", estimate.doubly_robust),
            )
        ]
    )


def _by_text(features: pl.DataFrame, column: str) -> dict[str, str]:
    by_text: dict[str, str] = {}
    for row in features.sort("decided_at", "attempt_id", nulls_last=True).iter_rows(named=True):
        if row["text"]:
            by_text.setdefault(normalised(row["text"]), row[column])
    return by_text
