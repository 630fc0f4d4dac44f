"""Tasks that the router left to a person, until one has decided: lines that grow.

The text of a task stands there without private values, and goes once the task is decided.
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
"""Bytes of the file beyond which nothing is added: nobody reads a queue of that length."""


@dataclass(frozen=True)
class Open:
    """A task that waits for a person.

    Args:
        id: Of its text.
        text: Without private values.
        at: When it was asked first, ISO 8601 in UTC.
        guess: The router's best guess; None if nothing speaks for any.
        masters: Those that the router knows, best first.
        version: The router's.
        uncertainty: 1 less the distance between the two best masters; 1 if none is known.
        disagreement: Share of the similar past tasks that went elsewhere than the guess.
        asked: How often it was asked.
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
        """What is worth an answer most: unsure, against its own evidence, and asked often."""
        return self.uncertainty + self.disagreement, self.asked


class ReviewQueue:
    """The tasks of a project that wait for a person.

    Args:
        folder: Where the gateway keeps what it keeps.
        redact: Takes private values out of a text.
    """

    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        self._path = folder / FILE
        self._redact = redact

    def add(self, texts: Sequence[str], decisions: Sequence[Decision], at: str) -> None:
        """Keep the tasks that the router left to a person.

        Of one that waits already only the new decision is kept; of one that was decided, nothing.
        """
        pairs = zip(texts, decisions, strict=True)
        left = [_opened(self._redact(text), made, at) for text, made in pairs if made.abstained]
        if not left:
            return
        with open_for_append(self._path) as file:
            if file.seek(0, 2) >= LARGEST:
                return
            file.seek(0)
            waiting, decided = _tasks(stripped_lines(file))
            lines = []
            for task in left:
                if task.id not in decided:
                    values = asdict(task)
                    if task.id in waiting:
                        del values["text"]
                    waiting[task.id] = task
                    lines.append(json.dumps(values) + "\n")
            if lines:
                file.write(line_start(file) + "".join(lines).encode())

    def open(self) -> list[Open]:
        """The tasks that nobody has decided, the most informative first."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            left, _ = _tasks(stripped_lines(file))
        return sorted(
            left.values(), key=lambda task: (*(-part for part in task.informative), task.id)
        )

    def close(self, identity: str, keep: Callable[[Open], None] | None = None) -> bool:
        """Delete a task's text, and remember that it was decided: it is not asked again.

        Nobody else adds or closes a task meanwhile.

        Args:
            identity: Of the task.
            keep: Called with the task before its text goes; if it raises, the task stays open.

        Returns:
            Whether the task was open.
        """
        found = False

        def changed(lines: Iterator[bytes]) -> Iterable[bytes]:
            nonlocal found
            every = list(lines)
            waiting, decided = _tasks(every)
            if task := waiting.pop(identity, None):
                found = True
                if keep is not None:
                    keep(task)
                decided.add(identity)
            yield from (ln for ln in every if (json_object(ln) or {}).get("id") in waiting)
            yield from (json.dumps({"id": known}).encode() for known in sorted(decided))

        rewrite(self._path, changed)
        return found


def _tasks(lines: Iterable[bytes]) -> tuple[dict[str, Open], set[str]]:
    """The tasks that wait, by id, each with its newest decision, and the ids of those decided."""
    asked: dict[str, Open] = {}
    decided = set()
    for line in filter(None, map(json_object, lines)):
        if "guess" not in line:
            decided.add(line["id"])
            continue
        if before := asked.get(line["id"]):
            line |= {"text": before.text, "at": before.at, "asked": before.asked + 1}
        asked[line["id"]] = Open(**line | {"masters": tuple(line["masters"])})
    return {name: task for name, task in asked.items() if name not in decided}, decided


def _opened(text: str, decision: Decision, at: str) -> Open:
    ranked = sorted(decision.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
    best = [share for _, share in ranked[:2]]
    elsewhere = [task["master"] != decision.master for task in decision.evidence]
    return Open(
        id=sha256(text.encode("utf-8", "replace")).hexdigest()[:10],
        text=text,
        at=at,
        guess=decision.master,
        masters=tuple(name for name, _ in ranked),
        version=decision.model_version,
        uncertainty=round(1 - (best[0] - best[1]), 4) if len(best) == 2 else 1.0,
        disagreement=round(sum(elsewhere) / len(elsewhere), 4) if elsewhere else 0.0,
    )
