"""Tasks to route, as people and the agent system hand them over."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT_KEYS = ("task_title", "title", "description", "text")
"""Where a task's text may stand, first come first served; the logs use all but the last."""


class TaskFileError(ValueError):
    """A file of tasks cannot be understood; names file and line."""


@dataclass(frozen=True)
class Task:
    """A task to route.

    Args:
        task_id: Its id, if it has one.
        text: Title or description.
    """

    task_id: str | None
    text: str


def read_tasks(path: Path) -> list[Task]:
    """The tasks in a file of JSON lines, in order; empty lines are skipped.

    Raises:
        TaskFileError: the file cannot be read, or a line is no task; says which and what it takes.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise TaskFileError(f"{path}: tasks cannot be read: {error.strerror}") from error
    return [
        _task(line, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def find_rules(logs: Path, name: str = "routing-patterns.json") -> Path | None:
    """The keyword rules that stand beside the logs, nearest to the top; None if there are none."""
    found = [(len(path.relative_to(logs).parts), path.as_posix()) for path in logs.rglob(name)]
    return Path(min(found)[1]) if found else None


def _task(line: bytes, place: str) -> Task:
    try:
        value: Any = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TaskFileError(f"{place}: not JSON ({error}); one object a line is expected") from None
    if not isinstance(value, dict):
        raise TaskFileError(f"{place}: a {type(value).__name__}; one JSON object is expected")
    text = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
    if text is None:
        raise TaskFileError(f"{place}: no text; expected a string under {', '.join(TEXT_KEYS)}")
    task_id = value.get("task_id")
    return Task(None if task_id is None else str(task_id), text)
