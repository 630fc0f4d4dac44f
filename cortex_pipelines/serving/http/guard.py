"""The door of the gateway: host names, keys, scopes and limits, before anything is read.

What is not named here needs ``admin``: a new route is closed until somebody decides on it.
"""

import ipaddress
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cortex_pipelines.serving.http.errors import error_response
from cortex_pipelines.serving.http.overview import LOOKED_AT
from cortex_pipelines.serving.security.access import Bucket, Caller, acting_for
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import ApiKeyError, KeyRing, KeysDamagedError
from cortex_pipelines.serving.security.oidc import Provider, ProviderError, TokenError
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.tracing import trace_id

_LOG = logging.getLogger("cortex_pipelines")

OPEN = frozenset({"/healthz", "/readyz"})
"""Answered to anybody: whether the process is alive, and whether it can take a request."""

_COMPLETE = (
    *("/v1/completions", "/v1/chat/completions", "/fim/completions", "/v1/fim/completions"),
    *("/infill", "/completion", "/completions", "/tokenize", "/detokenize", "/v1/embeddings"),
    *("/predict", "/playground"),
)
_READ = (
    *("/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/overview", "/load"),
    *("/v1/models", "/version", "/metrics", "/health", "/v1/health", "/props"),
    *("/v1beta/server_setting", "/lora-adapters", "/graphql"),
)
NEEDED: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_COMPLETE, frozenset({"complete"})),
    **dict.fromkeys(("/route", "/outcomes/predict", "/anomalies/score"), frozenset({"route"})),
    **dict.fromkeys(("/feedback", "/v1/events"), frozenset({"feedback"})),
    **dict.fromkeys(_READ, frozenset({"read"})),
    **dict.fromkeys(("/memory", "/memory/search", "/memory/forget"), frozenset({"memory"})),
    **dict.fromkeys(("/search", "/context"), frozenset({"data"})),
    "/audit": frozenset({"audit"}),
    # its tools do all of that, and name projects inside of what they are sent; those that show
    # lineage, code or memories look for their scopes themselves
    "/mcp": frozenset({"complete", "route", "read"}),
}
"""Path to the scopes that it needs."""

_BELOW = {"/v1/models/": frozenset({"read"}), "/page/": frozenset({"read"})}
_CLOSED = frozenset({"admin"})
_ANY_PROJECT = frozenset({"/mcp"})
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]]+)\.?(?::\d{1,5})?", re.IGNORECASE)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def needed(path: str) -> frozenset[str]:
    """The scopes that a path needs."""
    for prefix, scopes in _BELOW.items():
        if path.startswith(prefix):
            return scopes
    return NEEDED.get(path, _CLOSED)


def hosts_of(host: str, settings: ServingSettings) -> frozenset[str] | None:
    """Names under which the gateway may be asked; None for any.

    On loopback there are few, so that a page from elsewhere whose name was pointed at this machine
    (DNS rebinding) reaches nothing.
    """
    listed = frozenset(name.lower() for name in settings.hosts)
    if is_loopback(host):
        return _LOOPBACK | listed | {f"[{host.lower()}]" if ":" in host else host.lower()}
    return listed or None


@dataclass(frozen=True)
class AuthenticatedCaller:
    """Somebody at the door.

    Args:
        who: Who it is, as far as that is known.
        refusal: Why they are not let in; None if they are.
    """

    who: Caller = Caller()  # noqa: RUF009 - it is frozen
    refusal: JSONResponse | None = None


