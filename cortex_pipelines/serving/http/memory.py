"""``/memory``: project notes of people and agents."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.retrieval.notes.note import LONGEST, Kind, NoteError, NoteStoreUnavailableError
from cortex_pipelines.retrieval.queries import QueryError
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName, ShortText, TaskText
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import Memory, ProjectServices, ServiceError
from cortex_pipelines.versioning.root import ProjectError

Text = Annotated[LongText, Field(max_length=LONGEST)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class EntryForm(Form):
    """``POST /memory``: a new note."""

    project: ModelName | None = None
    text: Text
    kind: Kind = "note"
    answer: Text = ""
    origin: ShortText = "POST /memory"
    supersedes: Id | None = None


class NoteQueryForm(Form):
    """``POST /memory/search``."""

    project: ModelName | None = None
    query: TaskText
    k: Annotated[int, Field(ge=1, le=100)] = 10
    kind: Kind | Literal["summary"] | None = None
    history: bool = False


class ForgetForm(Form):
    """``POST /memory/forget``: ids of notes to delete."""

    project: ModelName | None = None
    ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]


def memory_router(services: ProjectServices) -> APIRouter:
    """The routes. Only the key that added an exchange can read it, and only it may delete notes."""
    router = APIRouter()

    @router.post("/memory")
    async def add(form: EntryForm) -> Mapping[str, Any]:
        note_fields = (form.text, form.kind, form.origin, form.answer, form.supersedes)
        return await _work(services, form.project, lambda notes, author: notes.add(author, *note_fields))

    @router.get("/memory")
    async def show(project: ModelName | None = None) -> Mapping[str, Any]:
        return await _work(services, project, lambda notes, author: notes.show(author))

    @router.post("/memory/search")
    async def search(form: NoteQueryForm) -> Mapping[str, Any]:
        query_fields = (form.query, form.k, form.kind, form.history)
        return await _work(services, form.project, lambda notes, author: notes.search(author, *query_fields))

    @router.post("/memory/forget")
    async def forget(form: ForgetForm) -> Mapping[str, Any]:
        every = current_principal().may("admin")
        return await _work(
            services, form.project, lambda notes, author: notes.forget(None if every else author, form.ids)
        )

    return router


async def _work(
    services: ProjectServices, project: str | None, call: Callable[[Memory, str], Mapping[str, Any]]
) -> Mapping[str, Any]:
    memory, principal = services.memory, current_principal()
    if memory is None:
        raise ServiceError("an exported folder has no memory; start `cortex serve` in the project")
    if principal.limited and project not in principal.projects:
        allowed = ", ".join(principal.projects) or "single models"
        explanation = f"{principal.name} is for {allowed}; name its project"
        raise RequestError(explanation, "project", 403, "project_not_allowed")
    try:
        return await run_in_threadpool(lambda: call(memory(project), principal.name))
    except NoteStoreUnavailableError as error:
        raise RequestError(str(error), status=503, code="memory_unusable") from error
    except (NoteError, QueryError, ProjectError) as error:
        raise RequestError(str(error)) from error
