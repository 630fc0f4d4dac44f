"""All candidates of all learned tasks, as the outputs in the project and MLflow have them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.tracking.recorded_versions import candidate_costs
from cortex_pipelines.versioning.project import Project


def leaderboard(project: Project) -> list[dict[str, Any]]:
    """Rows of every ``leaderboard.parquet`` that is made; tasks by name, candidates from the best.

    ``seconds`` and ``megabytes`` of fitting differ from run to run: they are in no output, but in MLflow, of the last
    training on this machine; None where it has no such run.
    """
    rows: list[dict[str, Any]] = []
    for asset in project.graph.order:
        if not asset.partitioned and (project.output(asset.name, None) / f"{LEADERBOARD.name}.parquet").exists():
            rows += LEADERBOARD.read(project.output(asset.name, None)).to_dicts()
    costs = candidate_costs(project.root)
    for row in rows:
        for unit in ("seconds", "megabytes"):
            row[unit] = costs.get((row["asset"], row["task"], row["candidate"], unit))
    return sorted(rows, key=lambda row: (row["asset"], row["task"], -row["difference"], row["candidate"]))


HEAD = ("task", "candidate", "metric", "value", "difference to the simplest", "items", "adopted", "seconds", "MB")


def rendered(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Rows as texts under ``HEAD``."""
    for row in rows:
        yield [
            f"{row['asset']}: {row['task']}",
            *(row["candidate"], row["metric"]),
            f"{row['value']:.4g} ({row['low']:.4g} to {row['high']:.4g})",
            f"{row['difference']:.3g} ({row['difference_low']:.3g} to {row['difference_high']:.3g})",
            f"{row['items']:,}",
            "yes" if row["adopted"] else "",
            *("" if row[unit] is None else f"{row[unit]:,.1f}" for unit in ("seconds", "megabytes")),
        ]
