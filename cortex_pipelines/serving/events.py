"""Append-only log of what editors and people report about answers."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.serving.lines import line_start

FILE = "events.jsonl"


class EventLog:
    """The editors' events, a line of JSON each; no text of a prompt or an answer is among them.

    Args:
        folder: Where the file is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()

    def add(self, event: dict[str, Any]) -> None:
        """Append an event; a line that a killed process left unfinished does not swallow it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **event}, sort_keys=True) + "\n"
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                file.write(line_start(file) + line.encode("utf-8"))
