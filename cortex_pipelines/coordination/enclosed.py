"""Records that other records enclose: spans in batches of OpenTelemetry, turns in transcripts of coding agents."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_STATUS: Mapping[Any, str] = {0: "STATUS_CODE_UNSET", 1: "STATUS_CODE_OK", 2: "STATUS_CODE_ERROR"}
_NUMBERS = {"intValue": int, "doubleValue": float}


def enclosed_records(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The spans of an OTLP batch, the calls of tools and their results in a transcript, or the record itself.

    Sources: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and
    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/.
    """
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(record.get("resourceSpans"), list):
        for resource in _objects(record["resourceSpans"]):
            for scope in _objects(resource.get("scopeSpans")):
                yield from map(_span, _objects(scope.get("spans")))
    elif turns := [part for part in _objects(content) if part.get("type") in ("tool_use", "tool_result")]:
        outer = {name: field for name, field in record.items() if not isinstance(field, dict | list)}
        for part in turns:
            if part["type"] == "tool_use":
                yield outer | part
            else:
                yield outer | {"id": part.get("tool_use_id"), "is_error": bool(part.get("is_error"))}
    else:
        yield record


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (element for element in (value if isinstance(value, list) else ()) if isinstance(element, dict))


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span with its attributes by name, start in seconds since 1970, duration in seconds, and its first request."""
    attributes = {str(pair.get("key")): _plain(pair.get("value")) for pair in _objects(span.get("attributes"))}
    start, end = (_seconds(span.get(name)) for name in ("startTimeUnixNano", "endTimeUnixNano"))
    status = span.get("status")
    code = status.get("code") if isinstance(status, dict) else None
    return {
        "span_id": span.get("spanId"),
        "name": span.get("name"),
        "start_time": start,
        "duration_seconds": None if start is None or end is None else round(end - start, 6),
        "status_code": _STATUS.get(code, code) if isinstance(code, int | str) else None,
        "request": _request(attributes.get("gen_ai.input.messages")),
        "attributes": attributes,
    }


def _plain(value: Any) -> Any:
    """A value of OTLP; an integer is text there."""
    kind, field = next(iter(value.items()), ("", None)) if isinstance(value, dict) else ("", None)
    try:
        return _NUMBERS[kind](field) if kind in _NUMBERS else field
    except (TypeError, ValueError):
        return None


def _seconds(nanoseconds: Any) -> float | None:
    try:
        return int(nanoseconds) / 1e9
    except (TypeError, ValueError):
        return None


def _request(messages: Any) -> str | None:
    """The text of the first message of the user."""
    try:
        decoded = json.loads(messages)
    except (TypeError, ValueError):
        return None
    for message in _objects(decoded):
        if message.get("role") == "user":
            texts = [str(part["content"]) for part in _objects(message.get("parts")) if part.get("content")]
            return "\n".join(texts) or None
    return None
