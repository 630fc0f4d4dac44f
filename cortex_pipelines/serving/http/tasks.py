"""This platform's tasks, prompted as in training: ``/route`` and ``/predict``, also as a batch of JSON lines."""

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field, ValidationError, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.naming import naming_example
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.evaluation.metrics.grading import CODE, broken_patterns
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.prompts.examples import StopRule, cut, extent_of_test, is_complete
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.routing.serving.tasks import send
from cortex_pipelines.serving.catalogue import UnknownModelError
from cortex_pipelines.serving.engines.engine import EngineError, Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import CACHE, RequestError, json_response, plain, sentences_of
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName, ShortText, TaskText
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.serving.requests import task as asked_as
from cortex_pipelines.serving.services import ProjectServices

_ALTERNATIVE_TEMPERATURE = 0.8
"""Temperature of alternatives (Chen et al. 2021)."""

_PLACEHOLDER_NAME = "name_to_be_found"


class TaskError(ValueError):
    pass


@dataclass(frozen=True)
class TaskContext:
    """Context of a task's input.

    Args:
        path: Source file; its suffix determines the language.
        language: Language, if ``path`` is empty.
        code: Surrounding code, placed before the input.
        name: Naming: the name to improve.
        kind: Naming: kind of the named unit (function, method, class, variable, constant).
        request: Refactoring: what to do, such as ``Extract Method``; without it and without a
            smell, the code has an error. Architecture: the line that asks.
        smell: Refactoring: what to improve, such as ``long parameter list``.
        test_path: Tests: the target file of the test.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=False)  # an object in request bodies

    path: ShortText = ""
    language: ShortText = ""
    code: LongText = ""
    name: ShortText = ""
    kind: ShortText = "function"
    request: ShortText = ""
    smell: ShortText = ""
    test_path: ShortText = ""


@dataclass(frozen=True)
class Alternative:
    result: str
    confidence: float


@dataclass(frozen=True)
class Suggestion:
    """The answer to a task.

    Args:
        confidence: Geometric mean of its tokens' probabilities; not calibrated. 0 if an upstream server reports none.
        alternatives: Other answers, the most confident first.
        latency: Seconds.
        version: The adapter's DVC version, or the base's digest.
        template: Template of the prompt.
        flags: The output filter's rules that matched, and ``pattern:<name>`` for each of the
            project's patterns that the result breaks.
        cached: Whether all answers are cached.
    """

    result: str
    confidence: float
    alternatives: tuple[Alternative, ...]
    latency: float
    version: str
    model: str
    way: str
    release: str
    template: str
    flags: tuple[str, ...] = ()
    cached: bool = False


TaskPrompt = tuple[Mapping[str, str], StopRule]
"""Values for the task's template, and the rule for the answer's end."""


def suggest(
    gateway: Gateway, model: str | None, task: str, task_input: str, context: TaskContext, alternative_count: int = 2
) -> Suggestion:
    """Answer one of ``TASKS``; TaskError for incomplete input, and the errors of the gateway."""
    began = time.perf_counter()
    if task not in TASKS:
        raise TaskError(
            f"task: {task} is not answered yet, as no adapter is trained for it; there is {', '.join(TASKS)}"
        )
    values, extent = TASKS[task](task_input, context, gateway.datasets)
    builder = asked_as(task, **values)
    backend = gateway.backend_for(model, task, context=task == "completion")
    sampling = Sampling(gateway.settings.max_tokens, finished=partial(is_complete, extent=extent))
    requests = [gateway.prepare(backend, builder, sampling)]
    if alternative_count:
        varied = replace(sampling, temperature=_ALTERNATIVE_TEMPERATURE, seed=1)
        requests.append(gateway.prepare(backend, builder, varied, alternative_count))
    best, *sampled = [answer for request in requests for answer in _answers(gateway, request, extent)]
    distinct = {other.result: other for other in sampled if other.result.strip() and other.result != best.result}
    flags = {rule for request in requests for rule in request.flags}
    if backend.served.patterns is not None and task in CODE:
        before = task_input if task == "completion" else ""
        checks = backend.served.patterns()
        broken_names = broken_patterns(checks, task, before, best.result, _language(context), context.path)
        flags |= {f"pattern:{name}" for name in broken_names or ()}
    return Suggestion(
        best.result,
        best.confidence,
        tuple(sorted(distinct.values(), key=lambda other: (-other.confidence, other.result))),
        round(time.perf_counter() - began, 3),
        backend.version,
        backend.served.name,
        backend.way,
        backend.release,
        str(backend.served.templates[task]),
        tuple(sorted(flags)),
        all(request.cached_deltas is not None for request in requests),
    )


def _answers(gateway: Gateway, request: PreparedRequest, extent: StopRule) -> list[Alternative]:
    texts = [""] * request.count
    logprobs: list[list[float]] = [[] for _ in texts]
    for delta in gateway.stream_blocking(request):
        texts[delta.index] += delta.text
        logprobs[delta.index] += [-math.inf if token.logprob is None else token.logprob for token in delta.tokens]
    return [
        Alternative(cut(text, extent), round(math.exp(math.fsum(values) / len(values)), 6) if values else 0.0)
        for text, values in zip(texts, logprobs, strict=True)
    ]


def _completion_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    values = {
        "given": task_input,
        "path": context.path,
        "comment": LINE_COMMENTS[_language(context)] if context.path else "",
        "code": context.code.rstrip("\n"),
    }
    last_character = task_input.rstrip()[-1:]
    extents: Mapping[str, StopRule] = {":": "indented", "{": "braced"}
    return values, extents.get(last_character, "statement")


def _refactoring_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    values = _unit_values(task_input, context, "the code to change")
    extent: StopRule = "unit" if _language(context) == "python" else "braced_unit"
    return values | {"smell": context.smell, "request": context.request}, extent


def _naming_prompt(task_input: str, context: TaskContext, settings: DatasetSettings) -> TaskPrompt:
    code, name = task_input, context.name
    if not name:
        name = _PLACEHOLDER_NAME
        code = task_input.replace(settings.mask, name)
    unit = {"language": _language(context), "context": "", "indent": "", "code": code}
    room = settings.model_copy(update={"max_prompt_bytes": len(task_input.encode()) + 10_000})
    example = naming_example(unit, context.kind, name, room)
    if example is None:
        raise TaskError(
            f"input: put {settings.mask} where the name belongs, or name it as context.name, "
            "which has to stand in the code"
        )
    return {"example": example}, "line"


def _architecture_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    if not context.request:
        raise TaskError("context.request: the line that asks is missing, such as 'In which file does it belong?'")
    return {"given": task_input.rstrip(), "request": context.request}, "paragraph"


def _documentation_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    return _unit_values(task_input, context), "paragraph"


def _tests_prompt(task_input: str, context: TaskContext, _settings: DatasetSettings) -> TaskPrompt:
    if not context.test_path:
        raise TaskError("context.test_path: the file that the test goes into is missing, such as tests/test_cart.py")
    values = _unit_values(task_input, context) | {"test_path": context.test_path}
    return values, extent_of_test(_language(context))


def _unit_values(
    task_input: str, context: TaskContext, subject: str = "the function, method or class"
) -> dict[str, str]:
    if not task_input.strip():
        raise TaskError(f"input: {subject} is missing")
    return {"given": task_input.rstrip(), "path": context.path, "comment": LINE_COMMENTS[_language(context)]}


TASKS: dict[str, Callable[[str, TaskContext, DatasetSettings], TaskPrompt]] = {
    "completion": _completion_prompt,
    "refactoring": _refactoring_prompt,
    "naming": _naming_prompt,
    "architecture": _architecture_prompt,
    "documentation": _documentation_prompt,
    "tests": _tests_prompt,
}
"""Task to its prompt."""


def _language(context: TaskContext) -> str:
    language_name = context.language or (language_of(context.path, "") if context.path else None)
    language = (language_name or "python").lower()
    if language not in LINE_COMMENTS:
        raise TaskError(f"context.language: {language[:40]} is not one of {', '.join(LINE_COMMENTS)}")
    return language


_LOG = logging.getLogger("cortex_pipelines")

_CHANCE = random.SystemRandom()
"""Exploration must not be predictable."""


class RouteForm(Form):
    """``POST /route``: one task, or several."""

    task: TaskText | None = None
    tasks: Annotated[list[TaskText], Field(min_length=1, max_length=4096)] | None = None
    task_id: ShortText | None = None
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> "RouteForm":
        if (self.task is None) == (self.tasks is None):
            raise ValueError('give either "task" with one text, or "tasks" with a list')
        return self


class PredictForm(Form):
    model: ModelName | None = None
    task: Literal["completion", "refactoring", "naming", "architecture", "review", "tests", "documentation"]
    input: LongText
    context: LongText | TaskContext | None = None
    alternatives: Annotated[int, Field(ge=0, le=4)] = 2


def tasks_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    router = APIRouter()

    @router.post("/route")
    async def route(form: RouteForm) -> Response:
        texts = [form.task] if form.task is not None else form.tasks or []
        routed = await asyncio.wrap_future(gateway.router.submit(texts))
        for task in routed:
            gateway.metrics.routed_tasks.labels(task.decision.decided_by).inc()
            gateway.metrics.cache_requests.labels("hit" if task.cached else "miss").inc()
        if services.review is not None:
            decisions = [task.decision for task in routed]
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
        for task in routed:
            decision = task.decision
            routing = send(decision, form.explore, _CHANCE)
            rows.append({**decision.as_json(), **routing.as_json(), "version": decision.model_version})
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
        if suggestion.cached:
            headers[CACHE] = "hit"
        if suggestion.flags:
            headers["x-cortex-flags"] = ", ".join(suggestion.flags)
        return JSONResponse(asdict(suggestion), headers=headers)

    return router


def answer_task(gateway: Gateway, form: PredictForm) -> Suggestion:
    context = form.context
    task_context = context if isinstance(context, TaskContext) else TaskContext(code=context or "")
    return suggest(gateway, form.model, form.task, form.input, task_context, form.alternatives)


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
