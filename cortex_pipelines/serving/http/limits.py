"""Middleware for body size, per-request options and request metrics."""

import time
from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.http.answers import CACHE
from cortex_pipelines.serving.http.errors import error_response
from cortex_pipelines.serving.metrics import Metrics
from cortex_pipelines.serving.response_cache import cache_disabled
from cortex_pipelines.serving.rollout import answering_user

USER = "x-cortex-user"
"""Header with the user or session, which stays with one variant of a canary or experiment."""

LARGEST_BODY = 4 * 2**20


class BodyLimit:
    """Rejects bodies that are too large, with or without a content-length.

    Args:
        app: The wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
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

        await self._app(scope, replay, send)


class RequestOptions:
    """Applies the request headers ``x-cortex-cache: no`` and ``x-cortex-user``.

    Args:
        app: The wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        with ExitStack() as options:
            if headers.get(CACHE, "").lower() == "no":
                options.enter_context(cache_disabled())
            if user := headers.get(USER):
                options.enter_context(answering_user(user))
            await self._app(scope, receive, send)


class RequestCounter:
    """Counts requests by route, model, way and status.

    Args:
        app: The wrapped application.
        metrics: The gateway's metrics.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, response_headers = 500, Headers()

        async def send_counted(message: Message) -> None:
            nonlocal status, response_headers
            if message["type"] == "http.response.start":
                status, response_headers = message["status"], Headers(raw=message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            model, way = (response_headers.get(f"x-cortex-{name}", "") for name in ("model", "way"))
            self._metrics.requests.labels(route, model, way, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
