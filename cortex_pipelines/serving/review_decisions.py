"""What people decide in the router's place becomes a record of the agent system's logs."""

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
from cortex_pipelines.serving.reviews import Open, ReviewQueue
from cortex_pipelines.versioning.project import ProjectError

LOG = "reviews.jsonl"
"""The log of answers, beside the agent system's own."""

WAITING = ("task", "text", "guess", "unsure", "against", "asked")
"""Columns of a table of open tasks."""


def review_queue(root: Path) -> ReviewQueue:
    """The queue of a project."""
    privacy = load_parameters(root).privacy
    return ReviewQueue(gateway_log(root).parent, lambda text: redacted(privacy, text)[0])


def waiting_rows(root: Path) -> list[tuple[str, ...]]:
    """The open tasks for people to read, as ``WAITING``, the most informative first."""
    return [
        (
            *(task.id, task.text, task.guess or "–"),
            *(f"{share:.0%}" for share in (task.uncertainty, task.disagreement)),
            str(task.asked),
        )
        for task in review_queue(root).open()
    ]


def drop(root: Path, identity: str) -> None:
    """Delete an open task without an answer.

    Raises:
        ProjectError: there is none of that id.
    """
    _close(root, identity)


def decide(root: Path, identity: str, master: str, author: str) -> Path:
    """Record where an open task belongs; returns the log that the next training reads.

    The record is on the disk before the task's text goes. Whoever decides meanwhile waits, and then
    finds no open task; after a kill between the two, the record that is there stays.

    Args:
        root: Project root.
        identity: Of the task.
        master: Where it belongs.
        author: Who says so; a pseudonym is kept.

    Raises:
        ProjectError: there is no such task or master, the logs are the sample, or an earlier answer
            says otherwise.
        CoordinationError: there is no folder of logs.
    """
    params = load_parameters(root)
    if params.coordination.sample:
        raise ProjectError(
            "the logs are a sample, to which no answer belongs; set coordination.logs in "
            "params.yaml to a folder of your own, and coordination.sample to false"
        )
    path = logs_folder(params.coordination.logs, root) / LOG
    reviewer = author_pseudonym(author, logs_key(params.privacy))
    counts = master

    def keep(task: Open) -> None:
        nonlocal counts
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
        counts = _recorded(path, record)["ideal_expert"]

    _close(root, identity, keep)
    if counts != master:
        raise ProjectError(
            f"{identity} was decided before: {path} says that it belongs to {counts}; "
            "if that is wrong, change it there"
        )
    return path


def _close(root: Path, identity: str, keep: Callable[[Open], None] | None = None) -> None:
    if not review_queue(root).close(identity, keep):
        raise ProjectError(f"no open task {identity}; `cortex review` lists them")


def _recorded(path: Path, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Append a task's record, unless there is one; returns the one that is there now."""
    with open_for_append(path) as file:
        file.seek(0)
        for known in filter(None, map(json_object, stripped_lines(file))):
            if known.get("task_id") == record["task_id"]:
                return known
        file.write(line_start(file) + json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return record
