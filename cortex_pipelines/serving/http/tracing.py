"""Around every request: its span, and its line in the log of requests."""

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
"""A line of JSON for each request, where somebody listens."""
REQUESTS.setLevel(logging.WARNING)

NAMED = ("model", "way", "version", "release", "cache")
"""What the headers of an answer say of it, after ``x-cortex-``."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_W3C = TraceContextTextMapPropagator()
_SENT = ("traceparent", "tracestate")


class Traced:
    """A span for each request, within the trace that it says it belongs to (W3C).

    Neither paths nor bodies are kept, only the route that answered.

    Args:
        app: What answers.
        tracer: Makes the spans.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        above = _W3C.extract({name: headers[name] for name in _SENT if name in headers})
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        began, status, named = time.perf_counter(), 500, Headers()

        async def noted(message: Message) -> None:
            nonlocal status, named
            if message["type"] == "http.response.start":
                status, named = message["status"], Headers(raw=message["headers"])
            await send(message)

        with self._tracer.start_as_current_span(
            method, above, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                await self._app(scope, receive, noted)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                given = {name: named.get(f"x-cortex-{name}", "") for name in NAMED}
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                        **{f"cortex.{name}": value for name, value in given.items() if value},
                    }
                )
                if status >= 500:
                    span.set_status(StatusCode.ERROR)
                if REQUESTS.isEnabledFor(logging.INFO):
                    seconds = round(time.perf_counter() - began, 6)
                    _write({"method": method, "route": route, "status": status}, seconds, given)


def log_requests() -> None:
    """Write the lines to the standard error, from now on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    REQUESTS.addHandler(handler)
    REQUESTS.setLevel(logging.INFO)
    REQUESTS.propagate = False


def _write(what: dict[str, Any], seconds: float, given: dict[str, str]) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": at, **what, "seconds": seconds, **given, "trace": trace_id()}
    REQUESTS.info(json.dumps({name: value for name, value in line.items() if value != ""}))
