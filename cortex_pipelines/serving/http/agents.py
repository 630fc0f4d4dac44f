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

    Every request stands alone, so that a client goes on after the gateway was started again. On
    loopback, requests under another host's name are refused (DNS rebinding).

    Args:
        gateway: What answers.
        services: What the project knows besides.
        host: Address that is listened on.
    """

    def __init__(self, gateway: Gateway, services: ProjectServices, host: str) -> None:
        self._server = agents_server(lambda: gateway, services)
        self._routes = self._server.streamable_http_app(
            streamable_http_path=PATH, stateless_http=True, json_response=True, host=host
        ).routes

    def add_to(self, app: FastAPI) -> None:
        """Answer at ``PATH``."""
        app.router.routes.extend(self._routes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Has to surround the application's life."""
        async with self._server.session_manager.run():
            yield
