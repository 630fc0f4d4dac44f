"""Routes on a project's data: search, agents' logs, notes, votes, the audit log."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.feedback.events import Id
from cortex_pipelines.retrieval.graph.questions import GraphNameError, GraphQuestionError
from cortex_pipelines.retrieval.notes.note import LONGEST, Kind, NoteError, NoteStoreUnavailableError
from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes
from cortex_pipelines.retrieval.queries import QueryError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import json_response
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName, RoutedText, ShortText, TaskText
from cortex_pipelines.serving.rollout import request_user
from cortex_pipelines.serving.security import audit
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices, ServiceError
from cortex_pipelines.versioning.root import ProjectError

Budget = Annotated[int, Field(ge=200, le=100_000)]


class SearchForm(Form):
    query: TaskText
    project: ShortText | None = None
    k: Annotated[int, Field(ge=1, le=100)] = 10


class ContextForm(Form):
    task: TaskText
    project: ShortText | None = None
    tokens: Budget = 4_000


class RelationsForm(Form):
    """``POST /relations``: a question to the code graph."""

    question: Literal["callers", "breaks", "tests", "path"]
    name: ShortText
    to: ShortText | None = None
    project: ShortText | None = None
    depth: Annotated[int, Field(ge=1, le=20)] = 3


class OutcomeForm(Form):
    """``POST /outcomes/predict``: a task, and the master it may be routed to."""

    task: RoutedText
    master: ShortText | None = None


class AnomalyForm(Form):
    """``POST /anomalies/score``: new records of a monitored log, oldest first."""

    log: ShortText
    records: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=10_000)]


Text = Annotated[LongText, Field(max_length=LONGEST)]
NoteId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class NoteForm(Form):
    """``POST /memory``: a new note."""

    project: ModelName | None = None
    text: Text
    kind: Kind = "note"
    answer: Text = ""
    origin: ShortText = "POST /memory"
    supersedes: NoteId | None = None


class NoteQueryForm(Form):
    project: ModelName | None = None
    query: TaskText
    k: Annotated[int, Field(ge=1, le=100)] = 10
    kind: Kind | Literal["summary"] | None = None
    history: bool = False


class ForgetForm(Form):
    """``POST /memory/forget``: ids of notes to delete."""

    project: ModelName | None = None
    ids: Annotated[list[NoteId], Field(min_length=1, max_length=1000)]


_NO_PROJECT = "an exported folder has no {}; start `cortex serve` in the project"


def services_router(services: ProjectServices) -> APIRouter:
    """Search, agents' logs and notes; each answer names the versions of what it rests on."""
    router = APIRouter()

    @router.post("/search")
    async def search(form: SearchForm) -> Response:
        if services.search is None:
            raise ServiceError("no code to search; start `cortex serve` in a project")
        require_project(form.project)
        try:
            return json_response(await run_in_threadpool(services.search, form.query, form.project, form.k))
        except ValueError as error:
            raise RequestError(str(error), "query") from error

    @router.post("/context")
    async def context(form: ContextForm) -> Response:
        require_project(form.project)
        return json_response(await run_in_threadpool(pack_context, services, form.task, form.project, form.tokens))

    @router.post("/relations")
    async def relations(form: RelationsForm) -> Response:
        if services.relations is None:
            raise ServiceError(_NO_PROJECT.format("code graph"))
        require_project(form.project)
        arguments = (form.question, form.name, form.to, form.project, form.depth)
        try:
            return json_response(await run_in_threadpool(services.relations, *arguments))
        except (GraphNameError, GraphQuestionError, ProjectError) as error:
            raise RequestError(str(error), "project" if isinstance(error, ProjectError) else "name") from error

    @router.post("/outcomes/predict")
    async def outcomes(form: OutcomeForm) -> Response:
        if services.expect is None:
            raise ServiceError(_NO_PROJECT.format("outcome predictors"))
        return _versioned(await run_in_threadpool(services.expect, form.task, form.master), "outcome_predictors")

    @router.post("/anomalies/score")
    async def anomalies(form: AnomalyForm) -> Response:
        if services.score is None:
            raise ServiceError(_NO_PROJECT.format("detectors"))
        return _versioned(await run_in_threadpool(services.score, form.log, form.records), "worker_anomalies")

    @router.get("/leaderboard")
    async def leaderboard() -> Response:
        if services.leaderboard is None:
            raise ServiceError(_NO_PROJECT.format("learned models"))
        return json_response({"rows": await run_in_threadpool(services.leaderboard)})

    # only the key that added an exchange can read it, and only it may delete notes

    @router.post("/memory")
    async def add(form: NoteForm) -> Mapping[str, Any]:
        note_fields = (form.text, form.kind, form.origin, form.answer, form.supersedes)
        return await _work(services, form.project, lambda notes, author: notes.add(author, *note_fields))

    @router.get("/memory")
    async def show(project: ModelName | None = None) -> Mapping[str, Any]:
        return await _work(services, project, lambda notes, author: notes.show(author))

    @router.post("/memory/search", name="search")
    async def search_notes(form: NoteQueryForm) -> Mapping[str, Any]:
        query_fields = (form.query, form.k, form.kind, form.history)
        return await _work(services, form.project, lambda notes, author: notes.search(author, *query_fields))

    @router.post("/memory/forget")
    async def forget(form: ForgetForm) -> Mapping[str, Any]:
        every = current_principal().may("admin")
        return await _work(
            services, form.project, lambda notes, author: notes.forget(None if every else author, form.ids)
        )

    return router


