"""Middleware for traces and the request log."""

import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.tracing import trace_id

REQUESTS = logging.getLogger("cortex_pipelines.requests")
"""Logger with one line of JSON per request."""
REQUESTS.setLevel(logging.WARNING)

NAMED = ("model", "way", "version", "release", "cache")
"""Logged response headers, without their prefix ``x-cortex-``."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_W3C = TraceContextTextMapPropagator()
_SENT = ("traceparent", "tracestate")


class TracingMiddleware:
    """Creates a span for each request, within the trace in its headers (W3C).

    Records neither paths nor bodies, only the route.

    Args:
        app: The wrapped application.
        tracer: Creates the spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        above = _W3C.extract({name: headers[name] for name in _SENT if name in headers})
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        began, status, response_headers = time.perf_counter(), 500, Headers()

        async def send_observed(message: Message) -> None:
            nonlocal status, response_headers
            if message["type"] == "http.response.start":
                status, response_headers = message["status"], Headers(raw=message["headers"])
            await send(message)

        with self._tracer.start_as_current_span(
            method, above, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                await self._app(scope, receive, send_observed)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                answer_facts = {name: response_headers.get(f"x-cortex-{name}", "") for name in NAMED}
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                        **{f"cortex.{name}": value for name, value in answer_facts.items() if value},
                    }
                )
                if status >= 500:
                    span.set_status(StatusCode.ERROR)
                if REQUESTS.isEnabledFor(logging.INFO):
                    seconds = round(time.perf_counter() - began, 6)
                    _write({"method": method, "route": route, "status": status}, seconds, answer_facts)


def log_requests() -> None:
    """Write the request log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    REQUESTS.addHandler(handler)
    REQUESTS.setLevel(logging.INFO)
    REQUESTS.propagate = False


def _write(fields: dict[str, Any], seconds: float, answer_facts: dict[str, str]) -> None:
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": timestamp, **fields, "seconds": seconds, **answer_facts, "trace": trace_id()}
    REQUESTS.info(json.dumps({name: value for name, value in line.items() if value != ""}))
