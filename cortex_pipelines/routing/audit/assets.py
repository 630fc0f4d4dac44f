"""Audit of the router in the asset graph."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.pages import SAMPLE, render
from cortex_pipelines.routing.audit.groups import (
    ATTRIBUTES,
    PERSON,
    audit_groups,
    audited_tasks,
    deciding_models,
    largest_gap,
    logged_decisions,
    off_policy_table,
)
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.settings import AuditSettings, PredictorSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY, ROUTING_SCORES
from cortex_pipelines.statistics.off_policy import evaluate_policy
from cortex_pipelines.versioning import versioned_asset

_NAMES = {
    "logged": "the router that took the decisions",
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "doubly_robust": "doubly robust",
}
_TEMPLATE = Path(__file__).parent / "report.html"


def audit_report(
    off_policy: pl.DataFrame, groups: pl.DataFrame, abstained: int, deciding: Mapping[str, int], sample: bool
) -> str:
    first = off_policy.row(0, named=True)
    estimates = [
        (_NAMES[row["estimator"]], f"{row['estimate']:.3f} ({row['low']:.3f} to {row['high']:.3f})")
        for row in off_policy.filter(pl.col("refused").is_null()).iter_rows(named=True)
    ]
    warnings = [
        f"{row['attribute']} {row['value']}: {'; '.join(row['warnings'])}."
        for row in groups.filter(pl.col("warnings").list.len() > 0).iter_rows(named=True)
    ]
    rows_by_attribute: dict[str, list[dict[str, str]]] = {}
    for row in groups.iter_rows(named=True):
        cells = {
            "": row["value"],
            "tasks": str(row["items"]),
            "accuracy": f"{row['accuracy']:.2f} ({row['accuracy_low']:.2f} to {row['accuracy_high']:.2f})",
            "confidence": f"{row['confidence']:.2f}",
            "confidence less accuracy": f"{row['overconfidence']:.2f}",
            "left to a person": f"{row['abstention']:.2f}",
        }
        rows_by_attribute.setdefault(row["attribute"], []).append(cells)
    return render(
        _TEMPLATE,
        "Audit of the task router",
        **{"is_sample": sample, "sample": SAMPLE, "abstained": abstained},
        **{name: first[name] for name in ("refused", "items", "effective")},
        estimates=estimates,
        deciding=[(version, str(count)) for version, count in deciding.items()],
        warnings=warnings,
        groups=rows_by_attribute.items(),
    )


@versioned_asset(tables=(OFF_POLICY, AUDIT_GROUPS), partitioned=False, determinism="machine")
def routing_audit(
    task_router_evaluation: Path,
    routing_dataset: Path,
    coordination_tables: Path,
    audit: AuditSettings,
    evaluation: EvaluationSettings,
    predictors: PredictorSettings,
    coordination: CoordinationSettings,
    out: Path,
) -> dict[str, pl.DataFrame]:
    """Off-policy estimate of the router's success from logs, and a fairness audit by group."""
    decisions, outcomes, features = (table.read(coordination_tables) for table in (DECISIONS, OUTCOMES, FEATURES))
    scores = ROUTING_SCORES.read(task_router_evaluation)
    test = pl.read_parquet(routing_dataset / "test.parquet")
    logged, policy = logged_decisions(
        attempts(decisions, outcomes, features, predictors.complexity_words), decisions, scores
    )
    estimate = evaluate_policy(logged, policy, audit.min_items, audit.min_effective, evaluation)
    estimates = off_policy_table(estimate)
    groups = audit_groups(audited_tasks(scores, test, features), audit.min_group, evaluation)
    gaps = {name: largest_gap(groups, name, audit.min_group) for name in ATTRIBUTES}
    metrics = {
        "hand_written_sample": float(coordination.sample),
        "warnings": float(groups["warnings"].list.len().sum()),
        "off_policy_refused": float(estimates["refused"].null_count() == 0),
        "off_policy_items": float(estimates["items"][0]),
    }
    metrics |= {f"accuracy_gap_{name}": gap for name, gap in gaps.items() if gap is not None}
    for row in estimates.filter(pl.col("estimate").is_not_null()).iter_rows(named=True):
        for name, bound in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            metrics[f"off_policy_{row['estimator']}{name}"] = row[bound]
    write_json(out / "metrics.json", metrics)
    abstained = scores.filter(pl.col("decided_by") == PERSON).height
    report = audit_report(estimates, groups, abstained, deciding_models(decisions), coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
    return {OFF_POLICY.name: estimates, AUDIT_GROUPS.name: groups}
