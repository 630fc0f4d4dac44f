"""Pin the stored events, and read the pinned ones, by the mechanism of the coordination logs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.coordination.logs import CoordinationError, CoordinationSettings, read_logs, take_coordination_pin
from cortex_pipelines.feedback.events import EventError, FeedbackEvent, parse_event
from cortex_pipelines.feedback.settings import FeedbackSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.privacy.tombstones import is_forgotten_event
from cortex_pipelines.rowcache import RowCache


class FeedbackError(RuntimeError):
    """The stored events are missing or not as they were pinned; the message says what to do."""


@dataclass(frozen=True)
class FeedbackSource:
    """Location of the stored events and their pins.

    Args:
        settings: Where they are and whose may be read.
        pin: As ``take_feedback_pin`` made it.
    """

    settings: FeedbackSettings
    pin: Mapping[str, Any]


def events_folder(settings: FeedbackSettings, root: Path) -> Path:
    """Folder of the stored events; need not exist."""
    return root / Path(settings.events).expanduser()


def take_feedback_pin(settings: FeedbackSettings, root: Path, privacy: PrivacySettings) -> dict[str, Any]:
    """Pin every file of stored events by size and SHA-256; an empty list without events."""
    folder = events_folder(settings, root)
    return take_coordination_pin(folder, root, privacy) if folder.is_dir() else {"files": []}


def pinned_events(
    source: FeedbackSource, privacy: PrivacySettings, root: Path, cache: RowCache | None = None
) -> Iterator[FeedbackEvent]:
    """The pinned events that are not forgotten, each once, without private values.

    Raises:
        FeedbackError: nothing was pinned, a pinned part has changed, or a line is not an event.
    """
    if "files" not in source.pin:
        raise FeedbackError("feedback: nothing is pinned yet; run `cortex update`")
    if not source.pin["files"]:
        return
    folder = events_folder(source.settings, root)
    reading = CoordinationSettings(logs=source.settings.events, sample=False, aliases={}, test_rows=[], sources=())
    try:
        logs = read_logs(folder, source.pin, reading, privacy, cache)
    except CoordinationError as error:
        raise FeedbackError(str(error).replace("coordination log", "feedback log")) from error
    for name, offset, payload in logs.events.select("file", "byte_offset", "payload").iter_rows():
        try:
            event = parse_event(json.loads(payload))
        except EventError as error:
            raise FeedbackError(
                f"feedback log {name}: the record at byte {offset} is not an event ({error}); "
                "remove it, import its source again by `cortex feedback import`, then "
                "`cortex update`"
            ) from error
        if not is_forgotten_event(privacy, event.project, event.path, event.unit):
            yield event
