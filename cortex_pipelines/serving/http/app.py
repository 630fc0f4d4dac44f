"""The gateway as a web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.completions import completions_router
from cortex_pipelines.serving.http.errors import add_error_handlers
from cortex_pipelines.serving.http.limits import BodyLimit, Counted
from cortex_pipelines.serving.http.llama_cpp import llama_router
from cortex_pipelines.serving.http.models import models_router
from cortex_pipelines.serving.http.tabby import tabby_router
from cortex_pipelines.serving.http.tasks import tasks_router

_DESCRIPTION = "Promoted models, with the version that answers named in every answer."


def create_app(gateway: Gateway) -> FastAPI:
    """The web application of a gateway, which it closes when it ends."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        gateway.close()

    app = FastAPI(
        title="cortex-pipelines",
        version=version("cortex-pipelines"),
        description=_DESCRIPTION,
        lifespan=life,
    )
    add_error_handlers(app)
    app.include_router(models_router(gateway))
    for make in (completions_router, llama_router, tabby_router, tasks_router):
        app.include_router(make(gateway))

    app.add_middleware(BodyLimit)
    app.add_middleware(Counted, metrics=gateway.metrics)
    return app
