"""Answers and errors as OpenAI's objects, complete or streamed."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from cortex_pipelines.prompts.chat_rendering import ChatError
from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.serving.catalogue import ForbiddenModelError, UnknownModelError
from cortex_pipelines.serving.engines.engine import (
    BusyError,
    EngineError,
    GeneratedToken,
    Sampling,
    TextDelta,
    UnavailableError,
)
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.requests import AnswerBackend, PreparedRequest, PromptBuilder
from cortex_pipelines.serving.routing import NoRouterError
from cortex_pipelines.serving.services import ServiceError

_LOG = logging.getLogger("cortex_pipelines")
T = TypeVar("T")

DRAIN = 30
"""Seconds in which running requests are finished where the server is asked to stop."""

_SHOWN = 3
_SECONDS_TO_TAKE = 0.01  # less than a first token takes
_CLOSED = 499
"""nginx's status for a connection closed by the client; only seen by the metrics."""


class ClientGoneError(RuntimeError):
    pass


class RequestError(ValueError):
    """A request cannot be answered because of the field ``param``."""

    def __init__(self, message: str, param: str | None = None, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


def error_body(message: str, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(
    message: str, status: int, param: str | None = None, code: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_body(message, status, param, code), status, headers)


_ANSWERS: Mapping[type[Exception], tuple[int, str | None, str | None, dict[str, str] | None]] = {
    UnknownModelError: (404, "model", "model_not_found", None),
    ForbiddenModelError: (403, "model", "model_not_allowed", None),
    BusyError: (429, None, "busy", {"retry-after": "1"}),
    NoRouterError: (404, None, "no_router", None),
    ServiceError: (404, None, "not_available", None),
    ChatError: (400, "messages", "chat_template", None),
    PromptFileError: (503, None, "template_failed", None),
    EngineError: (503, None, "engine_failed", {"retry-after": "2"}),
    ClientGoneError: (_CLOSED, None, None, None),
}
"""Status, parameter, code and headers of the answer to an error."""


def add_error_handlers(app: FastAPI) -> None:
    async def answer(
        status: int, param: str | None, code: str | None, headers: dict[str, str] | None, _: Request, error: Exception
    ) -> JSONResponse:
        if isinstance(error, EngineError):
            _LOG.error("%s", error, exc_info=None if isinstance(error, UnavailableError) else error)
        return error_response(str(error), status, param, code, headers)

    for kind, row in _ANSWERS.items():
        app.add_exception_handler(kind, partial(answer, *row))

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return error_response(str(error), error.status, error.param, error.code)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        cause, param = _cause(problems[0]), None
        if problems[0]["type"] != "json_invalid":
            param = ".".join(filter(None, (_location(problems[0]), cause.param if cause else None))) or None
        code = (cause.code if cause else None) or "invalid_value"
        return error_response(sentences_of(problems), 400, param, code)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        if error.status_code == 404:
            sentence = f"there is nothing at {request.method} {request.url.path[:200]}; see /docs"
        elif error.status_code == 405:
            sentence = f"{request.method} is not answered there; see /docs"
        elif error.status_code == 400:  # FastAPI's only message for a body that cannot be read
            sentence = _unreadable(request, error.__cause__)
        return error_response(sentence, error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        sentence = f"unexpected {type(error).__name__}: this is a fault of the gateway"
        return error_response(sentence, 500, code="unexpected")


def _unreadable(request: Request, cause: BaseException | None) -> str:
    if encoding := request.headers.get("content-encoding"):
        return f"the body is sent as {plain(encoding)[:40]}: send it as it is"
    reasons = {RecursionError: "it is nested too deeply", UnicodeDecodeError: "it is not UTF-8"}
    reason = reasons.get(type(cause), "a number in it has too many digits" if isinstance(cause, ValueError) else "")
    return f"the body cannot be read{f': {reason}' if reason else ''}; JSON in UTF-8 is expected"


def sentences_of(wrong: Sequence[Any]) -> str:
    """The first of pydantic's errors as sentences, without the input and pydantic's URLs."""
    return "; ".join(_sentence_of(problem) for problem in wrong[:_SHOWN])


def _sentence_of(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "json_invalid":
        reason = (problem.get("ctx") or {}).get("error", "cannot be read")
        return f"the body is not valid JSON: {reason}"
    if problem["type"] == "model_attributes_type":
        return "the body: an object is expected, sent with content-type: application/json"
    location, message = _location(problem), problem["msg"].removeprefix("Value error, ")
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = "unknown field; /docs lists the fields"
    if not location and (cause := _cause(problem)):
        return str(cause)
    return f"{location}: {message}" if location else f"the body: {message}"


def _cause(problem: Mapping[str, Any]) -> RequestError | None:
    """The error raised by a schema's own validator; None for one of pydantic's."""
    error = (problem.get("ctx") or {}).get("error")
    return error if isinstance(error, RequestError) else None


def _location(problem: Mapping[str, Any]) -> str:
    """The field's name, without request part and union tag."""
    parts = [str(part) for part in problem["loc"]]
    names = [part for part in parts if part.isidentifier() or part.isdigit()]
    return ".".join(part for part in names if part not in ("body", "openai", "tabby", "str"))[:100]


CACHE = "x-cortex-cache"
"""Response header, ``hit`` for a cached answer; request header, ``no`` bypasses the cache."""


@dataclass
class PartialAnswer:
    text: str = ""
    tokens: list[GeneratedToken] = field(default_factory=list)
    generated: int = 0
    cached: int = 0
    finish: str | None = None

    def add(self, delta: TextDelta) -> None:
        self.text += delta.text
        self.tokens += delta.tokens
        self.generated += delta.generated
        self.cached = delta.cached
        self.finish = delta.finish or self.finish


def headers_of(*requests: PreparedRequest) -> dict[str, str]:
    """Headers that identify the backend of requests to one model."""
    backend, made_by = requests[0].backend, requests[0].text.made_by
    cut = max(request.cut for request in requests)
    facts = backend.identification | {
        "notice": backend.notice,
        "templates": ", ".join(map(str, made_by)),
        "cut": f"{cut} tokens" if cut else "",
    }
    always = backend.identification
    return {f"x-cortex-{name}": plain(value) for name, value in facts.items() if value or name in always}


def cache_of(requests: Iterable[PreparedRequest]) -> dict[str, str]:
    return {CACHE: "hit"} if all(request.cached_deltas is not None for request in requests) else {}


def outcome_of(requests: Sequence[PreparedRequest]) -> dict[str, str]:
    """Headers that are known once the answers are complete."""
    return _flags_of(requests) | cache_of(requests)


def _flags_of(requests: Iterable[PreparedRequest]) -> dict[str, str]:
    rules = sorted({rule for request in requests for rule in request.flags})
    return {"x-cortex-flags": ", ".join(rules)} if rules else {}


def flag_events(requests: Iterable[PreparedRequest]) -> Iterator[ServerSentEvent]:
    """The matched rules as a comment at the end of a stream, whose headers have been sent."""
    for name, value in _flags_of(requests).items():
        yield ServerSentEvent(comment=f"{name}: {value}", sep="\n")


def plain(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())[:500]


async def prepare(
    gateway: Gateway, model: str | None, user: str | None, builder: PromptBuilder, sampling: Sampling, count: int = 1
) -> PreparedRequest:
    backend = await run_in_threadpool(gateway.backend_for, model, for_user=user)
    return await run_in_threadpool(gateway.prepare, backend, builder, sampling, count)


async def collect(
    gateway: Gateway, requests: Sequence[PreparedRequest], request: Request | None = None
) -> list[PartialAnswer]:
    """Collect all answers to some prompts; ClientGoneError if the client disconnects."""
    answers = _empty_answers(requests)

    async def read() -> None:
        async for index, delta in _deltas_of(gateway, requests):
            answers[index].add(delta)

    async def watch(request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.1)

    reading = asyncio.ensure_future(read())
    waited = [reading]
    if request is not None and not cache_of(requests):
        waited.append(asyncio.ensure_future(watch(request)))
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ClientGoneError("the client closed the connection")
        await reading
    finally:
        for task in waited:
            task.cancel()
        await asyncio.gather(*waited, return_exceptions=True)
    _count(gateway, requests, answers)
    return answers


def _empty_answers(requests: Sequence[PreparedRequest]) -> list[PartialAnswer]:
    return [PartialAnswer() for prepared in requests for _ in range(prepared.count)]


async def _deltas_of(gateway: Gateway, requests: Sequence[PreparedRequest]) -> AsyncIterator[tuple[int, TextDelta]]:
    """Deltas as they come, each with the index of its answer among those to all prompts of one model.

    The other prompts follow once the first one is read, so that what they begin with alike is read once.
    """
    events: asyncio.Queue[tuple[int, TextDelta] | Exception | None] = asyncio.Queue()
    room = asyncio.Semaphore(min(gateway.settings.slots, gateway.settings.waiting))
    has_begun = asyncio.Event()

    async def read(number: int, prepared: PreparedRequest) -> None:
        if number:
            await has_begun.wait()
        async with room:
            async for delta in gateway.stream(prepared):
                has_begun.set()
                events.put_nowait((number * prepared.count + delta.index, delta))
        has_begun.set()

    async def read_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number, prepared in enumerate(requests):
                    group.create_task(read(number, prepared))
            events.put_nowait(None)
        except ExceptionGroup as failed:
            events.put_nowait(failed.exceptions[0])

    reading = asyncio.ensure_future(read_all())
    try:
        while (event := await events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event
    finally:
        reading.cancel()


def usage_of(requests: Sequence[PreparedRequest], answers: Sequence[PartialAnswer]) -> dict[str, Any]:
    """OpenAI's token counts; a prompt counts once for all of its answers."""
    prompt_tokens = sum(len(request.prompt.ids) for request in requests)
    generated = sum(answer.generated for answer in answers)
    cached = sum(answer.cached for answer in answers[:: max(len(answers) // len(requests), 1)])
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": generated,
        "total_tokens": prompt_tokens + generated,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def envelope(kind: str, prefix: str, backend: AnswerBackend) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{backend.identity}",
        "object": kind,
        "created": int(time.time()),
        "model": backend.served.name,
        "system_fingerprint": backend.version,
    }


def json_response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    # half a surrogate pair in a record or file cannot be written otherwise
    return Response(json.dumps(body), media_type="application/json", headers=headers)


async def once_submitted(deltas: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same deltas, once an engine has the request; raises BusyError while a status can say so."""
    first = asyncio.ensure_future(anext(deltas))
    await asyncio.wait([first], timeout=_SECONDS_TO_TAKE)
    if first.done() and isinstance(error := first.exception(), BusyError):
        raise error

    async def all_of_them() -> AsyncIterator[T]:
        with suppress(StopAsyncIteration):
            yield await first
            async for delta in deltas:
                yield delta

    return all_of_them()


def event_stream(events: AsyncIterator[ServerSentEvent], headers: Mapping[str, str]) -> Response:
    """A response that ends with its events, also where the server is asked to stop meanwhile."""
    return EventSourceResponse(events, headers=headers, sep="\n", shutdown_grace_period=DRAIN)


def error_event(error: Exception) -> dict[str, Any]:
    """The body of an error that ends a stream."""
    status, param, code, _ = next(row for kind, row in _ANSWERS.items() if isinstance(error, kind))
    return error_body(str(error), status, param, code)


async def streaming_response(
    gateway: Gateway,
    requests: Sequence[PreparedRequest],
    frame: dict[str, Any],
    choice: Callable[[int, str, Sequence[GeneratedToken], str | None], dict[str, Any]],
    headers: dict[str, str],
    include_usage: bool = True,
    with_logprobs: bool = False,
    first: Sequence[dict[str, Any]] = (),
) -> Response:
    """Stream answers as server-sent events; BusyError if too many requests wait.

    ``frame`` has the fields common to all chunks; ``choice`` builds the choice of a chunk from the index of an
    answer, text and tokens, or the finish reason; ``with_logprobs`` sends tokens without text, too.
    """
    deltas = await once_submitted(_deltas_of(gateway, requests))

    async def events() -> AsyncIterator[ServerSentEvent]:
        nothing = {"usage": None} if include_usage else {}
        for opening in first:
            yield _event({**frame, "choices": [opening], **nothing})
        answers = _empty_answers(requests)
        try:
            async for index, delta in deltas:
                answers[index].add(delta)
                if delta.text or (with_logprobs and delta.tokens):
                    part = choice(index, delta.text, delta.tokens, None)
                    yield _event({**frame, "choices": [part], **nothing})
                if delta.finish:
                    yield _event({**frame, "choices": [choice(index, "", (), delta.finish)], **nothing})
            _count(gateway, requests, answers)
            if include_usage:
                yield _event({**frame, "choices": [], "usage": usage_of(requests, answers)})
            for flagged in flag_events(requests):
                yield flagged
            yield ServerSentEvent("[DONE]", sep="\n")
        except (BusyError, EngineError) as error:
            yield _event(error_event(error))

    return event_stream(events(), headers | cache_of(requests))


def _event(value: dict[str, Any]) -> ServerSentEvent:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(text, sep="\n")


def _count(gateway: Gateway, requests: Sequence[PreparedRequest], answers: Sequence[PartialAnswer]) -> None:
    tokens = gateway.metrics.tokens
    name = requests[0].backend.served.name
    tokens.labels(name, "read").inc(sum(len(prepared.prompt.ids) for prepared in requests))
    tokens.labels(name, "written").inc(sum(answer.generated for answer in answers))
