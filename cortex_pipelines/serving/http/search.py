"""``POST /search`` and ``POST /context``: the projects' code, as the tools for agents give it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, Short, TaskText
from cortex_pipelines.serving.security.access import caller
from cortex_pipelines.serving.services import ProjectServices, ServiceError

Budget = Annotated[int, Field(ge=200, le=100_000)]


class SearchForm(Form):
    """``POST /search``."""

    query: TaskText
    project: Short | None = None
    k: Annotated[int, Field(ge=1, le=100)] = 10


class ContextForm(Form):
    """``POST /context``."""

    task: TaskText
    project: Short | None = None
    tokens: Budget = 4_000


def search_router(services: ProjectServices) -> APIRouter:
    """Both routes; each answer names the versions of the files behind it."""
    router = APIRouter()

    @router.post("/search")
    async def search(form: SearchForm) -> Response:
        if services.search is None:
            raise ServiceError("there is no code to search; start `cortex serve` in a project")
        require_project(form.project)
        try:
            answer = await run_in_threadpool(services.search, form.query, form.project, form.k)
        except ValueError as error:
            raise RequestError(str(error), "query") from error
        return _json(answer)

    @router.post("/context")
    async def context(form: ContextForm) -> Response:
        require_project(form.project)
        return _json(
            await run_in_threadpool(packed, services, form.task, form.project, form.tokens)
        )

    return router


def packed(
    services: ProjectServices, task: str, project: str | None, tokens: int
) -> Mapping[str, Any]:
    """The packed context of a task.

    Raises:
        ServiceError: there is no code, or none of this project.
        RequestError: nothing can be packed for such a task.
    """
    if services.context is None:
        raise ServiceError("there is no code to show; start `cortex serve` in a project")
    try:
        return services.context(task, project, tokens)
    except ValueError as error:
        raise RequestError(str(error), "task") from error


def require_project(project: str | None) -> None:
    """Let nobody see the code of a project that is not theirs.

    Raises:
        RequestError: whoever asks may not.
    """
    who = caller()
    why = who.refusal(["data"])
    if not why and who.limited and project not in who.projects:
        theirs = ", ".join(who.projects) or "none"
        why = f"{who.name} may not read {project or 'all projects'}; projects: {theirs}"
    if why:
        raise RequestError(why, "project", 403, "insufficient_scope")


def _json(answer: Mapping[str, Any]) -> Response:
    # half a surrogate pair in a file cannot be written otherwise
    return Response(json.dumps(answer), media_type="application/json")
