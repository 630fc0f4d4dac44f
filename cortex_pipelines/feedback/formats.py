"""Records of the gateway, Tabby, Continue and corrections as events.

Continue's development data: https://docs.continue.dev/customize/deep-dives/development-data, schema
versions 0.1.0 and 0.2.0. Tabby's events: its API (``POST /v1/events``) and the lines of its own log
(``{"ts", "event"}``).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.feedback.events import MOST_TEXT, EventError, FeedbackEvent, parse_event
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.repository_paths import repository_name, repository_path
from cortex_pipelines.settings import PROJECT_NAME
from cortex_pipelines.timestamps import TimestampError, read_timestamp

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


@dataclass(frozen=True)
class EventReader:
    """Reads records of any known form; ``project`` is that of records that name none."""

    project: str | None
    pseudonym: Callable[[str], str]

    def read(self, record: object) -> list[FeedbackEvent]:
        """The events that a record stands for; EventError if it is of no known form."""
        if not isinstance(record, dict):
            raise EventError("is not a JSON object")
        return [parse_event(self._completed(fields)) for fields in _reader_for(record)(record)]

    def _completed(self, fields: dict[str, Any]) -> dict[str, Any]:
        user = fields.pop("user", None)
        if isinstance(user, str) and user:
            fields["unit"] = self.pseudonym(user)
        if fields.get("project") is None:
            fields["project"] = self.project
        if isinstance(fields.get("path"), str):
            fields["path"] = repository_path(fields["path"], fields["project"])
        if fields.get("completion_id") is None and fields["kind"] == "corrected":
            fields["completion_id"] = _correction_id(fields)
        return {name: value for name, value in fields.items() if value is not None}


def _reader_for(record: Record) -> Callable[[Record], Iterator[dict[str, Any]]]:
    if "at" in record and "type" in record:
        return _gateway
    if "ts" in record and isinstance(record.get("event"), dict):
        return _tabby
    if isinstance(record.get("data"), dict) and "name" in record:  # as Continue posts it
        data = {"eventName": record["name"], "schema": record.get("schema"), **record["data"]}
        return lambda _: _continue(data)
    if "completion_id" in record and "type" in record:
        return _gateway
    if "completionId" in record or "sessionId" in record or "previousCode" in record:
        return _continue
    if "corrected" in record:
        return _corrections
    raise EventError(
        "is of no known form; expected the gateway's log (at, type), Tabby's (ts, event), "
        "Continue's development data (completionId), or a correction (original, corrected)"
    )


def _gateway(record: Record) -> Iterator[dict[str, Any]]:
    """Lines of the gateway's log; what ``/v1/events`` takes has no time stamp of its own."""
    kind = record["type"]
    common = {
        "completion_id": record.get("completion_id"),
        "source": "simulation" if record.get("simulated") is True else "gateway",
        "simulated": record.get("simulated") is True or None,
        "at": record.get("at"),
        "user": record.get("user"),
        "unit": record.get("unit"),
    }
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
    fields = {
        "kind": "partly_accepted" if partly else _BY_TYPE[kind],
        "elapsed_ms": record.get("elapsed"),
        "characters": record.get("characters"),
        "after": record.get("after"),
    }
    choice = record.get("choice_index")
    identity = record.get("completion_id")
    return fields | {"completion_id": f"{identity}:{choice}" if choice else identity}


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
    project = _project(record.get("gitRepo"))
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
    names = ("project", "language", "task", "version", "user", "path", "original")
    yield {
        **{name: values.get(name) for name in names},
        "completion_id": values.get("completion_id"),
        "kind": "corrected",
        "source": "corrections",
        "at": _moment(values["at"]) if "at" in values else None,
        "corrected": record["corrected"],
    }


def _correction_id(fields: Mapping[str, Any]) -> str:
    """Name of a correction that names no completion: two people's, or two files', are two."""
    texts = _identity(fields.get("original"), fields.get("corrected"))
    return f"correction-{_identity(texts, *(fields.get(name) for name in ('project', 'path', 'unit')))}"


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


def _project(repository: Any) -> str | None:
    name = repository_name(str(repository or ""))
    return name if PROJECT_NAME.fullmatch(name) else None
