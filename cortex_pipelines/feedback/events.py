"""An event about a completion, in the one form that is stored."""

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cortex_pipelines.settings import ProjectName

MOST_TEXT = 20_000
"""Characters of a completion or correction that is kept; as the gateway bounds a correction."""

HORIZONS = (30, 300, 3600)
"""Seconds after which editors look how much of a completion still stands."""

Kind = Literal[
    "offered",  # the gateway or a client wrote the completion
    "shown",
    "accepted",
    "partly_accepted",
    "typed_instead",
    "dismissed",
    "edited",
    "retained",
    "rated",
    "corrected",
]
Source = Literal["gateway", "tabby", "continue", "corrections", "git", "simulation"]


class EventError(ValueError):
    """A record is not a valid event about a completion; the message says why."""


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a surrogate pair, which UTF-8 cannot hold") from error
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside of the years 1 to 9999") from error


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:@+/-]{0,199}$")]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_encodable)]
Code = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_encodable)]
Characters = Annotated[int, Field(ge=0, le=10**9)]
Amount = Annotated[float, Field(ge=0, le=10**9)]


class FeedbackEvent(BaseModel):
    """One event.

    Equal events are one: what was sent, imported or copied twice counts once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    completion_id: Id
    kind: Kind
    source: Source
    simulated: bool = False
    at: Annotated[AwareDatetime, AfterValidator(_in_utc), Field(strict=False)] | None = None
    project: ProjectName | None = None
    language: Name | None = None
    task: Name | None = None
    version: Name | None = None
    arm: Name | None = None
    propensity: Annotated[float, Field(ge=0, le=1)] | None = None
    latency_ms: Amount | None = None
    unit: Name | None = None
    """Pseudonym of whom the completion was for."""
    path: Annotated[Name, Field(pattern=r"^[^\x00-\x1f]+$")] | None = None
    characters: Characters | None = None
    """Of the completion; of what was taken in all (partly accepted), or of what still stands."""
    after: Literal[30, 300, 3600] | None = None
    """Seconds after which that still stood (retained); None for the next commit."""
    elapsed_ms: Amount | None = None
    """From being shown to this event."""
    rating: Literal["up", "down"] | None = None
    original: Code | None = None
    corrected: Code | None = None

    @property
    def line(self) -> str:
        """The event as canonical JSON; equal events have equal lines."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))


def parse_event(record: object) -> FeedbackEvent:
    """A stored record as an event; EventError names the field that is not valid."""
    try:
        return FeedbackEvent.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "record"
        raise EventError(f"{field}: {first['msg']}") from error
