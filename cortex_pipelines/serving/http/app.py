"""The gateway as a web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.agents import AgentsEndpoint
from cortex_pipelines.serving.http.audit import audit_router
from cortex_pipelines.serving.http.authentication import AuditMiddleware, Authenticator
from cortex_pipelines.serving.http.completions import completions_router
from cortex_pipelines.serving.http.embeddings import embeddings_router
from cortex_pipelines.serving.http.errors import add_error_handlers
from cortex_pipelines.serving.http.feedback import feedback_router
from cortex_pipelines.serving.http.graph import graph_router
from cortex_pipelines.serving.http.limits import BodyLimit, RequestCounter, RequestOptions
from cortex_pipelines.serving.http.llama_cpp import llama_router
from cortex_pipelines.serving.http.logs import logs_router
from cortex_pipelines.serving.http.memory import memory_router
from cortex_pipelines.serving.http.models import models_router
from cortex_pipelines.serving.http.overview import overview_router
from cortex_pipelines.serving.http.page import page_router
from cortex_pipelines.serving.http.playground import playground_router
from cortex_pipelines.serving.http.search import search_router
from cortex_pipelines.serving.http.tabby import tabby_router
from cortex_pipelines.serving.http.tasks import tasks_router
from cortex_pipelines.serving.http.tracing import TracingMiddleware
from cortex_pipelines.serving.services import NOTHING, ProjectServices

_DESCRIPTION = "Promoted models, with the version that answers named in every answer."


def create_app(
    gateway: Gateway,
    services: ProjectServices = NOTHING,
    host: str = "127.0.0.1",
    authenticator: Authenticator | None = None,
) -> FastAPI:
    """The web application of a gateway; closes the gateway on shutdown.

    Args:
        gateway: The gateway.
        services: The project's other services.
        host: Address to listen on.
        authenticator: Authenticates requests; None for no authentication, within one process.
    """
    agents = AgentsEndpoint(gateway, services, host)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with agents.running():
            yield
        gateway.close()

    app = FastAPI(
        title="cortex-pipelines", version=version("cortex-pipelines"), description=_DESCRIPTION, lifespan=life
    )
    add_error_handlers(app)
    # routes are matched in this order: the most frequent first
    app.include_router(tasks_router(gateway, services))
    app.include_router(completions_router(gateway, services))
    for make in (llama_router, tabby_router):
        app.include_router(make(gateway))
    app.include_router(models_router(gateway, services))
    app.include_router(embeddings_router(gateway, services))
    for make in (overview_router, playground_router):
        app.include_router(make(gateway))
    app.include_router(feedback_router(gateway, services))
    app.include_router(logs_router(services))
    app.include_router(memory_router(services))
    app.include_router(search_router(services))
    app.include_router(audit_router(gateway.state))
    app.include_router(graph_router(gateway, services))
    app.include_router(page_router())
    agents.add_to(app)

    app.add_middleware(BodyLimit)
    app.add_middleware(RequestOptions)
    if authenticator is not None:
        app.add_middleware(AuditMiddleware, authenticator=authenticator)
    if origins := gateway.settings.origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(RequestCounter, metrics=gateway.metrics)
    app.add_middleware(TracingMiddleware, tracer=gateway.tracer)
    return app
