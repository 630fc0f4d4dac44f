"""Queue of tasks that the router left to a person, as an append-only JSON lines file.

Texts are stored without private values, and deleted once the task is decided.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from cortex_pipelines.jsonl import json_object, line_start, open_for_append, rewrite, stripped_lines
from cortex_pipelines.routing.serving.router import Decision

FILE = "reviews.jsonl"
LARGEST = 16 << 20
"""Largest file in bytes; beyond it, nothing is added."""


@dataclass(frozen=True)
class PendingReview:
    """A task that waits for a person.

    Args:
        id: Hash of its text.
        text: Text without private values.
        at: Time of the first request, ISO 8601 in UTC.
        guess: The router's best guess; None if no master has support.
        masters: The router's masters, best first.
        version: Version of the router.
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
    """The tasks of a project that wait for a person.

    Args:
        folder: Folder of the gateway's state.
        redact: Replaces private values in a text.
    """

    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        self._path = folder / FILE
        self._redact = redact

    def add(self, texts: Sequence[str], decisions: Sequence[Decision], asked_at: str) -> None:
        """Add the tasks on which the router abstained.

        A task that is already waiting only gets the new decision; a decided task is skipped.
        """
        pairs = zip(texts, decisions, strict=True)
        pending = [
            _pending_review(self._redact(text), decision, asked_at) for text, decision in pairs if decision.abstained
        ]
        if not pending:
            return
        with open_for_append(self._path) as file:
            if file.seek(0, 2) >= LARGEST:
                return
            file.seek(0)
            waiting, decided = _tasks(stripped_lines(file))
            lines = []
            for task in pending:
                if task.id not in decided:
                    values = asdict(task)
                    if task.id in waiting:
                        del values["text"]
                    waiting[task.id] = task
                    lines.append(json.dumps(values) + "\n")
            if lines:
                file.write(line_start(file) + "".join(lines).encode())

    def open(self) -> list[PendingReview]:
        """The undecided tasks, the most informative first."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            pending, _ = _tasks(stripped_lines(file))
        return sorted(pending.values(), key=lambda task: (*(-part for part in task.informative), task.id))

    def close(self, identity: str, keep: Callable[[PendingReview], None] | None = None) -> bool:
        """Delete a task's text and mark it as decided, so that it is not asked again.

        Holds the queue's lock.

        Args:
            identity: Id of the task.
            keep: Called with the task before its text is deleted; if it raises, the task stays
                open.

        Returns:
            Whether the task was open.
        """
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
