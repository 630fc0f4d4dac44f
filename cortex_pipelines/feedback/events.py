"""Events about completions: the one form that is stored, and readers of the forms that others write.

Continue's development data: https://docs.continue.dev/customize/deep-dives/development-data, schema versions 0.1.0 and
0.2.0. Tabby's events: its API (``POST /v1/events``) and the lines of its own log (``{"ts", "event"}``).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.paths import repository_name, repository_path
from cortex_pipelines.settings import PROJECT_NAME, ProjectName
from cortex_pipelines.timestamps import TimestampError, read_timestamp

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


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:@+/-]*$", max_length=200)]  # {0,199} takes 6 MB of each field
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


Record = Mapping[str, Any]

_BY_TYPE = {
    "view": "shown",
    "select": "accepted",
    "dismiss": "dismissed",
    "typed": "typed_instead",
    "edited": "edited",
    "retained": "retained",
}
"""Kinds by the gateway's and Tabby's types of events; the last three are the gateway's own."""

_VERSIONS = ("0.1.0", "0.2.0")


def read_events(record: object, project: str | None, pseudonym: Callable[[str], str]) -> list[FeedbackEvent]:
    """The events that a record of any known form stands for; ``project`` is that of records that name none.

    Raises EventError: the record is of no known form.
    """
    if not isinstance(record, dict):
        raise EventError("is not a JSON object")
    events = []
    for fields in _fields(record):
        user = fields.pop("user", None)
        if isinstance(user, str) and user:
            fields["unit"] = pseudonym(user)
        if fields.get("project") is None:
            fields["project"] = project
        if isinstance(fields.get("path"), str):
            fields["path"] = repository_path(fields["path"], fields["project"])
        if fields.get("completion_id") is None and fields["kind"] == "corrected":
            # of a correction that names no completion: two people's, or two files', are two
            texts = _identity(fields.get("original"), fields.get("corrected"))
            owner = (fields.get(name) for name in ("project", "path", "unit"))
            fields["completion_id"] = f"correction-{_identity(texts, *owner)}"
        events.append(parse_event({name: value for name, value in fields.items() if value is not None}))
    return events


def _fields(record: Record) -> Iterator[dict[str, Any]]:
    if "at" in record and "type" in record:
        return _gateway(record)
    if "ts" in record and isinstance(record.get("event"), dict):
        return _tabby(record)
    if isinstance(record.get("data"), dict) and "name" in record:  # as Continue posts it
        return _continue({"eventName": record["name"], "schema": record.get("schema"), **record["data"]})
    if "completion_id" in record and "type" in record:
        return _gateway(record)
    if "completionId" in record or "sessionId" in record or "previousCode" in record:
        return _continue(record)
    if "corrected" in record:
        return _corrections(record)
    raise EventError(
        "is of no known form; expected the gateway's log (at, type), Tabby's (ts, event), "
        "Continue's development data (completionId), or a correction (original, corrected)"
    )


def _gateway(record: Record) -> Iterator[dict[str, Any]]:
    """Lines of the gateway's log; what ``/v1/events`` takes has no time stamp of its own."""
    kind, is_simulated = record["type"], record.get("simulated") is True
    common = {name: record.get(name) for name in ("completion_id", "at", "user", "unit")}
    common |= {"source": "simulation" if is_simulated else "gateway", "simulated": is_simulated or None}
    if kind == "feedback":
        if common["completion_id"] is None:
            raise EventError("is a vote on a routing decision; interactions are of completions")
        details = {name: record.get(name) for name in ("version", "project")}
        yield common | details | {"kind": "rated", "rating": record.get("vote")}
        if record.get("correction") is not None:
            corrected = {"corrected": record["correction"], "original": record.get("original")}
            yield common | details | corrected | {"kind": "corrected"}
    elif kind == "offered":
        names = ("project", "language", "task", "version", "arm", "propensity", "latency_ms")
        more = {name: record.get(name) for name in (*names, "characters", "path", "original")}
        yield common | more | {"kind": "offered"}
    else:
        yield common | _of_type(kind, record)


