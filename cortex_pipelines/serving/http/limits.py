"""Around every request: how large its body may be, and that it is counted."""

import time
from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.http.answers import CACHE
from cortex_pipelines.serving.http.errors import error_response
from cortex_pipelines.serving.metrics import Metrics
from cortex_pipelines.serving.response_cache import answered_anew
from cortex_pipelines.serving.rollout import answering_user

USER = "x-cortex-user"
"""Names whom an answer is for, or their session, so that one variant answers all of it."""

LARGEST_BODY = 4 * 2**20


class BodyLimit:
    """Refuses a body that is too large, however its size is told.

    Args:
        app: What answers otherwise.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        taken: list[Message] = []
        size = int(length) if length.isdigit() else 0
        while size <= LARGEST_BODY:
            message = await receive()
            taken.append(message)
            if message["type"] != "http.request":
                break
            size = max(size, sum(len(message.get("body", b"")) for message in taken))
            if not message.get("more_body"):
                break
        if size > LARGEST_BODY:
            words = f"the body is larger than {LARGEST_BODY // 2**20} MiB; send less text"
            await error_response(words, 413, code="too_large")(scope, receive, send)
            return
        rest = iter(taken)

        async def again() -> Message:
            return next(rest, None) or await receive()

        await self._app(scope, again, send)


class Wishes:
    """What a request's headers ask for: ``x-cortex-cache: no``, and ``x-cortex-user``.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        with ExitStack() as wishes:
            if headers.get(CACHE, "").lower() == "no":
                wishes.enter_context(answered_anew())
            if user := headers.get(USER):
                wishes.enter_context(answering_user(user))
            await self._app(scope, receive, send)


class RequestCounter:
    """Counts requests by route, model, way and status.

    Args:
        app: What answers.
        metrics: What counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, named = 500, Headers()

        async def noted(message: Message) -> None:
            nonlocal status, named
            if message["type"] == "http.response.start":
                status, named = message["status"], Headers(raw=message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            model, way = (named.get(f"x-cortex-{name}", "") for name in ("model", "way"))
            self._metrics.requests.labels(route, model, way, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
