"""Records that other records enclose: spans of OpenTelemetry, turns in transcripts, lines that a collector stored."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_STATUS: Mapping[Any, str] = {0: "STATUS_CODE_UNSET", 1: "STATUS_CODE_OK", 2: "STATUS_CODE_ERROR"}
_NUMBERS = {"intValue": int, "doubleValue": float}
_CONTENTS = frozenset({"content", "parts"})
_USERS = frozenset(["user", "human"])
_MODELS = frozenset(["assistant", "ai", "model"])
_SPEAKERS = _USERS | _MODELS | {"system", "developer"}
_DEEPEST = 20
_LINES = frozenset(["message", "@message", "msg", "line", "log", "_raw", "textpayload", "body"])
"""Where collectors (Docker, journald, Loki, CloudWatch, Splunk) put a program's own line, in lower case."""
_PAIR = re.compile(r"""(?<!\S)([^\W\d][\w.-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?!\S)""")
_FEWEST_PAIRS = 3
"""Fewest ``key=value`` pairs that make a line a record: sentences of other logs quote one or two."""


def enclosed_records(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Spans or log records of an OTLP batch, lines of a Loki stream, calls of tools in a transcript, or the record.

    A line of a program that a collector stored as text is an object again. Of each conversation only the user's first
    message is left: the system's prompt often names the agent.

    Sources: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding,
    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/ and
    https://grafana.com/docs/loki/latest/reference/loki-http-api/.
    """
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(record.get("resourceSpans"), list):
        yield from map(_span, _signals(record, "resourceSpans", "scopeSpans", "spans"))
    elif isinstance(record.get("resourceLogs"), list):
        yield from map(_log_record, _signals(record, "resourceLogs", "scopeLogs", "logRecords"))
    elif isinstance(record.get("stream"), dict) and isinstance(record.get("values"), list):
        yield from _loki_lines(record["stream"], record["values"])
    elif turns := [part for part in _objects(content) if part.get("type") in ("tool_use", "tool_result")]:
        outer = {name: field for name, field in record.items() if not isinstance(field, dict | list)}
        for part in turns:
            if part["type"] == "tool_use":
                yield outer | part
            else:
                yield outer | {"id": part.get("tool_use_id"), "is_error": bool(part.get("is_error"))}
    else:
        yield _cut_conversations(record)


def _cut_conversations(value: Any, depth: int = 0) -> Any:
    """The value with each conversation in it, also as JSON in a text, cut to the user's first message.

    A message of a model loses its text, which is not a task.
    """
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        answer = _CONTENTS if str(value.get("role")).lower() in _MODELS else frozenset()
        fields = {name: field for name, field in value.items() if name not in answer}
        return {name: _cut_conversations(_line(name, field), depth + 1) for name, field in fields.items()}
    if isinstance(value, str):
        decoded = _decoded(value) if value.lstrip()[:1] in ("[", "{") and "content" in value else None
        messages = next(filter(is_conversation, decoded.values()), None) if isinstance(decoded, dict) else decoded
        return _request(messages) if is_conversation(messages) else value
    if not isinstance(value, list):
        return value
    if not is_conversation(value):
        return [_cut_conversations(element, depth + 1) for element in value]
    request, agent = _request(value), _answering(value)
    message = {"role": "user", "content": request} | ({"answered_by": agent} if agent else {})
    return [] if request is None else [message]


def _line(name: str, field: Any) -> Any:
    """The object or the pairs in a line that a collector stored as text; any other field as it is."""
    if not isinstance(field, str) or name.lower() not in _LINES:
        return field
    if not field.lstrip().startswith("{"):
        return field if _PAIR.sub("", field).strip() else key_value_pairs(field) or field
    decoded = _decoded(field)
    return decoded if isinstance(decoded, dict) else field


def key_value_pairs(line: str) -> dict[str, str]:
    """What a line in logfmt says, without the text between its pairs; nothing if it has too few of them."""
    pairs = {key: _decoded(value) if value[:1] == '"' else value for key, value in _PAIR.findall(line)}
    return {key: value for key, value in pairs.items() if value} if len(pairs) >= _FEWEST_PAIRS else {}


def _loki_lines(labels: Mapping[str, Any], values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """``values`` are pairs of nanoseconds since 1970 and a line, or have a third element, the line's own labels."""
    for nanoseconds, line, *extra in (value for value in values if isinstance(value, list) and len(value) > 1):
        line_labels = extra[0] if extra and isinstance(extra[0], dict) else {}
        line = _cut_conversations(_line("line", line))
        yield {"labels": {**labels, **line_labels}, "timestamp": _seconds(nanoseconds), "line": line}


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of messages, of which one says that a person or a model speaks."""
    return any(_speaker(message) in _SPEAKERS and _CONTENTS & message.keys() for message in _objects(value))


def _speaker(message: Mapping[str, Any]) -> str | None:
    """OpenAI's and OpenTelemetry's ``role``, AutoGen's ``source`` or LangChain's ``type``."""
    names = (message.get(name) for name in ("role", "source", "type"))
    return next((name.lower() for name in names if isinstance(name, str)), None)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (element for element in (value if isinstance(value, list) else ()) if isinstance(element, dict))


def _signals(batch: Mapping[str, Any], *names: str) -> Iterator[dict[str, Any]]:
    """The spans or log records of a batch, which has them by resource and scope."""
    outer, *inner = names
    for part in _objects(batch.get(outer)):
        yield from _signals(part, *inner) if inner else (part,)


def _log_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A log record with its attributes by name, and an object in its body as one."""
    return {
        "timestamp": _seconds(record.get("timeUnixNano") or record.get("observedTimeUnixNano")),
        "trace_id": record.get("traceId"),
        "body": _cut_conversations(_line("body", _plain(record.get("body")))),
        "attributes": _cut_conversations(_plain_attributes(record.get("attributes"))),
    }


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span with its attributes by name, start in seconds since 1970, duration in seconds, and its first request."""
    attributes = _plain_attributes(span.get("attributes"))
    start, end = (_seconds(span.get(name)) for name in ("startTimeUnixNano", "endTimeUnixNano"))
    status = span.get("status")
    code = status.get("code") if isinstance(status, dict) else None
    return {
        "span_id": span.get("spanId"),
        "trace_id": span.get("traceId"),
        "name": span.get("name"),
        "start_time": start,
        "duration_seconds": None if start is None or end is None else round(end - start, 6),
        "status_code": _STATUS.get(code, code) if isinstance(code, int | str) else None,
        "request": _first_request(attributes),
        "attributes": _cut_conversations(attributes),
    }


def _plain_attributes(pairs: Any, depth: int = 0) -> dict[str, Any]:
    return {str(pair.get("key")): _plain(pair.get("value"), depth) for pair in _objects(pairs)}


def _plain(value: Any, depth: int = 0) -> Any:
    """A value of OTLP; an integer is text there."""
    kind, field = next(iter(value.items()), ("", None)) if isinstance(value, dict) else ("", None)
    values = field.get("values") if isinstance(field, dict) and depth < _DEEPEST else None
    if kind == "kvlistValue":
        return _plain_attributes(values, depth + 1)
    if kind == "arrayValue":
        return [_plain(element, depth + 1) for element in _objects(values)]
    try:
        return _NUMBERS[kind](field) if kind in _NUMBERS else field
    except (TypeError, ValueError):
        return None


def _seconds(nanoseconds: Any) -> float | None:
    try:
        return int(nanoseconds) / 1e9
    except (TypeError, ValueError):
        return None


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _first_request(attributes: Mapping[str, Any]) -> str | None:
    messages = attributes.get("gen_ai.input.messages")
    return _request(_decoded(messages) if isinstance(messages, str) else messages)


def _request(messages: Any) -> str | None:
    """The text of the first message of the user."""
    requests = (message for message in _objects(messages) if _speaker(message) in _USERS)
    return next(
        filter(None, (_message_text(message.get("content") or message.get("parts")) for message in requests)), None
    )


def _answering(messages: Any) -> str | None:
    """The first agent that speaks by a name: AutoGen's ``source``, or the ``name`` of a model's message."""
    names = (
        message.get("source") or (message.get("name") if _speaker(message) in _MODELS else None)
        for message in _objects(messages)
    )
    return next((name for name in names if isinstance(name, str) and name.lower() not in _SPEAKERS), None)


def _message_text(content: Any) -> str | None:
    if isinstance(content, str):
        return content.strip() or None
    texts = (part.get("text") or part.get("content") for part in _objects(content))
    return "\n".join(text for text in texts if isinstance(text, str)).strip() or None
