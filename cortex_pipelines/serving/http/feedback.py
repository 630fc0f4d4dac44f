"""``POST /feedback``: what a person thinks of an answer or a decision."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, Id, Words
from cortex_pipelines.serving.rollout import user
from cortex_pipelines.serving.services import ProjectServices


class FeedbackForm(Form):
    """The answer by its id, the decision by its task's, and a vote."""

    vote: Literal["up", "down"]
    completion_id: Id | None = None
    task_id: Id | None = None
    version: Id | None = None
    master: Id | None = None
    original: Annotated[Words, Field(max_length=20_000)] | None = None
    correction: Annotated[Words, Field(max_length=20_000)] | None = None
    simulated: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "FeedbackForm":
        if (self.completion_id is None) == (self.task_id is None):
            raise ValueError("give either completion_id or task_id")
        if self.original is not None and self.correction is None:
            raise ValueError("original belongs to a correction; give both")
        return self


def feedback_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """The route; it appends to the events that editors send."""
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
        await run_in_threadpool(gateway.events.add, event, user())
        if form.vote == "down" and form.version is not None:
            await run_in_threadpool(gateway.voted_down, form.version)
        if form.completion_id is not None:
            await run_in_threadpool(gateway.voted, form.completion_id, form.vote)
        return {"redacted": redacted}

    return router
