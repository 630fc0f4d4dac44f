"""Append-only log of what editors and people report about answers."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.jsonl import line_start, open_for_append

FILE = "events.jsonl"


class EventLog:
    """The editors' events, a line of JSON each; no text of a prompt or an answer is among them but
    what people send as a correction.

    Args:
        folder: Where the file is kept.
        pseudonym: What a user is called there; None to leave users out.
    """

    def __init__(self, folder: Path, pseudonym: Callable[[str], str] | None = None) -> None:
        self._pseudonym = pseudonym
        self._path = folder / FILE
        self._lock = threading.Lock()

    def add(self, event: dict[str, Any], user: str = "") -> None:
        """Append an event; a line that a killed process left unfinished does not swallow it.

        Args:
            event: Its values; those that are None are left out.
            user: Whom it is of; empty for nobody in particular.
        """
        event = {name: value for name, value in event.items() if value is not None}
        if user and self._pseudonym is not None:
            event["unit"] = self._pseudonym(user)
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": timestamp, **event}, sort_keys=True) + "\n"
        with self._lock, open_for_append(self._path) as file:
            file.write(line_start(file) + line.encode("utf-8"))