def _versioned(answer: Mapping[str, Any], model: str) -> Response:
    return json_response(answer, {"x-cortex-model": model, "x-cortex-version": str(answer["version"])})


def pack_context(services: ProjectServices, task: str, project: str | None, tokens: int) -> Mapping[str, Any]:
    if services.context is None:
        raise ServiceError("no code to show; start `cortex serve` in a project")
    try:
        return services.context(task, project, tokens)
    except ValueError as error:
        raise RequestError(str(error), "task") from error


def require_project(project: str | None) -> None:
    """RequestError unless the caller may read a project's code."""
    principal = current_principal()
    refusal = principal.refusal(["data"])
    if not refusal and principal.limited and project not in principal.projects:
        allowed_projects = ", ".join(principal.projects) or "none"
        refusal = f"{principal.name} may not read {project or 'all projects'}; projects: {allowed_projects}"
    if refusal:
        raise RequestError(refusal, "project", 403, "insufficient_scope")


async def _work(
    services: ProjectServices, project: str | None, call: Callable[[ProjectNotes, str], Mapping[str, Any]]
) -> Mapping[str, Any]:
    open_notes, principal = services.notes, current_principal()
    if open_notes is None:
        raise ServiceError("an exported folder has no memory; start `cortex serve` in the project")
    if principal.limited and project not in principal.projects:
        allowed = ", ".join(principal.projects) or "single models"
        explanation = f"{principal.name} is for {allowed}; name its project"
        raise RequestError(explanation, "project", 403, "project_not_allowed")
    try:
        return await run_in_threadpool(lambda: call(open_notes(project), principal.name))
    except NoteStoreUnavailableError as error:
        raise RequestError(str(error), status=503, code="memory_unusable") from error
    except (NoteError, QueryError, ProjectError) as error:
        raise RequestError(str(error)) from error


class FeedbackForm(Form):
    """A vote on an answer (``completion_id``) or a decision (``task_id``)."""

    vote: Literal["up", "down"]
    completion_id: Id | None = None
    task_id: Id | None = None
    version: Id | None = None
    master: ModelName | None = None
    original: Annotated[LongText, Field(max_length=20_000)] | None = None
    correction: Annotated[LongText, Field(max_length=20_000)] | None = None
    simulated: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "FeedbackForm":
        if (self.completion_id is None) == (self.task_id is None):
            raise ValueError("give either completion_id or task_id")
        if self.original is not None and self.correction is None:
            raise ValueError("original belongs to a correction; give both")
        return self


def feedback_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """Votes, and the audit log."""
    router = APIRouter()
    path = gateway.state / audit.FILE

    @router.post("/feedback")
    async def feedback(form: FeedbackForm) -> dict[str, int]:
        event = {"type": "feedback", **form.model_dump(exclude_none=True)}
        redacted = 0
        if form.correction is not None and services.redact is None:
            raise RequestError(
                "a correction is kept only in a project, which can take secrets out of it; send the vote without it",
                "correction",
            )
        for name in ("original", "correction", "master"):
            if services.redact is not None and name in event:
                event[name], count = await run_in_threadpool(services.redact, event[name])
                redacted += count
        await run_in_threadpool(gateway.events.add, event, request_user())
        if form.vote == "down" and form.version is not None:
            await run_in_threadpool(gateway.vote_down, form.version)
        if form.completion_id is not None:
            await run_in_threadpool(gateway.record_vote, form.completion_id, form.vote)
        return {"redacted": redacted}

    @router.get("/audit")
    def read(last: Annotated[int, Query(ge=1, le=1000)] = 100, verify: bool = False) -> dict[str, Any]:
        principal = current_principal()
        entries = [
            entry
            for entry in audit.latest_entries(path, last)
            if not principal.limited or (entry.get("model") and principal.may_use(str(entry["model"])))
        ]
        chain = None
        if verify:
            check = audit.verify(path) if path.exists() else audit.ChainCheck(0, audit.FIRST)
            chain = {name: getattr(check, name) for name in ("entries", "head", "problem", "redacted")}
        return {"entries": entries, "chain": chain}

    return router
