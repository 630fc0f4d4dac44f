"""This platform's tasks, prompted as in training: ``/route`` and ``/predict``, also as a batch of JSON lines."""

import asyncio
import json
import logging
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.answers.question import TaskContext, TaskError
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.routing.outcomes.predict import shown_outcomes
from cortex_pipelines.routing.serving.tasks import send
from cortex_pipelines.serving.catalogue import UnknownModelError
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import CACHE, json_response
from cortex_pipelines.serving.http.errors import RequestError, plain, sentences_of
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName, RoutedText, ShortText
from cortex_pipelines.serving.services import ProjectServices, ServiceError
from cortex_pipelines.serving.task_answers import Suggestion, suggest

_LOG = logging.getLogger("cortex_pipelines")

_CHANCE = random.SystemRandom()
"""Exploration must not be predictable."""
_MOST_EXPLAINED = 16
"""An explanation takes as long as some two hundred decisions."""


class RouteForm(Form):
    """``POST /route``: one task, or several."""

    task: RoutedText | None = None
    tasks: Annotated[list[RoutedText], Field(min_length=1, max_length=4096)] | None = None
    task_id: ShortText | None = None
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> "RouteForm":
        if (self.task is None) == (self.tasks is None):
            raise ValueError('give either "task" with one text, or "tasks" with a list')
        return self


class PredictForm(Form):
    """``POST /predict``; a field that nobody knows is refused, as it would be ignored."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName | None = None
    task: ShortText
    input: LongText
    context: TaskContext = TaskContext()
    """An object; a text is the surrounding code."""

    alternatives: Annotated[int, Field(ge=0, le=4)] = 2

    @field_validator("context", mode="before")
    @classmethod
    def _from_text(cls, context: Any) -> Any:
        return {"code": context} if isinstance(context, str) else {} if context is None else context


def tasks_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    router = APIRouter()

    @router.post("/route")
    async def route(form: RouteForm, explain: bool = False) -> Response:
        texts = [form.task] if form.task is not None else form.tasks or []
        if explain and len(texts) > _MOST_EXPLAINED:
            raise RequestError(f"at most {_MOST_EXPLAINED} tasks can be explained at once", "tasks")
        routed = await asyncio.wrap_future(gateway.router.submit(texts, explain))
        for task in routed:
            gateway.metrics.routed_tasks.labels(task.decision.decided_by).inc()
            gateway.metrics.cache_requests.labels("hit" if task.cached else "miss").inc()
        decisions = [task.decision for task in routed]
        if services.review is not None and any(decision.abstained for decision in decisions):
            try:
                await run_in_threadpool(services.review, texts, decisions)
            except OSError as error:  # a full disk must not cost the answer
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
        rows = []
        for text, task in zip(texts, routed, strict=True):
            decision = task.decision
            routing = send(decision, form.explore, _CHANCE)
            row = {**decision.as_json(), **routing.as_json(), "version": decision.model_version}
            if explain:
                row["explanation"] = task.explanation.as_json() if task.explanation is not None else None
                row["predicted"] = await run_in_threadpool(_predicted, services, text, decision.master)
            rows.append(row)
        if form.task is not None:
            return json_response({"task_id": form.task_id, **rows[0]}, headers)
        return json_response({"decisions": rows, "version": first.decision.model_version}, headers)

    @router.post("/predict")
    async def predict(form: PredictForm) -> Response:
        try:
            suggestion = await run_in_threadpool(answer_task, gateway, form)
        except TaskError as error:
            raise RequestError(str(error), str(error).partition(":")[0]) from error
        identification = ("model", "way", "version", "release")
        headers = {f"x-cortex-{name}": getattr(suggestion, name) for name in identification}
        headers["x-cortex-templates"] = suggestion.template
        if suggestion.notice:
            headers["x-cortex-notice"] = plain(suggestion.notice)
        if suggestion.cached:
            headers[CACHE] = "hit"
        if suggestion.flags:
            headers["x-cortex-flags"] = ", ".join(suggestion.flags)
        return JSONResponse(asdict(suggestion), headers=headers)

    return router


def _predicted(services: ProjectServices, text: str, master: str | None) -> dict[str, Any]:
    """Outcomes at the decision's master; what is missing by reason under ``left_out``."""
    if services.expect is None or master is None:
        return {"left_out": {"all": "no project" if services.expect is None else "no master"}}
    try:
        (expected,) = services.expect(text, master)["expected"]
    except ServiceError as error:
        return {"left_out": {"all": str(error)}}
    return shown_outcomes(expected)


def answer_task(gateway: Gateway, form: PredictForm) -> Suggestion:
    return suggest(gateway, form.model, form.task, form.input, form.context, form.alternatives)


def answer_lines(gateway: Gateway, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Answer lines of JSON, bodies of ``POST /predict``, each by its number with the answer or ``error``."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = asdict(answer_task(gateway, PredictForm.model_validate(json.loads(line))))
        except (TaskError, PromptFileError, UnknownModelError, EngineError) as error:
            answer = {"error": str(error.args[0])}
        except ValidationError as error:
            answer = {"error": sentences_of(error.errors())}
        except (ValueError, RecursionError) as error:
            answer = {"error": f"the line is not JSON in UTF-8: {error}"}
        yield {"line": number, **answer}
