"""``POST /feedback``: votes on answers and routing decisions."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, Id, LongText
from cortex_pipelines.serving.rollout import request_user
from cortex_pipelines.serving.services import ProjectServices


class FeedbackForm(Form):
    """A vote on an answer (``completion_id``) or a decision (``task_id``)."""

    vote: Literal["up", "down"]
    completion_id: Id | None = None
    task_id: Id | None = None
    version: Id | None = None
    master: Id | None = None
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
    """The route ``/feedback``, which appends to the editors' events."""
    router = APIRouter()

    @router.post("/feedback")
    async def feedback(form: FeedbackForm) -> dict[str, int]:
        event = {"type": "feedback", **form.model_dump(exclude_none=True)}
        redacted = 0
        if form.correction is not None:
            if services.redact is None:
                raise RequestError(
                    "a correction is kept only in a project, which can take secrets out of it; "
                    "send the vote without it",
                    "correction",
                )
            for name in ("original", "correction"):
                if name in event:
                    event[name], count = await run_in_threadpool(services.redact, event[name])
                    redacted += count
        await run_in_threadpool(gateway.events.add, event, request_user())
        if form.vote == "down" and form.version is not None:
            await run_in_threadpool(gateway.vote_down, form.version)
        if form.completion_id is not None:
            await run_in_threadpool(gateway.record_vote, form.completion_id, form.vote)
        return {"redacted": redacted}

    return router
