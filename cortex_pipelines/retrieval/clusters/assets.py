"""Asset of clusters: which units of a project are alike, and their map."""

from pathlib import Path

import polars as pl

from cortex_pipelines.retrieval.clusters.grouping import cluster_units
from cortex_pipelines.retrieval.clusters.page import map_page
from cortex_pipelines.retrieval.settings import ClusterSettings
from cortex_pipelines.retrieval.vectors.matrix import vectors_of
from cortex_pipelines.schemas.retrieval import CLUSTERED_UNITS, CLUSTERS, EMBEDDINGS, SEARCHED_DOCUMENTS
from cortex_pipelines.versioning import versioned_asset

_UNIT = ("source", "path", "number")


@versioned_asset(tables=(CLUSTERED_UNITS, CLUSTERS), determinism="machine")
def clusters(
    code_embeddings: Path, search_documents: Path, clustering: ClusterSettings, project: str, out: Path
) -> dict[str, pl.DataFrame]:
    """Clusters of units that are alike, with names, outliers and a map to look at."""
    documents = SEARCHED_DOCUMENTS.read(search_documents)
    units = (
        EMBEDDINGS.read(code_embeddings)
        .filter(level="unit")
        .join(documents.drop("name", "start_line"), on=_UNIT, how="left", maintain_order="left")
    )
    texts = [" ".join(row) for row in units.select("name", "documentation", "body").iter_rows()]
    cluster_map = cluster_units(units, vectors_of(units), texts, clustering)
    (out / "report.html").write_text(map_page(project, cluster_map), encoding="utf-8")
    return {CLUSTERED_UNITS.name: cluster_map.units, CLUSTERS.name: cluster_map.clusters}
