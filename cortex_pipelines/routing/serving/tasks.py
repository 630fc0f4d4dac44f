"""Tasks to route from JSON lines, and the lines that answer them, with exploration."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.routing.serving.router import Decision, Router

TEXT_KEYS = ("task", "task_title", "title", "description", "text")
"""Keys that may hold a task's text, in order of precedence; the gateway's first."""


class TaskFileError(ValueError):
    """A task file is unreadable or holds no task."""


@dataclass(frozen=True)
class Task:
    """A task to route; ``raw_id`` is its id as JSON, as it stood there: ``7.0`` stays ``7.0``."""

    raw_id: str
    text: str | None
    error: str | None = None

    def line(self, answer: Mapping[str, Any]) -> str:
        return f'{{"task_id": {self.raw_id}, {_as_written(answer)[1:]}'


def _as_written(value: Any) -> str:
    """JSON without escapes, unless it cannot be written so: half a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def read_tasks(path: Path) -> list[Task]:
    """A task for each line of a file of JSON lines; one with an error for any other line.

    Raises ``TaskFileError``.
    """
    try:
        lines = path.read_bytes().rstrip().split(b"\n")
    except OSError as error:
        raise TaskFileError(f"{path}: tasks cannot be read: {error.strerror}") from error
    if lines == [b""]:
        return []
    return [_task(line.strip(b"\r"), number) for number, line in enumerate(lines, start=1)]


def find_rules(logs: Path) -> Path | None:
    """The keyword rules beside the logs, nearest to the top."""
    candidates = [(len(path.relative_to(logs).parts), path.as_posix()) for path in logs.rglob("routing-patterns.json")]
    return Path(min(candidates)[1]) if candidates else None


class _Number(float):
    """A number that keeps its spelling."""

    written: str

    def __new__(cls, spelling: str) -> "_Number":
        number = super().__new__(cls, spelling)
        number.written = spelling
        return number


def _reject_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _task(line: bytes, number: int) -> Task:
    try:
        value: Any = json.loads(
            line.decode("utf-8-sig"), parse_int=_Number, parse_float=_Number, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError) as error:
        return Task("null", None, f"line {number}: not JSON ({error}); one object a line is expected")
    if not isinstance(value, dict):
        kind = "number" if isinstance(value, _Number) else type(value).__name__
        return Task("null", None, f"line {number}: a {kind}; one JSON object is expected")
    task_id = value.get("task_id", value.get("id"))
    if isinstance(task_id, (dict, list)):
        return Task("null", None, f"line {number}: task_id is nested; a string or a number is expected")
    raw = task_id.written if isinstance(task_id, _Number) else _as_written(task_id)
    texts = [value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)]
    if not texts:
        return Task(raw, None, f"line {number}: no text; expected a string under {', '.join(TEXT_KEYS)}")
    return Task(raw, next((text for text in texts if text.strip()), texts[0]))


@dataclass(frozen=True)
class Routing:
    """``routed_to`` is None if a person decides; ``policy`` is ``greedy`` or ``explore:<share>``."""

    routed_to: str | None
    propensity: float | None
    policy: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def send(decision: Decision, explore: float, rng: random.Random) -> Routing:
    """Send a task to the best master, or to a random one for a share of the tasks.

    It is drawn evenly from the best master and the named alternatives. So no propensity is tiny, as it would be by
    probability, and hardly a task goes where it cannot belong; of what lies outside, the log says nothing, and an
    evaluation that needs it finds its weights too light. Tasks that are left to a person are not drawn for.
    """
    policy = f"explore:{explore:g}" if explore else "greedy"
    best = decision.master
    if decision.abstained or best is None:
        return Routing(None, None, policy)
    candidates = [best, *(name for name, _ in decision.alternatives)]
    sampled = rng.choice(candidates) if rng.random() < explore else best
    share = explore / len(candidates)
    return Routing(sampled, 1.0 - explore + share if sampled == best else share, policy)


_RANDOM = random.SystemRandom()  # system randomness, so that exploration is unpredictable


def route_lines(router: Router, tasks: Sequence[Task], explore: float = 0.0, rng: random.Random = _RANDOM) -> list[str]:
    """One JSON line per task, in order; an error object where a line holds no task.

    Put among the logs, the lines are read as decisions with their propensity.
    """
    texts = [task.text for task in tasks if task.text is not None]
    decisions = iter(router.route(texts))
    lines = []
    for task in tasks:
        if task.text is None:
            lines.append(task.line({"error": task.error}))
            continue
        decision = next(decisions)
        lines.append(task.line({**decision.as_json(), **send(decision, explore, rng).as_json()}))
    return lines
