"""Host names, keys, scopes and rate limits, checked before a body is read; unlisted routes require ``admin``."""

import asyncio
import ipaddress
import json
import logging
import math
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi.responses import JSONResponse
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.deadlines import DEADLINE, answering_within, requested_seconds
from cortex_pipelines.serving.http.answers import CACHE
from cortex_pipelines.serving.http.errors import error_response, is_routed
from cortex_pipelines.serving.http.page import LOOKED_AT
from cortex_pipelines.serving.response_cache import cache_disabled
from cortex_pipelines.serving.rollout import answering_user
from cortex_pipelines.serving.security.access import Principal, TokenBucket, acting_as
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import ApiKeyError, KeyRing, KeysDamagedError
from cortex_pipelines.serving.security.oidc import Provider, ProviderError, TokenError
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.telemetry import Metrics, trace_id

_LOG = logging.getLogger("cortex_pipelines")

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes without authentication: liveness and readiness."""

_COMPLETE = (
    *("/v1/completions", "/v1/chat/completions", "/fim/completions", "/v1/fim/completions"),
    *("/infill", "/completion", "/tokenize", "/v1/embeddings"),
    *("/predict", "/playground"),
)
_READ = (
    *("/", "/docs", "/openapi.json", "/overview", "/load", "/report"),
    *("/v1/models", "/metrics", "/health", "/v1/health", "/props", "/leaderboard"),
    *("/v1beta/server_setting", "/graphql"),
)
ROUTE_SCOPES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_COMPLETE, frozenset({"complete"})),
    **dict.fromkeys(("/route", "/outcomes/predict", "/anomalies/score"), frozenset({"route"})),
    **dict.fromkeys(("/feedback", "/v1/events"), frozenset({"feedback"})),
    **dict.fromkeys(_READ, frozenset({"read"})),
    **dict.fromkeys(("/memory", "/memory/search", "/memory/forget"), frozenset({"memory"})),
    **dict.fromkeys(("/search", "/context", "/relations"), frozenset({"data"})),
    "/audit": frozenset({"audit"}),
    # its tools cover these scopes and take projects as arguments; tools that return lineage, code
    # or memories check their own scopes
    "/mcp": frozenset({"complete", "route", "read"}),
}
"""Path to required scopes."""

_BELOW = {"/v1/models/": frozenset({"read"}), "/page/": frozenset({"read"})}
_CLOSED = frozenset({"admin"})
_ANY_PROJECT = frozenset({"/mcp", "/report", "/metrics"})
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]]+)\.?(?::\d{1,5})?", re.IGNORECASE)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def scopes_for(path: str) -> frozenset[str]:
    for prefix, scopes in _BELOW.items():
        if path.startswith(prefix):
            return scopes
    return ROUTE_SCOPES.get(path, _CLOSED)


def host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def hosts_of(host: str, settings: ServingSettings) -> frozenset[str] | None:
    """Accepted host names, None for any; few on loopback, against DNS rebinding."""
    configured_hosts = frozenset(name.lower() for name in settings.hosts)
    if is_loopback(host):
        return _LOOPBACK | configured_hosts | {host_in_url(host.lower())}
    return configured_hosts or None


@dataclass
class Authenticator:
    """Checks keys, scopes and rate limits; off without any key. ``hosts`` are accepted names; None for any."""

    keys: KeyRing
    settings: ServingSettings
    hosts: frozenset[str] | None = None
    audit: AuditLog | None = None
    provider: Provider | None = None
    _closed: bool = False
    _buckets: dict[str, tuple[TokenBucket | None, TokenBucket | None]] = field(default_factory=dict)

    def authenticate(self, scope: Scope, headers: Headers) -> tuple[Principal, JSONResponse | None]:
        """The caller, if known, and an error response unless the request is admitted."""
        path = scope["path"]
        if path in OPEN:
            return Principal(), None
        hosts = [_HOST.fullmatch(host) for host in headers.getlist("host")]
        names = {match[1].lower().rstrip(".") for match in hosts if match}
        if self.hosts is not None and not (len(hosts) == 1 and names and names <= self.hosts):
            message = "this host name is not served here; serving.hosts in params.yaml lists others"
            return Principal(), error_response(message, 421, code="unknown_host")
        try:
            principal = self._principal(headers.get("authorization", ""))
        except ProviderError as error:
            return Principal(), error_response(str(error), 503, code="provider_unavailable")
        except KeysDamagedError as error:
            _LOG.error("%s", error)
            message = "the API keys cannot be read"
            return Principal(), error_response(message, 503, code="keys_unreadable")
        except ApiKeyError as error:
            of_token = isinstance(error, TokenError)
            refused = {"www-authenticate": 'Bearer error="invalid_token"' if of_token else "Bearer"}
            code = "invalid_token" if of_token else "invalid_api_key"
            answer = error_response(str(error), 401, code=code, headers=refused)
            return Principal(error.name), answer
        if principal.name not in self._buckets:
            limits = (self.settings.requests_per_minute, self.settings.tokens_per_minute)
            requests, tokens = (TokenBucket(each) if each else None for each in limits)
            self._buckets[principal.name] = requests, tokens
        requests, tokens = self._buckets[principal.name]
        metered = replace(principal, tokens=tokens)
        reason = principal.refusal(scopes_for(path))
        if reason and not is_routed(scope):
            reason = ""  # whoever has a key is told that nothing is there
        if principal.limited and path in _ANY_PROJECT:
            reason = f"{principal.name} is for single projects or models, and {path} is for all of them"
        if reason:
            return metered, error_response(reason, 403, code="insufficient_scope")
        wait = max(bucket.wait() if bucket else 0.0 for bucket in (requests, tokens))
        if wait:
            after = {"retry-after": str(math.ceil(wait))}
            message = f"the limit of this minute is reached; try again in {math.ceil(wait)} s"
            answer = error_response(message, 429, code="rate_limit_exceeded", headers=after)
            return metered, answer
        if requests:
            requests.spend(1)
        return metered, None

    def _principal(self, authorization: str) -> Principal:
        # once there were keys, revoking the last one must not open the gateway
        self._closed = self._closed or any(key.revoked is None for key in self.keys.keys)
        if not self._closed and self.provider is None:
            return Principal()
        scheme, _, credentials = authorization.partition(" ")
        token = credentials.strip()
        if scheme.lower() != "bearer" or not token:
            credential_kinds = "an API key" if self.provider is None else "an API key or a token"
            raise ApiKeyError(f"{credential_kinds} is needed: send `Authorization: Bearer KEY`")
        if self.provider is not None and "." in token:  # API keys have no dot, tokens have two
            return self.provider.caller(token)
        key = self.keys.find(token)
        return Principal(key.name, key.allowed, key.projects, key.models)


@dataclass
class AuditMiddleware:
    """Authenticate each request and record it in the audit log before answering."""

    app: ASGIApp
    authenticator: Authenticator
    fetching: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))
    """Waiting requests must not occupy threads that others need."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        authenticate = partial(self.authenticator.authenticate, scope, headers)
        if self.authenticator.provider is not None and "." in headers.get("authorization", ""):
            # the provider's keys may have to be fetched; other requests must not wait
            principal, refusal = await to_thread.run_sync(authenticate, limiter=self.fetching)
        else:
            principal, refusal = authenticate()
        audit_failed = False

        async def send_recorded(message: Message) -> None:
            nonlocal audit_failed
            if message["type"] == "http.response.start":
                try:
                    self._record(scope, principal, message)
                except OSError as error:
                    audit_failed = True
                    _LOG.error("the audit log cannot be written: %s", error)
                    explanation = "the audit log cannot be written, so nothing is answered"
                    await error_response(explanation, 503, code="audit_failed")(scope, receive, send)
            if not audit_failed:
                await send(message)

        if refusal is not None:
            await refusal(scope, receive, send_recorded)
            return
        with acting_as(principal):
            await self.app(scope, receive, send_recorded)

    def _record(self, scope: Scope, principal: Principal, start: Message) -> None:
        """Append to the audit log; never contains a path invented by the client."""
        path = scope["path"]
        if path not in ROUTE_SCOPES and path not in OPEN:
            path = next((prefix for prefix in _BELOW if path.startswith(prefix)), "none")
        route = getattr(scope.get("route"), "path", path)
        if self.authenticator.audit is None or (route in LOOKED_AT and start["status"] < 400):
            return
        response_headers = Headers(raw=start["headers"])
        entry = {
            "key": principal.name,
            "method": scope["method"],
            "route": route,
            "model": response_headers.get("x-cortex-model", ""),
            "version": response_headers.get("x-cortex-version", ""),
            "status": start["status"],
        }
        if trace := trace_id():
            entry["trace"] = trace
        self.authenticator.audit.add(entry)


