"""HTML page with the state of a project: outputs, models, drift, feedback, tasks, deletions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.monitoring.decision import last_decisions
from cortex_pipelines.pages import heading, listing, page, paragraph, table
from cortex_pipelines.projects.certificate import read_deletions
from cortex_pipelines.release.ledger import ledger, project_models
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.serving.review_decisions import WAITING, waiting_rows
from cortex_pipelines.tracking.registry import evolution
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.project import Project

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
        model_state = model_roles(project.root, model)
        yield (
            model.name,
            *(_version_label(model_state["numbers"], model_state[role]) for role in ("champion", "canary")),
            model_state["verdict"] or "none yet",
            model_state["reason"] or "",
        )


def _version_label(numbers: Mapping[str, str], version: str | None) -> str:
    return f"{numbers.get(version, '')} {version}".strip() if version else "–"


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
