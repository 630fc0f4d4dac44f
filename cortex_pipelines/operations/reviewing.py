"""What people decide in the router's place becomes a record of the agent system's logs."""

import json
from datetime import UTC, datetime
from pathlib import Path

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.logs import logs_folder
from cortex_pipelines.operations.feedback import gateway_log
from cortex_pipelines.operations.redacting import redacted
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.serving.lines import appending, line_start
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


def find_review(root: Path, identity: str) -> Open:
    """An open task.

    Raises:
        ProjectError: there is none of that id.
    """
    known = {task.id: task for task in review_queue(root).open()}
    if identity not in known:
        raise ProjectError(f"no open task {identity}; `cortex review` lists them")
    return known[identity]


def decide(root: Path, identity: str, master: str, author: str) -> Path:
    """Record where an open task belongs; returns the log that the next training reads.

    Args:
        root: Project root.
        identity: Of the task.
        master: Where it belongs.
        author: Who says so; a pseudonym is kept.

    Raises:
        ProjectError: there is no such task or master, or the logs are the sample.
        CoordinationError: there is no folder of logs.
    """
    task = find_review(root, identity)
    if master not in task.masters:
        raise ProjectError(f"no master {master}; the router knows {', '.join(task.masters)}")
    params = load_parameters(root)
    if params.coordination.sample:
        raise ProjectError(
            "the logs are a sample, to which no answer belongs; set coordination.logs in "
            "params.yaml to a folder of your own, and coordination.sample to false"
        )
    record = {
        "task_id": f"review-{task.id}",
        "task_title": task.text,
        "routed_to": task.guess or master,
        "ideal_expert": master,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "reviewed_by": author_pseudonym(author, logs_key(params.privacy)),
    }
    path = logs_folder(params.coordination.logs, root) / LOG
    with appending(path) as file:
        file.write(line_start(file) + json.dumps(record).encode() + b"\n")
    review_queue(root).close(task.id)
    return path
