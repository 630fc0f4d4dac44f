"""Asset of the router's data set, apart from the router's: an edit of encoder or models must not make it stale."""

import json
from pathlib import Path

import polars as pl

from cortex_pipelines.routing.dataset.build import build_dataset, logged_rules
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.routing import ROUTING_DATASET
from cortex_pipelines.versioning import versioned_asset

RULES_FILE = "rules.json"


@versioned_asset(tables=ROUTING_DATASET, partitioned=False)
def routing_dataset(
    coordination_events: Path, repository_commits: dict[str, Path], routing: RoutingSettings, out: Path
) -> dict[str, pl.DataFrame]:
    """Tasks labelled with their master: train, validation and test; with rules.json."""
    events = COORDINATION_EVENTS.read(coordination_events)
    commits = {project: REPOSITORY_COMMITS.read(folder) for project, folder in repository_commits.items()}
    rules = logged_rules(events)
    if rules is not None:
        text = json.dumps(rules, indent=2, sort_keys=True, ensure_ascii=False)
        (out / RULES_FILE).write_text(text + "\n", encoding="utf-8")
    return build_dataset(events, commits, routing)
