"""Audit of the router in the asset graph."""

from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.jsonl import write_json
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
from cortex_pipelines.routing.audit.report import audit_report
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.settings import AuditSettings, PredictorSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY, ROUTING_SCORES
from cortex_pipelines.statistics.off_policy import Support, evaluate_policy
from cortex_pipelines.versioning import versioned_asset


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
    decisions, outcomes, features = (
        pl.read_parquet(coordination_tables / f"{table.name}.parquet") for table in (DECISIONS, OUTCOMES, FEATURES)
    )
    scores = pl.read_parquet(task_router_evaluation / f"{ROUTING_SCORES.name}.parquet")
    test = pl.read_parquet(routing_dataset / "test.parquet")
    logged, policy = logged_decisions(attempts(decisions, outcomes, features, predictors), decisions, scores)
    support = Support(audit.min_items, audit.min_effective)
    estimates = off_policy_table(evaluate_policy(logged, policy, support, evaluation))
    groups = audit_groups(audited_tasks(scores, test, features), audit.min_group, evaluation)
    metrics = _metrics(estimates, groups, audit.min_group, coordination.sample)
    write_json(out / "metrics.json", metrics)
    abstained = scores.filter(pl.col("decided_by") == PERSON).height
    report = audit_report(estimates, groups, abstained, deciding_models(decisions), coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
    return {OFF_POLICY.name: estimates, AUDIT_GROUPS.name: groups}


def _metrics(estimates: pl.DataFrame, groups: pl.DataFrame, min_group: int, sample: bool) -> dict[str, float]:
    gaps = {name: largest_gap(groups, name, min_group) for name in ATTRIBUTES}
    figures = {
        "hand_written_sample": float(sample),
        "warnings": float(groups["warnings"].list.len().sum()),
        "off_policy_refused": float(estimates["refused"].null_count() == 0),
        "off_policy_items": float(estimates["items"][0]),
    }
    figures |= {f"accuracy_gap_{name}": gap for name, gap in gaps.items() if gap is not None}
    for row in estimates.filter(pl.col("estimate").is_not_null()).iter_rows(named=True):
        figures |= {
            f"off_policy_{row['estimator']}": row["estimate"],
            f"off_policy_{row['estimator']}_low": row["low"],
            f"off_policy_{row['estimator']}_high": row["high"],
        }
    return figures
