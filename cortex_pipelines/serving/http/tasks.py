"""The platform's own routes: where a task goes, and the answers to its tasks."""

import asyncio
import json
import logging
import random
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.routing.serving.exploration import send
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import CACHE, plain
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, ModelName, Short, TaskText, Words
from cortex_pipelines.serving.routing import Routed
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines.serving.tasks import Suggestion, TaskContext, TaskError, suggest

_LOG = logging.getLogger("cortex_pipelines")

_CHANCE = random.SystemRandom()
"""Nobody should be able to tell beforehand where a drawn task goes."""


class RouteForm(Form):
    """``POST /route``: one task, or several."""

    task: TaskText | None = None
    tasks: Annotated[list[TaskText], Field(min_length=1, max_length=4096)] | None = None
    task_id: Short | None = None
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> "RouteForm":
        if (self.task is None) == (self.tasks is None):
            raise ValueError('give either "task" with one text, or "tasks" with a list')
        return self


class PredictForm(Form):
    """``POST /predict``."""

    model: ModelName | None = None
    task: Literal[
        "completion", "refactoring", "naming", "architecture", "review", "tests", "documentation"
    ]
    input: Words
    context: Words | TaskContext | None = None
    alternatives: Annotated[int, Field(ge=0, le=4)] = 2


def tasks_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """The two routes."""
    router = APIRouter()

    @router.post("/route")
    async def route(form: RouteForm) -> Response:
        texts = [form.task] if form.task is not None else form.tasks or []
        routed = await asyncio.wrap_future(gateway.router.submit(texts))
        for task in routed:
            gateway.metrics.routed.labels(task.decision.decided_by).inc()
            gateway.metrics.remembered.labels("hit" if task.cached else "miss").inc()
        if services.review is not None:
            decisions = [task.decision for task in routed]
            try:
                await run_in_threadpool(services.review, texts, decisions)
            except OSError as error:  # a full disk costs the list for people, not the answer
                _LOG.error("tasks that a person should decide were not kept: %s", error)
        first = routed[0]
        headers = {
            "x-cortex-model": "task_router",
            "x-cortex-way": first.way,
            "x-cortex-version": first.decision.model_version,
        }
        if all(task.cached for task in routed):
            headers[CACHE] = "hit"
        if first.notice:
            headers["x-cortex-notice"] = plain(first.notice)
        rows = [_row(task, form) for task in routed]
        body: dict[str, Any] = rows[0]
        if form.task is None:
            body = {"decisions": rows, "version": first.decision.model_version}
        # half a surrogate pair in a past task cannot be written otherwise
        return Response(json.dumps(body), media_type="application/json", headers=headers)

    @router.post("/predict")
    async def predict(form: PredictForm) -> Response:
        try:
            made = await run_in_threadpool(predicted, gateway, form)
        except TaskError as error:
            raise RequestError(str(error), str(error).partition(":")[0]) from error
        headers = {
            "x-cortex-model": made.model,
            "x-cortex-way": made.way,
            "x-cortex-version": made.version,
            "x-cortex-release": made.release,
            "x-cortex-templates": made.template,
        }
        if made.cached:
            headers[CACHE] = "hit"
        if made.flags:
            headers["x-cortex-flags"] = ", ".join(made.flags)
        return JSONResponse(made.as_json(), headers=headers)

    return router


def predicted(gateway: Gateway, form: PredictForm) -> Suggestion:
    """The answer to a task; errors as of ``suggest``."""
    context = form.context
    known = context if isinstance(context, TaskContext) else TaskContext(code=context or "")
    return suggest(
        gateway,
        form.model,
        form.task,
        form.input,
        known,
        gateway.datasets,
        form.alternatives,
    )


def _row(routed: Routed, form: RouteForm) -> dict[str, Any]:
    decision = routed.decision
    sent = send(decision, form.explore, _CHANCE)
    answer = {**decision.as_json(), **sent.as_json(), "version": decision.model_version}
    return {"task_id": form.task_id, **answer} if form.task is not None else answer
