"""Middleware for body size, per-request options, metrics, traces and the request log."""

import json
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.http.answers import CACHE
from cortex_pipelines.serving.http.errors import error_response
from cortex_pipelines.serving.response_cache import cache_disabled
from cortex_pipelines.serving.rollout import answering_user
from cortex_pipelines.serving.telemetry import Metrics, trace_id

USER = "x-cortex-user"
"""Header with the user or session, which stays with one variant of a canary or experiment."""

LARGEST_BODY = 4 * 2**20


@dataclass
class BodyLimit:
    """Rejects bodies that are too large, with or without a content-length."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        messages: list[Message] = []
        size = int(length) if length.isdigit() else 0
        while size <= LARGEST_BODY:
            message = await receive()
            messages.append(message)
            if message["type"] != "http.request":
                break
            size = max(size, sum(len(message.get("body", b"")) for message in messages))
            if not message.get("more_body"):
                break
        if size > LARGEST_BODY:
            explanation = f"the body is larger than {LARGEST_BODY // 2**20} MiB; send less text"
            await error_response(explanation, 413, code="too_large")(scope, receive, send)
            return
        pending_messages = iter(messages)

        async def replay() -> Message:
            return next(pending_messages, None) or await receive()

        await self.app(scope, replay, send)


@dataclass
class RequestOptions:
    """Applies the request headers ``x-cortex-cache: no`` and ``x-cortex-user``."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        with ExitStack() as options:
            if headers.get(CACHE, "").lower() == "no":
                options.enter_context(cache_disabled())
            if user := headers.get(USER):
                options.enter_context(answering_user(user))
            await self.app(scope, receive, send)


REQUESTS = logging.getLogger("cortex_pipelines.requests")
"""Logger with one line of JSON per request."""
REQUESTS.setLevel(logging.WARNING)

NAMED = ("model", "way", "version", "release", "cache")
"""Logged response headers, without their prefix ``x-cortex-``."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_W3C = TraceContextTextMapPropagator()
_SENT = ("traceparent", "tracestate")


@dataclass
class RequestObserver:
    """Counts and logs each request, and creates its span (W3C); never records paths or bodies."""

    app: ASGIApp
    metrics: Metrics
    tracer: Tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
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

        with self.tracer.start_as_current_span(
            method, above, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                await self.app(scope, receive, send_observed)
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
                seconds = time.perf_counter() - began
                self.metrics.requests.labels(route, answer_facts["model"], answer_facts["way"], str(status)).inc()
                self.metrics.seconds.labels(route).observe(seconds)
                if REQUESTS.isEnabledFor(logging.INFO):
                    line = {
                        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        **{"method": method, "route": route, "status": status, "seconds": round(seconds, 6)},
                        **answer_facts,
                        "trace": trace_id(),
                    }
                    REQUESTS.info(json.dumps({name: value for name, value in line.items() if value != ""}))


def log_requests() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    REQUESTS.addHandler(handler)
    REQUESTS.setLevel(logging.INFO)
    REQUESTS.propagate = False
