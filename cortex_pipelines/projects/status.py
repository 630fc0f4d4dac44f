"""``cortex status``: existing and stale outputs of every asset and project, also as a page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cortex_pipelines.monitoring.policy import last_decisions
from cortex_pipelines.pages import heading, listing, page, paragraph, table
from cortex_pipelines.projects.certificate import read_deletions
from cortex_pipelines.release.ledger import ledger, project_models
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.serving.reviews import WAITING, waiting_rows
from cortex_pipelines.tracking.recorded_versions import known_versions
from cortex_pipelines.tracking.registry import evolution
from cortex_pipelines.versioning.dagster.staleness import NOTHING, Staleness
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.project import Project


def status_rows(
    project: Project, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> Iterator[dict[str, Any]]:
    """A row for each asset and partition, in topological order.

    Yields:
        ``asset, partition, data_version`` (Dagster's), ``dvc_md5`` (in dvc.lock), ``mlflow_digest, run_id``
        (MLflow's, of that version), ``fresh`` (DVC and Dagster agree that nothing is to be done) and ``reason`` (why
        it is stale, or empty).
    """
    dagster = Staleness(instance, definitions).snapshot()
    recorded = known_versions(project.root)
    for view in dvc_views(project):
        name, partition = view.asset.name, view.partition
        word, causes = dagster.status(name, partition)
        version = dagster.version(name, partition)
        run_id, digest = recorded.get((name, partition or "", view.locked or ""), (None, None))
        reasons = list(view.reasons) or [cause for cause in causes if word != "FRESH"]
        if not view.changed and version != view.locked:
            reasons.append("Dagster has another version: run `cortex sync`")
        yield {
            "asset": name,
            "partition": partition,
            "data_version": None if version == NOTHING else version,
            "dvc_md5": view.locked,
            "mlflow_digest": digest,
            "run_id": run_id,
            "fresh": not view.changed and word == "FRESH" and version == view.locked,
            "reason": "; ".join(reasons) if view.locked else "never made",
        }


def count_rows(project: Project, name: str, partition: str | None) -> int:
    folder = project.output(name, partition)
    tables = project.graph.assets[name].tables
    return sum(table_rows(folder / f"{table.name}.parquet") for table in tables)


def table_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowInvalid, OSError):
        return 0  # edited or truncated: the status shows it as stale


_LINES = 20
"""Maximum number of ledger lines and of open tasks shown."""


def status_page(project: Project, rows: Sequence[Mapping[str, Any]], summary: str) -> str:
    stale = [(row["asset"], row["partition"] or "all projects", row["reason"]) for row in rows if not row["fresh"]]
    parts = [
        heading("Outputs"),
        paragraph(summary),
        table(("output", "project", "why it is not fresh"), stale),
        heading("Models"),
        table(("model", "champion", "canary", "verdict", "why"), _models(project)),
        heading("Their versions"),
        table(
            ("version", "registered", "continues", "gain when it was judged", "stage or verdict"),
            [row for model in project_models(project) for row in evolution(project, model)],
        ),
        heading("Training"),
        listing(last_decisions(project.root) or ["Nothing was decided yet."]),
        heading("What moved since the champions were trained"),
        table(("report", "new", "drifting features", "does worse", "corrections"), _drift_rows(project)),
        heading("What people do with completions"),
        table(("project", "by", "completions", "taken", "corrected"), _interactions(project)),
        heading("Tasks that wait for a person"),
        table(WAITING, waiting_rows(project.root)[:_LINES]),
        heading("Ledger"),
        table(("at", "model", "what", "version", "why"), _ledger_rows(project)),
        heading("Deletions"),
        table(("id", "asked for at", "removed", "models made with it", "purges"), _deletion_rows(project)),
    ]
    return page("Status of the project", parts)


def _models(project: Project) -> Iterator[tuple[str, ...]]:
    for model in project_models(project):
        roles = model_roles(project.root, model)
        versions = (roles[role] for role in ("champion", "canary"))
        labels = (f"{roles['numbers'].get(v, '')} {v}".strip() if v else "–" for v in versions)
        yield model.name, *labels, roles["verdict"] or "none yet", roles["reason"] or ""


def _drift_rows(project: Project) -> Iterator[tuple[str, ...]]:
    for asset in project.graph.order:
        for partition in project.partitions_of(asset) if asset.watches else ():
            metrics = read_json(project.output(asset.name, partition) / "metrics.json")
            values = (metrics.get(name) for name in ("new", "drifting", "worse", "corrections"))
            counts = ("–" if value is None else f"{value:.0f}" for value in values)
            yield project.address(asset, partition), *counts


def _interactions(project: Project) -> list[tuple[str | int, ...]]:
    path = project.output(INTERACTIONS.name, None) / f"{INTERACTIONS.name}.parquet"
    if not path.exists():
        return []
    by = pl.when("simulated").then(pl.lit("simulation")).otherwise(pl.lit("people")).alias("by")
    counts = (
        pl.len().cast(pl.Int64).alias("completions"),
        (pl.col("accepted") | pl.col("partly_accepted")).sum().cast(pl.Int64).alias("taken"),
        pl.col("corrected").is_not_null().sum().cast(pl.Int64),
    )
    return pl.read_parquet(path).group_by("project", by).agg(*counts).sort("project", "by").rows()


def _ledger_rows(project: Project) -> Iterator[tuple[str, ...]]:
    for line in reversed(ledger(project.root)[-_LINES:]):
        version = f"{line.number or ''} {line.version or 'baseline'}".strip()
        yield line.at, line.model, line.action, version, line.why


def _deletion_rows(project: Project) -> Iterator[tuple[str, ...]]:
    for record in read_deletions(project):
        removed = ", ".join(f"{count} {kind}" for kind, count in record["removed"].items())
        models = ", ".join(f"{model['name']}/{model['number']}" for model in record["models"])
        purged = ", ".join(purge["at"] for purge in record["purges"])
        yield record["id"], record["requested"], removed or "–", models or "–", purged or "none yet"
