"""Audit of the router in the asset graph."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.pages import SAMPLE, heading, page, paragraph, records, table
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
from cortex_pipelines.statistics.off_policy import Support, evaluate_policy
from cortex_pipelines.versioning import versioned_asset

_NAMES = {
    "logged": "the router that took the decisions",
    "ips": "inverse propensity",
    "snips": "self-normalised",
    "doubly_robust": "doubly robust",
}
_OFF_POLICY = (
    "How many of the logged, held-out tasks would have succeeded had this router sent them. A log "
    "supports that only if it says with which probability each decision was taken (propensity), "
    "and if now and then another master was tried."
)
_LOG_IT = (
    "To make it possible: let the router draw a small share of its decisions, and log the "
    "probability of each under 'propensity', from the first day."
)
_GROUPS = (
    "A group falls behind where the rest is served better by more than chance explains (Fisher's "
    "exact test, Holm's correction over the groups of an attribute), or where the router is surer "
    "than it is right. Groups below the smallest size are shown, not tested. The language is "
    "guessed from commonest words: a weak label. The source is the log file."
)


def audit_report(
    off_policy: pl.DataFrame, groups: pl.DataFrame, abstained: int, deciding: Mapping[str, int], sample: bool
) -> str:
    parts = [paragraph(SAMPLE, warning=True)] if sample else []
    parts += [heading("What the logs say of this router"), paragraph(_OFF_POLICY)]
    first = off_policy.row(0, named=True)
    if first["refused"] is not None:
        parts += [paragraph(f"Refused: {first['refused']}.", warning=True), paragraph(_LOG_IT)]
    else:
        support = f"{first['items']} decisions, worth {first['effective']:.1f} of this router"
        estimates = [
            (_NAMES[row["estimator"]], f"{row['estimate']:.3f} ({row['low']:.3f} to {row['high']:.3f})")
            for row in off_policy.iter_rows(named=True)
        ]
        parts += [
            paragraph(f"{support}; {abstained} tasks that it leaves to a person are not among them."),
            table(("estimated by", "success"), estimates),
        ]
    if deciding:
        counts = [(version, str(count)) for version, count in deciding.items()]
        parts.append(table(("logged decisions by the router", "decisions"), counts))
    parts += [heading("Who is served how"), paragraph(_GROUPS)]
    warned = groups.filter(pl.col("warnings").list.len() > 0)
    for row in warned.iter_rows(named=True):
        parts.append(paragraph(f"{row['attribute']} {row['value']}: {'; '.join(row['warnings'])}.", warning=True))
    if warned.is_empty():
        parts.append(paragraph("No group falls behind by more than chance explains."))
    for (attribute,), group_rows in groups.group_by("attribute", maintain_order=True):
        rows = [
            {
                "": row["value"],
                "tasks": str(row["items"]),
                "accuracy": f"{row['accuracy']:.2f} ({row['accuracy_low']:.2f} to {row['accuracy_high']:.2f})",
                "confidence": f"{row['confidence']:.2f}",
                "confidence less accuracy": f"{row['overconfidence']:.2f}",
                "left to a person": f"{row['abstention']:.2f}",
            }
            for row in group_rows.iter_rows(named=True)
        ]
        parts += [heading(f"By {attribute}"), records(rows)]
    return page("Audit of the task router", parts)


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