USER = "x-cortex-user"
"""Header with the user or session, which stays with one variant of a canary or experiment."""

LARGEST_BODY = 4 * 2**20
LONGEST_SENDING = 60.0
"""Seconds in which a request's head has to arrive, and then its body."""


@dataclass
class RequestReader:
    """Rejects too large and late bodies; applies the headers ``x-cortex-cache: no``, ``-deadline`` and ``-user``."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        messages: list[Message] = []
        size, received = int(length) if length.isdecimal() else 0, 0
        try:
            async with asyncio.timeout(LONGEST_SENDING):
                while max(size, received) <= LARGEST_BODY:
                    message = await receive()
                    messages.append(message)
                    received += len(message.get("body", b""))
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            explanation = f"the body did not arrive within {LONGEST_SENDING:.0f} seconds"
            closing = {"connection": "close"}
            await error_response(explanation, 408, code="timeout", headers=closing)(scope, receive, send)
            return
        if max(size, received) > LARGEST_BODY:
            explanation = f"the body is larger than {LARGEST_BODY // 2**20} MiB; send less text"
            await error_response(explanation, 413, code="too_large")(scope, receive, send)
            return
        pending_messages = iter(messages)

        async def replay() -> Message:
            return next(pending_messages, None) or await receive()

        with ExitStack() as options:
            if headers.get(CACHE, "").lower() == "no":
                options.enter_context(cache_disabled())
            if header := headers.get(DEADLINE):
                try:
                    options.enter_context(answering_within(requested_seconds(header)))
                except ValueError as error:
                    await error_response(str(error), 400, DEADLINE, "invalid_value")(scope, receive, send)
                    return
            if user := headers.get(USER):
                options.enter_context(answering_user(user))
            await self.app(scope, replay, send)


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
        if method == "HEAD":  # RFC 9110: as GET; the server sends no body
            scope = {**scope, "method": "GET"}
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
