"""``POST /search`` and ``POST /context``: search in the projects' code."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, ShortText, TaskText
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices, ServiceError

Budget = Annotated[int, Field(ge=200, le=100_000)]


class SearchForm(Form):
    """``POST /search``."""

    query: TaskText
    project: ShortText | None = None
    k: Annotated[int, Field(ge=1, le=100)] = 10


class ContextForm(Form):
    """``POST /context``."""

    task: TaskText
    project: ShortText | None = None
    tokens: Budget = 4_000


def search_router(services: ProjectServices) -> APIRouter:
    """Both routes; each answer names the versions of the files behind it."""
    router = APIRouter()

    @router.post("/search")
    async def search(form: SearchForm) -> Response:
        if services.search is None:
            raise ServiceError("no code to search; start `cortex serve` in a project")
        require_project(form.project)
        try:
            answer = await run_in_threadpool(services.search, form.query, form.project, form.k)
        except ValueError as error:
            raise RequestError(str(error), "query") from error
        return _json(answer)

    @router.post("/context")
    async def context(form: ContextForm) -> Response:
        require_project(form.project)
        return _json(await run_in_threadpool(pack_context, services, form.task, form.project, form.tokens))

    return router


def pack_context(services: ProjectServices, task: str, project: str | None, tokens: int) -> Mapping[str, Any]:
    """The packed context of a task.

    Raises:
        ServiceError: no code is available for this project.
        RequestError: the task cannot be searched for.
    """
    if services.context is None:
        raise ServiceError("no code to show; start `cortex serve` in a project")
    try:
        return services.context(task, project, tokens)
    except ValueError as error:
        raise RequestError(str(error), "task") from error


def require_project(project: str | None) -> None:
    """Check that the caller may read a project's code.

    Raises:
        RequestError: the caller may not.
    """
    principal = current_principal()
    refusal = principal.refusal(["data"])
    if not refusal and principal.limited and project not in principal.projects:
        allowed_projects = ", ".join(principal.projects) or "none"
        refusal = f"{principal.name} may not read {project or 'all projects'}; projects: {allowed_projects}"
    if refusal:
        raise RequestError(refusal, "project", 403, "insufficient_scope")


def _json(answer: Mapping[str, Any]) -> Response:
    # half a surrogate pair in a file cannot be written otherwise
    return Response(json.dumps(answer), media_type="application/json")
