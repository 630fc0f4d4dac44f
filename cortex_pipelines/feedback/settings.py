"""Settings of feedback: the ``feedback`` section of ``params.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.settings import PositiveInt, ProjectName, Row, Settings, Text


class FeedbackSettings(Settings):
    """What is kept of people's reactions to completions."""

    events: Text
    """Folder of imported events, absolute or relative to the project's root."""

    consent: Row[ProjectName]
    """Projects whose people agreed that their interactions are kept; without one, nothing is."""

    keep_days: PositiveInt
    """Retention time of events, in days; `cortex update` deletes whole months that are older."""


@dataclass(frozen=True)
class FeedbackSource:
    """Location of the stored events, and their pin by ``take_feedback_pin``."""

    settings: FeedbackSettings
    pin: Mapping[str, Any]
