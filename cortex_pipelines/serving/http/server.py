"""The gateway as a web application and as a process: routes, ``/mcp``, port check, shutdown."""

import asyncio
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from mcp.server.transport_security import TransportSecuritySettings

from cortex_pipelines.serving.agents import agents_server
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http import authentication
from cortex_pipelines.serving.http.answers import CUT_OFF, DRAIN
from cortex_pipelines.serving.http.authentication import (
    AuditMiddleware,
    Authenticator,
    RequestObserver,
    RequestReader,
    hosts_of,
    is_loopback,
    log_requests,
)
from cortex_pipelines.serving.http.completions import completions_router
from cortex_pipelines.serving.http.editors import editors_router
from cortex_pipelines.serving.http.errors import add_error_handlers
from cortex_pipelines.serving.http.graph import graph_router
from cortex_pipelines.serving.http.interface import interface_page
from cortex_pipelines.serving.http.models import models_router
from cortex_pipelines.serving.http.page import PAGE_HEADERS, page_router
from cortex_pipelines.serving.http.project_routes import feedback_router, services_router
from cortex_pipelines.serving.http.tasks import tasks_router
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import ApiKeyError, KeyRing
from cortex_pipelines.serving.security.oidc import Provider
from cortex_pipelines.serving.services import NOTHING, ProjectServices, telling
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.serving.telemetry import tracer_of_environment

if TYPE_CHECKING:
    import uvicorn

PATH = "/mcp"


_DESCRIPTION = "Promoted models, with the version that answers named in every answer."


def create_app(
    gateway: Gateway,
    services: ProjectServices = NOTHING,
    host: str = "127.0.0.1",
    authenticator: Authenticator | None = None,
) -> FastAPI:
    """The web application of a gateway, which it closes on shutdown; without ``authenticator`` it is open."""
    services = telling(services, gateway.load_ahead)
    agents = agents_server(lambda: gateway, services)
    # stateless, so that clients survive a restart; on loopback other host names are refused (DNS rebinding)
    agent_routes = agents.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        transport_security=_agent_security(host, gateway.settings),
        host=host,
    ).routes

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with agents.session_manager.run():
            yield
        gateway.close()

    app = FastAPI(
        title="cortex-pipelines",
        version=version("cortex-pipelines"),
        description=_DESCRIPTION,
        lifespan=life,
        docs_url=None,  # Swagger's pages run scripts of another server
        redoc_url=None,
    )
    add_error_handlers(app)
    # routes are matched in this order: the most frequent first
    for router in (
        tasks_router(gateway, services),
        completions_router(gateway, services),
        editors_router(gateway),
        models_router(gateway, services),
        feedback_router(gateway, services),
        services_router(services),
        graph_router(gateway, services),
        page_router(gateway, services),
    ):
        app.include_router(router)
    app.router.routes.extend(agent_routes)

    @app.get("/docs", include_in_schema=False)
    def interface() -> Response:
        return HTMLResponse(interface_page(app.openapi()), headers=PAGE_HEADERS)

    app.add_middleware(RequestReader)
    if authenticator is not None:
        app.add_middleware(AuditMiddleware, authenticator=authenticator)
    if origins := gateway.settings.origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(RequestObserver, metrics=gateway.metrics, tracer=gateway.tracer)
    return app


def _agent_security(host: str, settings: ServingSettings) -> TransportSecuritySettings | None:
    """Host names and origins from which agents are served, on loopback; None elsewhere, where all are."""
    if not is_loopback(host):
        return None
    names = sorted(hosts_of(host, settings) or ())
    schemes = ("http", "https") if settings.hosts else ("http",)  # of a proxy that speaks for this machine
    origins = [f"{scheme}://{name}" for scheme in schemes for name in names]
    return TransportSecuritySettings(
        allowed_hosts=_on_any_port(names), allowed_origins=[*_on_any_port(origins), *settings.origins]
    )


