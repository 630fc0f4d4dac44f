"""Tasks that the router left to a person, until one has decided: lines that grow.

The text of a task stands there without private values, and goes once the task is decided.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving.lines import appending, line_start, lines_of, rewrite

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
        """Keep the tasks that the router left to a person."""
        left = [pair for pair in zip(texts, decisions, strict=True) if pair[1].abstained]
        if not left:
            return
        lines = [json.dumps(asdict(_opened(self._redact(t), d, at))) + "\n" for t, d in left]
        with appending(self._path) as file:
            if file.seek(0, 2) < LARGEST:
                file.write(line_start(file) + "".join(lines).encode())

    def open(self) -> list[Open]:
        """The tasks that nobody has decided, the most informative first."""
        asked: dict[str, Open] = {}
        decided = set()
        for line in self._lines():
            if "text" not in line:
                decided.add(line["id"])
                continue
            task = Open(**line | {"masters": tuple(line["masters"])})
            if before := asked.get(task.id):
                task = replace(task, at=before.at, asked=before.asked + 1)
            asked[task.id] = task
        left = [task for task in asked.values() if task.id not in decided]
        return sorted(left, key=lambda task: (*(-part for part in task.informative), task.id))

    def close(self, identity: str) -> None:
        """Delete a task's text, and remember that it was decided: it is not asked again."""

        def changed(lines: Iterator[bytes]) -> Iterable[bytes]:
            yield from (line for line in lines if (_value(line) or {}).get("id") != identity)
            yield json.dumps({"id": identity}).encode()

        rewrite(self._path, changed)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            yield from filter(None, map(_value, lines_of(file)))


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


def _value(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None  # a kill left half of it
    return value if isinstance(value, dict) else None
