"""The page of the clusters: a map to zoom, and tables of what is on it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.pages import heading, page, paragraph, table
from cortex_pipelines.retrieval.clusters.grouping import OUTLIER, ClusterMap

_MAP = Path(__file__).parent / "map.html"
_MOST_LISTED = 50
_DIGITS = 4


def map_page(project: str, cluster_map: ClusterMap) -> str:
    units, clusters = cluster_map.units, cluster_map.clusters
    outliers = units.filter(cluster=OUTLIER)
    parts = [
        paragraph(
            f"{units.height:,} units in {clusters.height:,} clusters; {outliers.height:,} are in "
            "none. Units of similar meaning lie near each other; directions mean nothing. "
            "A cluster is called after terms that are more frequent in it than elsewhere."
        )
    ]
    if cluster_map.unmapped:
        parts.append(paragraph(f"A sample: {cluster_map.unmapped:,} more units are left out."))
    if units.height:
        parts.append(_map(units, clusters))
    parts += [
        heading("Clusters"),
        table(
            ["", "name", "units", "mostly in", "share there", "in the middle"],
            [
                (str(row["cluster"] + 1), row["name"], row["units"], row["path"] or "(root)",
                 f"{row['share']:.0%}", row["example"])
                for row in clusters.head(_MOST_LISTED).iter_rows(named=True)
            ],
        ),
    ]  # fmt: skip
    if clusters.height > _MOST_LISTED:
        parts.append(paragraph(f"The largest {_MOST_LISTED} of {clusters.height:,}."))
    return page(f"Map of {project}", parts)


def _map(units: pl.DataFrame, clusters: pl.DataFrame) -> str:
    data = {
        "names": clusters["name"].to_list(),
        "units": [
            [round(row["x"], _DIGITS), round(row["y"], _DIGITS), row["cluster"],
             f"{row['path']}:{row['start_line']}", row["name"]]
            for row in units.iter_rows(named=True)
        ],
    }  # fmt: skip
    # what could end the script element is written otherwise
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    rendered: str = _template().render(data=text)
    from markupsafe import Markup

    return Markup(rendered)  # nosec B704 - rendered by a template that escapes


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_MAP.read_text(encoding="utf-8"))
