"""The gateway's process: a free port, and an end without a lost answer."""

import socket
from pathlib import Path

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.guard import Door, hosts_of, is_loopback
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import ApiKeyError, KeyRing
from cortex_pipelines.serving.security.oidc import Provider
from cortex_pipelines.serving.services import NOTHING, ProjectServices
from cortex_pipelines.serving.tracing import tracer_of_environment

_DRAIN = 30
"""Seconds that answers under way have when the process is asked to end."""


class PortError(RuntimeError):
    """Nobody can listen there."""


def require_free(host: str, port: int) -> None:
    """Look before the model is loaded whether the port can be had.

    Raises:
        PortError: it cannot.
    """
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = places[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise PortError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}); "
            "name another by --host and --port"
        ) from error


def require_keys(keys: KeyRing, host: str, provider: bool = False) -> None:
    """Refuse to listen where others could ask while nobody needs a key.

    Args:
        keys: The keys.
        host: Address that is listened on.
        provider: Whether tokens of a provider are needed where there is no key.

    Raises:
        ApiKeyError: there is no valid key, and ``host`` is not of this machine alone.
    """
    if not is_loopback(host) and not provider and not keys.usable:
        raise ApiKeyError(
            f"{host} can be reached from elsewhere, and there is no API key: "
            "`cortex keys create NAME` makes one, --open lets everybody in"
        )


def run(
    gateway: Gateway,
    host: str,
    port: int,
    services: ProjectServices = NOTHING,
    tls: tuple[Path, Path] | None = None,
    requests: bool = False,
) -> None:
    """Serve until the process is asked to end; requests under way are finished first.

    Args:
        gateway: What answers.
        host: Address to listen on.
        port: Its port.
        services: What the project knows besides its models.
        tls: Files of certificate and private key, in PEM; None for HTTP.
        requests: Whether each request has a line in the log.

    Raises:
        TracingError: the environment asks for spans in a form that is not spoken here.
    """
    import uvicorn

    from cortex_pipelines.serving.http.app import create_app
    from cortex_pipelines.serving.http.tracing import log_requests

    settings = gateway.settings
    keys = KeyRing(gateway.state.parent / "keys")
    root = gateway.state.parents[1]
    provider = Provider(settings.oidc, root) if settings.oidc is not None else None
    door = Door(keys, settings, hosts_of(host, settings), AuditLog(gateway.state), provider)
    certificate, key = tls or (None, None)
    if requests:
        log_requests()
    with tracer_of_environment() as tracer:
        gateway.tracer = tracer
        uvicorn.run(
            create_app(gateway, services, host, door),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=_DRAIN,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
