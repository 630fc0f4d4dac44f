"""Answers as OpenAI's objects, complete or streamed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.engines.engine import BusyError, EngineError, GeneratedToken, Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import ClientGoneError, error_event, plain
from cortex_pipelines.serving.requests import AnswerBackend, PreparedRequest, PromptBuilder

T = TypeVar("T")

DRAIN = 30
"""Seconds in which running requests are finished where the server is asked to stop."""
CUT_OFF = DRAIN + 5
"""Seconds after which no request is waited for; those that are not finished by ``DRAIN`` say so in between."""

_SECONDS_TO_TAKE = 0.01  # less than a first token takes


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
    return _endings_of(requests) | cache_of(requests)


def _endings_of(requests: Sequence[PreparedRequest]) -> dict[str, str]:
    """The rules that matched, and the seconds that an answer was cut off after."""
    rules = sorted({rule for request in requests for rule in request.flags})
    deadlines = [request.sampling.deadline for request in requests if request.late]
    seconds = max((deadline.seconds for deadline in deadlines if deadline is not None), default=0)
    facts = {"x-cortex-flags": ", ".join(rules), "x-cortex-late": f"{seconds:g} s" if seconds else ""}
    return {name: fact for name, fact in facts.items() if fact}


def ending_events(requests: Sequence[PreparedRequest]) -> Iterator[ServerSentEvent]:
    """Comments at the end of a stream, whose headers have been sent."""
    for name, fact in _endings_of(requests).items():
        yield ServerSentEvent(comment=f"{name}: {fact}", sep="\n")


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
    room = asyncio.Semaphore(max(min(gateway.settings.slots, gateway.settings.waiting // requests[0].count), 1))
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


def json_response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    # half a surrogate pair in a record or file cannot be written otherwise
    return Response(json.dumps(body), status, headers, "application/json")


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
    return EventSourceResponse(events, headers=headers, sep="\n", shutdown_grace_period=CUT_OFF)


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
            for ending in ending_events(requests):
                yield ending
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
