"""Build train, validation and test tasks for the router."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.routing.dataset.labels import LabelledTask, labelled_tasks, normalised, weak_tasks
from cortex_pipelines.routing.keyword_rules import parse_rules
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.routing import ROUTING_DATASET
from cortex_pipelines.schemas.vocabulary import SPLITS


class TooFewTasksError(ValueError):
    """The logs do not hold enough tasks to train and evaluate a router."""


def build_dataset(
    events: pl.DataFrame, commits: Mapping[str, pl.DataFrame], settings: RoutingSettings
) -> dict[str, pl.DataFrame]:
    """``SPLITS`` to frames of ``ROUTING_DATASET``.

    Only labels that an outcome confirmed are used for evaluation (validation, test); tasks that were merely routed,
    and commits, are for training only. A hash of the text alone decides the split: so it is the same for repeated
    tasks, nearly stratified by master, and never changes as the logs grow. Otherwise an older champion could be tested
    on tasks that it was trained on. For the same reason a task that was merely routed is left out if its hash is not
    for training: its outcome may be known one day. Raises ``TooFewTasksError``.
    """
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    logged = deduplicated(labelled_tasks(events))
    for key, task in sorted(logged.items()):
        split = split_of(key, settings)
        if task.source == "outcome" or split == "train":
            splits[split].append(_row(task, settings))
    counts = Counter(row["master"] for rows in splits.values() for row in rows if row["label_source"] == "outcome")
    counts_text = ", ".join(f"{master} {count}" for master, count in sorted(counts.items())) or "none"
    if counts.total() < settings.min_tasks or len(counts) < 2:
        raise TooFewTasksError(
            f"coordination logs: {counts.total()} tasks with text, master and known outcome "
            f"({counts_text}); at least {settings.min_tasks} (routing.min_tasks) over two masters "
            "are needed. Name a folder with more logs in coordination.logs and run `cortex update`"
        )
    if empty := [split for split in SPLITS if not splits[split]]:
        raise TooFewTasksError(
            f"coordination logs: none of {counts.total()} tasks is in {', '.join(empty)}; add logs, or set "
            "larger routing.validation_share and routing.test_share in params.yaml"
        )
    masters = {task.master for task in logged.values()}
    rules = [rule for rule in settings.weak_rules if rule.master in masters]
    weak_by_text: dict[str, LabelledTask] = {}
    for project, frame in sorted(commits.items()):
        for weak in weak_tasks(frame, project, rules, settings.weak_per_master):
            weak_by_text.setdefault(normalised(weak.text), weak)
    for key, commit in sorted(weak_by_text.items()):
        if key not in logged:
            splits["train"].append(_row(commit, settings))
    return {split: table.frame(splits[split]) for split, table in zip(SPLITS, ROUTING_DATASET, strict=True)}


def training_tasks(events: pl.DataFrame, settings: RoutingSettings) -> pl.DataFrame:
    """All labelled tasks of logs, without weak labels or a test split: the router is evaluated out of fold."""
    logged = deduplicated(labelled_tasks(events))
    return ROUTING_DATASET[0].frame([_row(task, settings) for _, task in sorted(logged.items())])


def split_of(key: str, settings: RoutingSettings) -> str:
    digest = hashlib.sha256(f"{settings.seed}\n{key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < settings.test_share:
        return "test"
    return "validation" if position < settings.test_share + settings.validation_share else "train"


def logged_rules(events: pl.DataFrame) -> dict[str, Any] | None:
    """The rules nearest to the top of the logs folder: backups lie deeper. Raises ``RulesError``."""
    candidates = events.filter(pl.col("kind") == "routing_rules").select("file", "byte_offset", "payload").rows()
    if not candidates:
        return None
    file, _, payload = min(candidates, key=lambda row: (row[0].count("/"), row))
    rules: dict[str, Any] = json.loads(payload)
    parse_rules(rules, file)
    return rules


def deduplicated(tasks: Sequence[LabelledTask]) -> dict[str, LabelledTask]:
    """Keep the most often confirmed label, then the latest."""
    counts = Counter((normalised(task.text), task.source == "outcome", task.master) for task in tasks)

    def certainty(task: LabelledTask) -> tuple[bool, int, str, str, str]:
        confirmed = task.source == "outcome"
        when = task.occurred_at.isoformat() if task.occurred_at else ""
        return confirmed, counts[normalised(task.text), confirmed, task.master], when, task.master, task.text

    return {normalised(task.text): task for task in sorted(tasks, key=certainty)}


def _row(task: LabelledTask, settings: RoutingSettings) -> dict[str, Any]:
    identity = hashlib.sha256(f"{normalised(task.text)}\n{task.master}".encode()).hexdigest()
    weights = {"outcome": 1.0, "decision": settings.decision_weight, "weak:commit": settings.weak_weight}
    shared = {name: getattr(task, name) for name in ("text", "master", "origin", "occurred_at")}
    return {"example_id": identity, **shared, "label_source": task.source, "weight": weights[task.source]}
