"""``/memory``: what people and agents want kept of a project."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.retrieval.notes.note import (
    LONGEST,
    Kind,
    NoteError,
    NoteStoreUnavailableError,
)
from cortex_pipelines.retrieval.queries import QueryError
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, ModelName, Short, TaskText, Words
from cortex_pipelines.serving.security.access import caller
from cortex_pipelines.serving.services import Memory, ProjectServices, ServiceError
from cortex_pipelines.versioning.root import ProjectError

Text = Annotated[Words, Field(max_length=LONGEST)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class EntryForm(Form):
    """``POST /memory``: an entry to keep."""

    project: ModelName | None = None
    text: Text
    kind: Kind = "note"
    answer: Text = ""
    origin: Short = "POST /memory"
    supersedes: Id | None = None


class NoteQueryForm(Form):
    """``POST /memory/search``."""

    project: ModelName | None = None
    query: TaskText
    k: Annotated[int, Field(ge=1, le=100)] = 10
    kind: Kind | Literal["summary"] | None = None
    history: bool = False


class ForgetForm(Form):
    """``POST /memory/forget``: entries by identity."""

    project: ModelName | None = None
    ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]


def memory_router(services: ProjectServices) -> APIRouter:
    """The routes; exchanges are shown to whoever's key added them, and only they may delete."""
    router = APIRouter()

    @router.post("/memory")
    async def add(form: EntryForm) -> Mapping[str, Any]:
        given = (form.text, form.kind, form.origin, form.answer, form.supersedes)
        return await _work(services, form.project, lambda kept, who: kept.add(who, *given))

    @router.get("/memory")
    async def show(project: ModelName | None = None) -> Mapping[str, Any]:
        return await _work(services, project, lambda kept, who: kept.show(who))

    @router.post("/memory/search")
    async def search(form: NoteQueryForm) -> Mapping[str, Any]:
        given = (form.query, form.k, form.kind, form.history)
        return await _work(services, form.project, lambda kept, who: kept.search(who, *given))

    @router.post("/memory/forget")
    async def forget(form: ForgetForm) -> Mapping[str, Any]:
        every = caller().may("admin")
        return await _work(
            services,
            form.project,
            lambda kept, who: kept.forget(None if every else who, form.ids),
        )

    return router


async def _work(
    services: ProjectServices,
    project: str | None,
    call: Callable[[Memory, str], Mapping[str, Any]],
) -> Mapping[str, Any]:
    memory, who = services.memory, caller()
    if memory is None:
        raise ServiceError("an exported folder has no memory; start `cortex serve` in the project")
    if who.limited and project not in who.projects:
        words = f"{who.name} is for {', '.join(who.projects) or 'single models'}; name its project"
        raise RequestError(words, "project", 403, "project_not_allowed")
    try:
        return await run_in_threadpool(lambda: call(memory(project), who.name))
    except NoteStoreUnavailableError as error:
        raise RequestError(str(error), status=503, code="memory_unusable") from error
    except (NoteError, QueryError, ProjectError) as error:
        raise RequestError(str(error)) from error
