"""Answers as OpenAI's objects, complete or streamed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.engines.engine import BusyError, EngineError, GeneratedToken, Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import ClientGoneError, error_body
from cortex_pipelines.serving.requests import Backend, PreparedRequest, PromptBuilder

CACHE = "x-cortex-cache"
"""Response header, ``hit`` for a cached answer; request header, ``no`` bypasses the cache."""


@dataclass
class PartialAnswer:
    text: str = ""
    tokens: list[GeneratedToken] = field(default_factory=list)
    generated: int = 0
    finish: str | None = None

    def add(self, delta: TextDelta) -> None:
        self.text += delta.text
        self.tokens += delta.tokens
        self.generated += delta.generated
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


async def collect(gateway: Gateway, prepared: PreparedRequest, request: Request | None = None) -> list[PartialAnswer]:
    """Collect all answers to one prompt; ClientGoneError if the client disconnects."""
    answers = [PartialAnswer() for _ in range(prepared.count)]

    async def read() -> None:
        async for delta in gateway.stream(prepared):
            answers[delta.index].add(delta)

    async def watch(request: Request) -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.1)

    reading = asyncio.ensure_future(read())
    waited = [reading]
    if request is not None and prepared.cached_deltas is None:
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
    _count(gateway, prepared, answers)
    return answers


def usage_of(requests: Sequence[PreparedRequest], answers: Sequence[PartialAnswer]) -> dict[str, int]:
    """OpenAI's token counts; a prompt counts once for all of its answers."""
    prompt_tokens = sum(len(request.prompt.ids) for request in requests)
    generated = sum(answer.generated for answer in answers)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": generated, "total_tokens": prompt_tokens + generated}


def envelope(kind: str, prefix: str, backend: Backend) -> dict[str, Any]:
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


def streaming_response(
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

    Args:
        frame: Fields common to all chunks.
        choice: Builds the choice of a chunk from the index of an answer, text and tokens, or the finish reason.
        include_usage: Whether a last chunk has the token counts.
        with_logprobs: Whether to send tokens without text, too.
        first: Choices sent before the first delta.
    """
    if not cache_of(requests):
        gateway.require_room(requests[0])

    async def events() -> AsyncIterator[ServerSentEvent]:
        nothing = {"usage": None} if include_usage else {}
        for opening in first:
            yield _event({**frame, "choices": [opening], **nothing})
        answers: list[PartialAnswer] = []
        try:
            for prompt_index, prepared in enumerate(requests):
                prompt_answers = [PartialAnswer() for _ in range(prepared.count)]
                async for delta in gateway.stream(prepared):
                    prompt_answers[delta.index].add(delta)
                    index = prompt_index * prepared.count + delta.index
                    if delta.text or (with_logprobs and delta.tokens):
                        part = choice(index, delta.text, delta.tokens, None)
                        yield _event({**frame, "choices": [part], **nothing})
                    if delta.finish:
                        yield _event({**frame, "choices": [choice(index, "", (), delta.finish)], **nothing})
                _count(gateway, prepared, prompt_answers)
                answers += prompt_answers
            if include_usage:
                yield _event({**frame, "choices": [], "usage": usage_of(requests, answers)})
            for flagged in flag_events(requests):
                yield flagged
            yield ServerSentEvent("[DONE]", sep="\n")
        except (BusyError, EngineError) as error:
            status = 429 if isinstance(error, BusyError) else 503
            yield _event(error_body(str(error), status))

    return EventSourceResponse(events(), headers=headers | cache_of(requests), sep="\n")


def _event(value: dict[str, Any]) -> ServerSentEvent:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(text, sep="\n")


def _count(gateway: Gateway, prepared: PreparedRequest, answers: Sequence[PartialAnswer]) -> None:
    tokens = gateway.metrics.tokens
    name = prepared.backend.served.name
    tokens.labels(name, "read").inc(len(prepared.prompt.ids))
    tokens.labels(name, "written").inc(sum(answer.generated for answer in answers))