def _on_any_port(addresses: list[str]) -> list[str]:
    return [*addresses, *(f"{address}:*" for address in addresses)]


class PortError(RuntimeError):
    pass


class CertificateError(RuntimeError):
    pass


def require_certificate(certificate: Path, key: Path) -> None:
    """Check that a certificate and its key (PEM) can be used, before the model is loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:  # which an ssl.SSLError is too
        if error.filename:
            reason = str(error)
        elif isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            reason = f"{key} is not the key of {certificate}"
        elif b"ENCRYPTED" in key.read_bytes():
            reason = f"{key} has a passphrase; `openssl pkey -in {key} -out FILE` writes it without"
        else:
            reason = f"{certificate} or {key} holds no certificate or key in PEM"
        raise CertificateError(f"HTTPS is not possible: {reason}") from error


def require_free(host: str, port: int) -> None:
    """Check that the port is free, before the model is loaded."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = addresses[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise PortError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}); name another by --host and --port"
        ) from error


def require_keys(keys: KeyRing, host: str, provider: bool = False) -> None:
    """ApiKeyError for a public address without authentication."""
    if not is_loopback(host) and not provider and not keys.usable:
        raise ApiKeyError(
            f"{host} can be reached from other machines, and no API key is valid: "
            "`cortex keys create NAME` makes one, --open lets everybody in"
        )


def impatient_protocol() -> type[asyncio.Protocol]:
    """uvicorn's protocol, which alone would wait for the rest of a request's head for ever."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol

    class Impatient(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._await_request()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._waiting.cancel()
            self._await_request()

        def connection_lost(self, exc: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(exc)

        def _await_request(self) -> None:
            self._waiting = self.loop.call_later(authentication.LONGEST_SENDING, self._end_unless_answering)

        def _end_unless_answering(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.timeout_keep_alive_handler()

    return Impatient


def draining_server(config: "uvicorn.Config", end_answers: Callable[[], None]) -> "uvicorn.Server":
    """uvicorn's server, which alone would cut off without a word the answers that are not finished in time.

    Asked once more, it does not wait for them; asked a third time, it ends as uvicorn does.
    """
    import uvicorn

    class Draining(uvicorn.Server):
        requests = 0  # to end

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.requests += 1
            unfinished = len(self.server_state.tasks)
            if self.requests == 1 and unfinished:
                print(f"finishing {unfinished} requests, for {DRAIN} s at most; Ctrl-C ends them now", file=sys.stderr)
            if self.requests == 2:
                Thread(target=end_answers, daemon=True).start()
            else:
                super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            loop = asyncio.get_running_loop()
            ending = loop.call_later(DRAIN, loop.run_in_executor, None, end_answers)
            await super().shutdown(sockets)
            ending.cancel()

    return Draining(config)


def run(
    gateway: Gateway,
    host: str,
    port: int,
    services: ProjectServices = NOTHING,
    tls: tuple[Path, Path] | None = None,
    requests: bool = False,
) -> None:
    """Serve until the process is terminated; running requests are finished. ``tls``: certificate and key (PEM)."""
    import uvicorn

    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each connection is one
    settings = gateway.settings
    keys = KeyRing(gateway.state.parent / "keys")
    root = gateway.state.parents[1]
    provider = Provider(settings.oidc, root) if settings.oidc is not None else None
    authenticator = Authenticator(keys, settings, hosts_of(host, settings), AuditLog(gateway.state), provider)
    certificate, key = tls or (None, None)
    if requests:
        log_requests()
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # of a terminal that is closed; nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tracer_of_environment() as tracer:
        gateway.tracer = tracer
        config = uvicorn.Config(
            create_app(gateway, services, host, authenticator),
            host=host,
            port=port,
            http=impatient_protocol(),
            log_level="warning",
            timeout_graceful_shutdown=CUT_OFF,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        server = draining_server(config, gateway.engine.close)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(1)
