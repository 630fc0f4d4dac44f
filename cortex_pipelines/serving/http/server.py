"""The gateway's process: a free port, and an end without a lost answer."""

import socket

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.services import NOTHING, ProjectServices

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


def run(gateway: Gateway, host: str, port: int, services: ProjectServices = NOTHING) -> None:
    """Serve until the process is asked to end; requests under way are finished first."""
    import uvicorn

    from cortex_pipelines.serving.http.app import create_app

    uvicorn.run(
        create_app(gateway, services, host),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=_DRAIN,
    )
