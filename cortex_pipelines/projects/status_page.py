"""One page on where a project stands: what is stale, served, learnt, waited for and forgotten."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.monitoring.decision import last_decisions
from cortex_pipelines.pages import heading, listing, page, paragraph, table
from cortex_pipelines.projects.certificate import deletions
from cortex_pipelines.release.ledger import ledger, project_models
from cortex_pipelines.release.promotion import standing
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.serving.review_decisions import WAITING, waiting_rows
from cortex_pipelines.tracking.registry import evolution
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.project import Project

_LINES = 20
"""Lines of the ledger, and tasks that wait, that are shown."""


def status_page(project: Project, rows: Sequence[Mapping[str, Any]], summary: str) -> str:
    """The page.

    Args:
        project: The project.
        rows: As ``operations.status.status`` gives them.
        summary: What they come to, in a sentence.
    """
    stale = [
        (row["asset"], row["partition"] or "all projects", row["reason"])
        for row in rows
        if not row["fresh"]
    ]
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
        table(("report", "new", "drifting features", "does worse", "corrections"), _moved(project)),
        heading("What people do with completions"),
        table(("project", "by", "completions", "taken", "corrected"), _interactions(project)),
        heading("Tasks that wait for a person"),
        table(WAITING, waiting_rows(project.root)[:_LINES]),
        heading("Ledger"),
        table(("at", "model", "what", "version", "why"), _moves(project)),
        heading("Deletions"),
        table(("id", "asked for at", "removed", "models made with it", "purges"), _gone(project)),
    ]
    return page("Status of the project", parts)


def _models(project: Project) -> Iterator[tuple[str, ...]]:
    for model in project_models(project):
        now = standing(project.root, model)
        yield (
            model.name,
            *(_named(now["numbers"], now[role]) for role in ("champion", "canary")),
            now["verdict"] or "none yet",
            now["reason"] or "",
        )


def _named(numbers: Mapping[str, str], version: str | None) -> str:
    return f"{numbers.get(version, '')} {version}".strip() if version else "–"


def _moved(project: Project) -> Iterator[tuple[str, ...]]:
    for asset in project.graph.order:
        for partition in project.partitions_of(asset) if asset.watches else ():
            figures = read_json(project.output(asset.name, partition) / "metrics.json")
            shown = (figures.get(name) for name in ("new", "drifting", "worse", "corrections"))
            counts = ("–" if value is None else f"{value:.0f}" for value in shown)
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


def _moves(project: Project) -> Iterator[tuple[str, ...]]:
    for line in reversed(ledger(project.root)[-_LINES:]):
        version = f"{line.number or ''} {line.version or 'baseline'}".strip()
        yield line.at, line.model, line.action, version, line.why


def _gone(project: Project) -> Iterator[tuple[str, ...]]:
    for record in deletions(project):
        removed = ", ".join(f"{count} {what}" for what, count in record["removed"].items())
        made = ", ".join(f"{model['name']}/{model['number']}" for model in record["models"])
        purged = ", ".join(done["at"] for done in record["purges"])
        yield record["id"], record["requested"], removed or "–", made or "–", purged or "none yet"
