"""``/mcp``: the tools for agents over HTTP (streamable)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from cortex_pipelines.serving.agents import agents_server
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.services import ProjectServices

PATH = "/mcp"


class AgentsEndpoint:
    """The tools of a gateway as a route of its web application.

    Requests are stateless, so clients survive a restart of the gateway. On loopback, requests for
    another host name are refused (DNS rebinding).

    Args:
        gateway: The gateway.
        services: The project's other services.
        host: Address to listen on.
    """

    def __init__(self, gateway: Gateway, services: ProjectServices, host: str) -> None:
        self._server = agents_server(lambda: gateway, services)
        self._routes = self._server.streamable_http_app(
            streamable_http_path=PATH, stateless_http=True, json_response=True, host=host
        ).routes

    def add_to(self, app: FastAPI) -> None:
        """Add the route ``PATH`` to an application."""
        app.router.routes.extend(self._routes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the session manager; must enclose the application's lifespan."""
        async with self._server.session_manager.run():
            yield