def _of_type(kind: Any, record: Record) -> dict[str, Any]:
    """What an event of Tabby's says, and its name of the choice."""
    if not isinstance(kind, str) or kind not in _BY_TYPE:
        raise EventError(f"type: expected one of {', '.join(_BY_TYPE)}")
    if kind == "retained":
        for name in ("after", "characters"):
            if record.get(name) is None:
                raise EventError(f"{name}: a number is needed with retained")
    partly = kind == "select" and "line" in (record.get("select_kind"), record.get("kind"))
    identity, choice = record.get("completion_id"), record.get("choice_index")
    return {
        "kind": "partly_accepted" if partly else _BY_TYPE[kind],
        "elapsed_ms": record.get("elapsed"),
        "characters": record.get("characters"),
        "after": record.get("after"),
        "completion_id": f"{identity}:{choice}" if choice else identity,
    }


def _tabby(record: Record) -> Iterator[dict[str, Any]]:
    ((kind, event),) = (*record["event"].items(), *((None, None),))[:1]
    if not isinstance(event, dict):
        raise EventError("event: expected one of view, select, dismiss, completion")
    common = {"source": "tabby", "at": _moment(record["ts"]), "user": event.get("user") or record.get("user")}
    if kind != "completion":
        yield common | _of_type(kind, event)
        return
    choices = event.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise EventError("event.completion.choices: expected a list of objects")
    for choice in choices:
        identity, index = event.get("completion_id"), choice.get("index")
        identified = {"completion_id": f"{identity}:{index}" if index else identity}
        more = {"kind": "offered", "language": event.get("language"), "task": "completion"}
        yield common | identified | more | _text(choice.get("text"))


def _continue(record: Record) -> Iterator[dict[str, Any]]:
    version = record.get("schema", _VERSIONS[0])
    if version not in _VERSIONS:
        raise EventError(f"schema: expected {' or '.join(_VERSIONS)}")
    file_path = record.get("filepath") or record.get("fileUri")
    repository = repository_name(str(record.get("gitRepo") or ""))
    project = repository if PROJECT_NAME.fullmatch(repository) else None
    path = repository_path(file_path, project) if isinstance(file_path, str) else None
    moment = record.get("timestamp", record.get("createdAt"))
    completion = _text(record.get("completion"))
    common = {
        "source": "continue",
        "at": _moment(moment),
        "user": record.get("userId"),
        "project": project,
        "path": path,
        "language": language_of(path, "") if path else None,
        **completion,
    }

    if "completionId" in record:
        common |= {"completion_id": record["completionId"], "task": "completion"}
        common["latency_ms"] = record.get("time")
        yield common | {"kind": "shown"}
        if "accepted" in record:
            yield common | {"kind": _acceptance(record["accepted"]), "elapsed_ms": record.get("elapsed")}
        return
    identity = _identity(record.get("sessionId"), moment, record.get("prompt"), completion["original"])
    common |= {"completion_id": identity}
    if "previousCode" in record:
        yield common | {"task": "edit", "kind": _acceptance(record.get("accepted"))}
        return
    vote = record.get("feedback")
    if not isinstance(vote, bool):
        raise EventError("holds neither a completion's id, nor an edit's code, nor a vote")
    yield common | {"task": "chat", "kind": "rated", "rating": "up" if vote else "down"}


def _acceptance(accepted: Any) -> str:
    if not isinstance(accepted, bool):
        raise EventError("accepted: expected true or false")
    return "accepted" if accepted else "dismissed"


def _corrections(record: Record) -> Iterator[dict[str, Any]]:
    if not isinstance(record["corrected"], str):
        raise EventError("corrected: expected a text")
    values = {name: value for name, value in record.items() if value not in (None, "")}
    names = ("completion_id", "project", "language", "task", "version", "user", "path", "original")
    yield {
        **{name: values.get(name) for name in names},
        "kind": "corrected",
        "source": "corrections",
        "at": _moment(values["at"]) if "at" in values else None,
        "corrected": record["corrected"],
    }


def _identity(*parts: Any) -> str:
    """Name of what has none: by its content, so that it is the same one each time."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32]


def _text(text: Any) -> dict[str, Any]:
    if text is not None and not isinstance(text, str):
        raise EventError(f"completion: expected a text, got {type(text).__name__}")
    original = text if text is not None and len(text) <= MOST_TEXT else None
    return {"original": original, "characters": None if text is None else len(text)}


def _moment(value: Any) -> str:
    try:
        return read_timestamp(value).at.isoformat()
    except TimestampError as error:
        raise EventError(f"time stamp: expected ISO 8601 or a time since 1970: {error}") from error
