"""Build train, validation and test tasks for the router."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.routing.dataset.labels import LabelledTask, WeakTask, labelled_tasks, normalised, weak_tasks
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
    logged = _deduplicated(labelled_tasks(events))
    for key, task in sorted(logged.items()):
        split = split_of(key, settings)
        if task.source == "outcome":
            splits[split].append(_row(task, "outcome", 1.0))
        elif split == "train":
            splits[split].append(_row(task, "decision", settings.decision_weight))
    _require_enough(splits, settings)
    weak_by_text: dict[str, WeakTask] = {}
    for project, frame in sorted(commits.items()):
        for weak in weak_tasks(frame, project, settings.weak_rules, settings.weak_per_master):
            weak_by_text.setdefault(normalised(weak.text), weak)
    for key, commit in sorted(weak_by_text.items()):
        if key not in logged:
            splits["train"].append(_row(commit, "weak:commit", settings.weak_weight))
    return {split: table.frame(splits[split]) for split, table in zip(SPLITS, ROUTING_DATASET, strict=True)}


def training_tasks(events: pl.DataFrame, settings: RoutingSettings) -> pl.DataFrame:
    """All labelled tasks of logs, without weak labels or a test split: the router is evaluated out of fold."""
    logged = _deduplicated(labelled_tasks(events))
    rows = [
        _row(task, "outcome", 1.0) if task.source == "outcome" else _row(task, "decision", settings.decision_weight)
        for _, task in sorted(logged.items())
    ]
    return ROUTING_DATASET[0].frame(rows)


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


def _deduplicated(tasks: Sequence[LabelledTask]) -> dict[str, LabelledTask]:
    """Keep the most often confirmed label, then the latest."""
    by_text: dict[str, list[LabelledTask]] = defaultdict(list)
    for task in tasks:
        by_text[normalised(task.text)].append(task)
    return {key: _most_certain(group) for key, group in by_text.items()}


def _most_certain(group: Sequence[LabelledTask]) -> LabelledTask:
    counts = Counter((task.source == "outcome", task.master) for task in group)

    def certainty(task: LabelledTask) -> tuple[bool, int, str, str, str]:
        confirmed = task.source == "outcome"
        when = task.occurred_at.isoformat() if task.occurred_at else ""
        return confirmed, counts[confirmed, task.master], when, task.master, task.text

    return max(group, key=certainty)


def _row(task: LabelledTask | WeakTask, source: str, weight: float) -> dict[str, Any]:
    identity = hashlib.sha256(f"{normalised(task.text)}\n{task.master}".encode()).hexdigest()
    return {
        "example_id": identity,
        "text": task.text,
        "master": task.master,
        "label_source": source,
        "weight": weight,
        "origin": task.origin,
        "occurred_at": task.occurred_at,
    }


def _require_enough(splits: Mapping[str, Sequence[Mapping[str, Any]]], settings: RoutingSettings) -> None:
    counts = Counter(row["master"] for rows in splits.values() for row in rows if row["label_source"] == "outcome")
    counts_text = ", ".join(f"{master} {count}" for master, count in sorted(counts.items())) or "none"
    total = sum(counts.values())
    if total < settings.min_tasks or len(counts) < 2:
        raise TooFewTasksError(
            f"coordination logs: {total} tasks with text, master and known outcome "
            f"({counts_text}); at least {settings.min_tasks} (routing.min_tasks) over two masters "
            "are needed. Name a folder with more logs in coordination.logs and run `cortex update`"
        )
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        raise TooFewTasksError(
            f"coordination logs: none of {total} tasks is in {', '.join(empty)}; add logs, or set "
            "larger routing.validation_share and routing.test_share in params.yaml"
        )
