"""Queue of tasks that the router left to a person: append-only JSON lines, redacted, deleted once decided."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.logs import logs_folder
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.jsonl import json_object, line_start, open_for_append, rewrite, stripped_lines
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.privacy.records import redacted
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.versioning.project import ProjectError

FILE = "reviews.jsonl"
LARGEST = 16 << 20
"""Largest file in bytes; beyond it, nothing is added."""


@dataclass(frozen=True)
class PendingReview:
    """A task that waits for a person, first requested ``at``; the text has no private values.

    Args:
        guess: None if no master has support; ``masters`` has the best first.
        uncertainty: 1 minus the margin between the two best masters; 1 if unknown.
        disagreement: Share of similar past tasks that went to another master than the guess.
        asked: Number of requests.
    """

    id: str
    text: str
    at: str
    guess: str | None
    masters: tuple[str, ...]
    version: str
    uncertainty: float
    disagreement: float
    asked: int = 1

    @property
    def informative(self) -> tuple[float, int]:
        """Sort key: uncertain decisions, against similar past tasks, requested often."""
        return self.uncertainty + self.disagreement, self.asked


class ReviewQueue:
    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        self._path = folder / FILE
        self._redact = redact
        self._ids = _KnownIds()

    def add(self, texts: Sequence[str], decisions: Sequence[Decision], asked_at: str = "") -> None:
        """Add the tasks on which the router abstained; waiting ones get the new decision, decided ones are skipped."""
        asked_at = asked_at or datetime.now(UTC).isoformat(timespec="seconds")
        pairs = zip(texts, decisions, strict=True)
        pending = [_pending_review(self._redact(text), each, asked_at) for text, each in pairs if each.abstained]
        if not pending:
            return
        with open_for_append(self._path) as file:
            if file.seek(0, 2) >= LARGEST:
                return
            self._ids.read(file)
            added: set[str] = set()
            lines = []
            for task in pending:
                if task.id not in self._ids.decided:
                    values = asdict(task)
                    if task.id in self._ids.waiting or task.id in added:
                        del values["text"]
                    added.add(task.id)
                    lines.append(json.dumps(values) + "\n")
            if lines:
                file.write(line_start(file) + "".join(lines).encode())

    def open(self) -> list[PendingReview]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            pending, _ = _tasks(stripped_lines(file))
        return sorted(pending.values(), key=lambda task: (*(-part for part in task.informative), task.id))

    def close(self, identity: str, keep: Callable[[PendingReview], None] | None = None) -> bool:
        """Delete a task's text and mark it as decided, under a lock, after ``keep``; returns whether it was open."""
        was_open = False

        def without_task(lines: Iterator[bytes]) -> Iterable[bytes]:
            nonlocal was_open
            every = list(lines)
            waiting, decided = _tasks(every)
            if task := waiting.pop(identity, None):
                was_open = True
                if keep is not None:
                    keep(task)
                decided.add(identity)
            yield from (ln for ln in every if (json_object(ln) or {}).get("id") in waiting)
            yield from (json.dumps({"id": decided_id}).encode() for decided_id in sorted(decided))

        rewrite(self._path, without_task)
        return was_open


class _KnownIds:
    """Ids of waiting and of decided tasks; of a file that has grown only what is new is read."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.decided: set[str] = set()
        self._position, self._ending = 0, b""

    def read(self, file: BinaryIO) -> None:
        if self._last_bytes(file) != self._ending:  # rewritten
            self.waiting, self.decided, self._position = set(), set(), 0
        file.seek(self._position)
        added = file.read()
        for line in filter(None, map(json_object, added.split(b"\n"))):
            (self.waiting if "guess" in line else self.decided).add(line["id"])
        self.waiting -= self.decided
        self._position += added.rfind(b"\n") + 1  # the rest may be written on
        self._ending = self._last_bytes(file)

    def _last_bytes(self, file: BinaryIO) -> bytes:
        start = max(self._position - _ENDING, 0)
        file.seek(start)
        return file.read(self._position - start)


_ENDING = 256
"""Bytes before a position that tell whether it is still in the same file: each line has its task's id and a time."""


def _tasks(lines: Iterable[bytes]) -> tuple[dict[str, PendingReview], set[str]]:
    """Waiting tasks by id, each with its latest decision, and ids of decided tasks."""
    latest: dict[str, PendingReview] = {}
    decided = set()
    for line in filter(None, map(json_object, lines)):
        if "guess" not in line:
            decided.add(line["id"])
            continue
        if before := latest.get(line["id"]):
            line |= {"text": before.text, "at": before.at, "asked": before.asked + 1}
        latest[line["id"]] = PendingReview(**line | {"masters": tuple(line["masters"])})
    return {name: task for name, task in latest.items() if name not in decided}, decided


def _pending_review(text: str, decision: Decision, asked_at: str) -> PendingReview:
    ranked = sorted(decision.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
    best = [share for _, share in ranked[:2]]
    disagreeing = [task["master"] != decision.master for task in decision.evidence]
    return PendingReview(
        id=sha256(text.encode("utf-8", "replace")).hexdigest()[:10],
        text=text,
        at=asked_at,
        guess=decision.master,
        masters=tuple(name for name, _ in ranked),
        version=decision.model_version,
        uncertainty=round(1 - (best[0] - best[1]), 4) if len(best) == 2 else 1.0,
        disagreement=round(sum(disagreeing) / len(disagreeing), 4) if disagreeing else 0.0,
    )


LOG = "reviews.jsonl"
"""Log of decisions, next to the agent system's logs."""

WAITING = ("task", "text", "guess", "unsure", "against", "asked")
"""Columns of a table of open tasks."""


def review_queue(root: Path) -> ReviewQueue:
    privacy = load_parameters(root).privacy
    return ReviewQueue(gateway_log(root).parent, lambda text: redacted(privacy, text)[0])


def waiting_rows(root: Path) -> list[tuple[str, ...]]:
    """Rows of open tasks with columns ``WAITING``, the most informative first."""
    return [
        (each.id, each.text, each.guess or "–", f"{each.uncertainty:.0%}", f"{each.disagreement:.0%}", str(each.asked))
        for each in review_queue(root).open()
    ]


def decide(root: Path, identity: str, master: str, author: str) -> Path:
    """Record the right master of an open task; returns the log that the next training reads.

    The record is written to disk before the task's text is deleted. Concurrent decisions wait for
    the lock and then find no open task. After a crash in between, the existing record is kept.

    Raises:
        ProjectError: unknown task or master, the logs are the sample, or an earlier decision differs.
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
        with open_for_append(path) as file:
            file.seek(0)
            for previous in filter(None, map(json_object, stripped_lines(file))):
                if previous.get("task_id") == record["task_id"]:
                    recorded_master = previous["ideal_expert"]
                    return
            file.write(line_start(file) + json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    close_review(root, identity, keep)
    if recorded_master != master:
        raise ProjectError(
            f"{identity} was decided before: {path} says that it belongs to {recorded_master}; "
            "if that is wrong, change it there"
        )
    return path


def close_review(root: Path, identity: str, keep: Callable[[PendingReview], None] | None = None) -> None:
    if not review_queue(root).close(identity, keep):
        raise ProjectError(f"no open task {identity}; `cortex review` lists them")
