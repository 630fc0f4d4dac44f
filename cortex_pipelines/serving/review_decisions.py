"""Record people's routing decisions in the agent system's logs."""

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.logs import logs_folder
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.jsonl import json_object, line_start, open_for_append, stripped_lines
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.privacy.typed_text import redacted
from cortex_pipelines.serving.reviews import PendingReview, ReviewQueue
from cortex_pipelines.versioning.project import ProjectError

LOG = "reviews.jsonl"
"""Log of decisions, next to the agent system's logs."""

WAITING = ("task", "text", "guess", "unsure", "against", "asked")
"""Columns of a table of open tasks."""


def review_queue(root: Path) -> ReviewQueue:
    """The queue of a project."""
    privacy = load_parameters(root).privacy
    return ReviewQueue(gateway_log(root).parent, lambda text: redacted(privacy, text)[0])


def waiting_rows(root: Path) -> list[tuple[str, ...]]:
    """Rows of open tasks with columns ``WAITING``, the most informative first."""
    return [
        (
            *(task.id, task.text, task.guess or "–"),
            *(f"{share:.0%}" for share in (task.uncertainty, task.disagreement)),
            str(task.asked),
        )
        for task in review_queue(root).open()
    ]


def drop(root: Path, identity: str) -> None:
    """Delete an open task without a decision.

    Raises:
        ProjectError: no open task has this id.
    """
    _close(root, identity)


def decide(root: Path, identity: str, master: str, author: str) -> Path:
    """Record the right master of an open task; returns the log that the next training reads.

    The record is written to disk before the task's text is deleted. Concurrent decisions wait for
    the lock and then find no open task. After a crash in between, the existing record is kept.

    Args:
        root: Project root.
        identity: Id of the task.
        master: The right master.
        author: The reviewer; stored as a pseudonym.

    Raises:
        ProjectError: unknown task or master, the logs are the sample, or an earlier decision
            differs.
        CoordinationError: the folder of logs is missing.
    """
    params = load_parameters(root)
    if params.coordination.sample:
        raise ProjectError(
            "the logs are a sample, to which no answer belongs; set coordination.logs in "
            "params.yaml to a folder of your own, and coordination.sample to false"
        )
    path = logs_folder(params.coordination.logs, root) / LOG
    reviewer = author_pseudonym(author, logs_key(params.privacy))
    recorded_master = master

    def keep(task: PendingReview) -> None:
        nonlocal recorded_master
        if master not in task.masters:
            raise ProjectError(f"no master {master}; the router knows {', '.join(task.masters)}")
        record = {
            "task_id": f"review-{task.id}",
            "task_title": task.text,
            "routed_to": task.guess or master,
            "ideal_expert": master,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "reviewed_by": reviewer,
        }
        recorded_master = _append_once(path, record)["ideal_expert"]

    _close(root, identity, keep)
    if recorded_master != master:
        raise ProjectError(
            f"{identity} was decided before: {path} says that it belongs to {recorded_master}; "
            "if that is wrong, change it there"
        )
    return path


def _close(root: Path, identity: str, keep: Callable[[PendingReview], None] | None = None) -> None:
    if not review_queue(root).close(identity, keep):
        raise ProjectError(f"no open task {identity}; `cortex review` lists them")


def _append_once(path: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Append a task's record unless it exists; returns the record in the log."""
    with open_for_append(path) as file:
        file.seek(0)
        for previous in filter(None, map(json_object, stripped_lines(file))):
            if previous.get("task_id") == record["task_id"]:
                return previous
        file.write(line_start(file) + json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return record
