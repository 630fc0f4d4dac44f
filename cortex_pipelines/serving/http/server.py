"""The gateway's process: port check and graceful shutdown."""

import socket
from pathlib import Path

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import Authenticator, hosts_of, is_loopback
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import ApiKeyError, KeyRing
from cortex_pipelines.serving.security.oidc import Provider
from cortex_pipelines.serving.services import NOTHING, ProjectServices
from cortex_pipelines.serving.tracing import tracer_of_environment

_DRAIN = 30
"""Seconds for running requests to finish at shutdown."""


class PortError(RuntimeError):
    """The port cannot be listened on."""


def require_free(host: str, port: int) -> None:
    """Check that the port is free, before the model is loaded.

    Raises:
        PortError: it is not.
    """
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
    """Refuse to listen on a public address without authentication.

    Args:
        keys: API keys.
        host: Address to listen on.
        provider: Whether tokens of an OpenID provider are required.

    Raises:
        ApiKeyError: ``host`` is not loopback, and no key is valid.
    """
    if not is_loopback(host) and not provider and not keys.usable:
        raise ApiKeyError(
            f"{host} can be reached from other machines, and no API key is valid: "
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
    """Serve until the process is terminated; running requests are finished first.

    Args:
        gateway: The gateway.
        host: Address to listen on.
        port: Port to listen on.
        services: The project's other services.
        tls: Certificate and private key files (PEM); None for HTTP.
        requests: Whether to log each request.

    Raises:
        TracingError: the environment sets an unsupported trace protocol.
    """
    import uvicorn

    from cortex_pipelines.serving.http.app import create_app
    from cortex_pipelines.serving.http.tracing import log_requests

    settings = gateway.settings
    keys = KeyRing(gateway.state.parent / "keys")
    root = gateway.state.parents[1]
    provider = Provider(settings.oidc, root) if settings.oidc is not None else None
    authenticator = Authenticator(keys, settings, hosts_of(host, settings), AuditLog(gateway.state), provider)
    certificate, key = tls or (None, None)
    if requests:
        log_requests()
    with tracer_of_environment() as tracer:
        gateway.tracer = tracer
        uvicorn.run(
            create_app(gateway, services, host, authenticator),
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=_DRAIN,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