@dataclass
class Door:
    """Who is let in.

    Args:
        keys: The keys; as long as there is none, nobody needs one.
        settings: Limits by key.
        hosts: Names under which the gateway may be asked; None for any.
        audit: Where it is written down; None for nowhere.
        provider: Verifies tokens that are no keys; None where they are not accepted.
    """

    keys: KeyRing
    settings: ServingSettings
    hosts: frozenset[str] | None = None
    audit: AuditLog | None = None
    provider: Provider | None = None
    _closed: bool = False
    _buckets: dict[str, tuple[Bucket | None, Bucket | None]] = field(default_factory=dict)

    def enter(self, path: str, headers: Headers) -> AuthenticatedCaller:
        """Whoever may ask for a path, or why not."""
        if path in OPEN:
            return AuthenticatedCaller()
        if not self._knows(headers.getlist("host")):
            words = "this host name is not served here; serving.hosts in params.yaml lists others"
            return AuthenticatedCaller(refusal=error_response(words, 421, code="unknown_host"))
        try:
            known = self._caller(headers.get("authorization", ""))
        except ProviderError as error:
            return AuthenticatedCaller(
                refusal=error_response(str(error), 503, code="provider_unavailable")
            )
        except KeysDamagedError as error:
            _LOG.error("%s", error)
            words = "the API keys cannot be read"
            return AuthenticatedCaller(refusal=error_response(words, 503, code="keys_unreadable"))
        except ApiKeyError as error:
            of_token = isinstance(error, TokenError)
            refused = {"www-authenticate": 'Bearer error="invalid_token"' if of_token else "Bearer"}
            code = "invalid_token" if of_token else "invalid_api_key"
            answer = error_response(str(error), 401, code=code, headers=refused)
            return AuthenticatedCaller(Caller(error.name), answer)
        requests, tokens = self._limits(known.name)
        who = replace(known, tokens=tokens)
        if why := _forbidden(who, path):
            return AuthenticatedCaller(who, error_response(why, 403, code="insufficient_scope"))
        wait = max(bucket.wait() if bucket else 0.0 for bucket in (requests, tokens))
        if wait:
            after = {"retry-after": str(math.ceil(wait))}
            words = f"the limit of this minute is reached; try again in {math.ceil(wait)} s"
            answer = error_response(words, 429, code="rate_limit_exceeded", headers=after)
            return AuthenticatedCaller(who, answer)
        if requests:
            requests.spend(1)
        return AuthenticatedCaller(who)

    def _knows(self, given: list[str]) -> bool:
        if self.hosts is None:
            return True
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        return match is not None and match[1].lower().rstrip(".") in self.hosts

    def asks_provider(self, headers: Headers) -> bool:
        """Whether the provider's keys may have to be fetched, for which nobody else should wait."""
        return self.provider is not None and "." in headers.get("authorization", "")

    def _caller(self, authorization: str) -> Caller:
        """Whoever sends a request; anybody where neither keys nor tokens are needed."""
        # a gateway that has had keys stays closed when the last one is revoked
        self._closed = self._closed or any(key.revoked is None for key in self.keys.keys)
        if not self._closed and self.provider is None:
            return Caller()
        scheme, _, given = authorization.partition(" ")
        token = given.strip()
        if scheme.lower() != "bearer" or not token:
            words = "an API key" if self.provider is None else "an API key or a token"
            raise ApiKeyError(f"{words} is needed: send `Authorization: Bearer KEY`")
        if self.provider is not None and "." in token:  # no key has one, and each token two
            return self.provider.caller(token)
        key = self.keys.find(token)
        return Caller(key.name, key.allowed, key.projects, key.models)

    def _limits(self, name: str) -> tuple[Bucket | None, Bucket | None]:
        if name not in self._buckets:
            most = (self.settings.requests_per_minute, self.settings.tokens_per_minute)
            requests, tokens = (Bucket(each) if each else None for each in most)
            self._buckets[name] = requests, tokens
        return self._buckets[name]


def _forbidden(who: Caller, path: str) -> str:
    if who.limited and path in _ANY_PROJECT:
        return f"{who.name} is for single projects or models, and {path} is for all of them"
    return who.refusal(needed(path))


class Guard:
    """Lets in whom the door lets in, and has written down who asked before they are answered.

    Args:
        app: What answers them.
        door: Who is let in.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._fetching = CapacityLimiter(4)  # whoever waits here holds no thread that others need

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._door.asks_provider(headers):
            entry = await to_thread.run_sync(
                self._door.enter, scope["path"], headers, limiter=self._fetching
            )
        else:
            entry = self._door.enter(scope["path"], headers)
        unwritten = False

        async def noted(message: Message) -> None:
            nonlocal unwritten
            if message["type"] == "http.response.start":
                try:
                    self._note(scope, entry.who, message)
                except OSError as error:
                    unwritten = True
                    _LOG.error("the audit log cannot be written: %s", error)
                    words = "the audit log cannot be written, so nothing is answered"
                    await error_response(words, 503, code="audit_failed")(scope, receive, send)
            if not unwritten:
                await send(message)

        if entry.refusal is not None:
            await entry.refusal(scope, receive, noted)
            return
        with acting_for(entry.who):
            await self._app(scope, receive, noted)

    def _note(self, scope: Scope, who: Caller, start: Message) -> None:
        """Write down who asked, and what answered; no part of a path that a client made up."""
        path = scope["path"]
        if path not in NEEDED and path not in OPEN:
            path = next((prefix for prefix in _BELOW if path.startswith(prefix)), "none")
        route = getattr(scope.get("route"), "path", path)
        if self._door.audit is None or (route in LOOKED_AT and start["status"] < 400):
            return
        named = Headers(raw=start["headers"])
        entry = {
            "key": who.name,
            "method": scope["method"],
            "route": route,
            "model": named.get("x-cortex-model", ""),
            "version": named.get("x-cortex-version", ""),
            "status": start["status"],
        }
        if trace := trace_id():
            entry["trace"] = trace
        self._door.audit.add(entry)
