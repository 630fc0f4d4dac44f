"""Pieces of answers as OpenAI's objects, whole or streamed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from cortex_pipelines.serving.engines.engine import (
    BusyError,
    EngineError,
    GeneratedToken,
    TextDelta,
)
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import ClientGoneError, error_body
from cortex_pipelines.serving.requests import Answering, PreparedRequest

CACHE = "x-cortex-cache"
"""In an answer ``hit`` if it was given before; in a request ``no`` to have it made anew."""


@dataclass
class PartialAnswer:
    """One answer, as far as it came."""

    text: str = ""
    tokens: list[GeneratedToken] = field(default_factory=list)
    generated: int = 0
    finish: str | None = None

    def add(self, piece: TextDelta) -> None:
        """Take a piece."""
        self.text += piece.text
        self.tokens += piece.tokens
        self.generated += piece.generated
        self.finish = piece.finish or self.finish


def headers_of(*asked: PreparedRequest) -> dict[str, str]:
    """The headers that name what answers; of several requests to the same model together."""
    answering, made_by = asked[0].answering, asked[0].text.made_by
    headers = {
        "x-cortex-model": answering.served.name,
        "x-cortex-way": answering.way,
        "x-cortex-version": answering.version,
        "x-cortex-release": answering.release,
    }
    if answering.notice:
        headers["x-cortex-notice"] = plain(answering.notice)
    if made_by:
        headers["x-cortex-templates"] = ", ".join(map(str, made_by))
    if cut := max(part.cut for part in asked):
        headers["x-cortex-cut"] = f"{cut} tokens"
    return {name: plain(value) for name, value in headers.items()}


def cache_of(asked: Iterable[PreparedRequest]) -> dict[str, str]:
    """The header that names an answer that was given before; none of another."""
    return {CACHE: "hit"} if all(part.known is not None for part in asked) else {}


def flags_of(asked: Iterable[PreparedRequest]) -> dict[str, str]:
    """The header that names what the scan knew in the answers; none where there is nothing."""
    rules = sorted({rule for part in asked for rule in part.flags})
    return {"x-cortex-flags": ", ".join(rules)} if rules else {}


def outcome_of(asked: Sequence[PreparedRequest]) -> dict[str, str]:
    """Headers of what is known once the answers are written."""
    return flags_of(asked) | cache_of(asked)


def flag_events(asked: Iterable[PreparedRequest]) -> Iterator[ServerSentEvent]:
    """The same at the end of a stream, whose headers are long gone: a comment, which no client
    takes for a part of the answer."""
    for name, value in flags_of(asked).items():
        yield ServerSentEvent(comment=f"{name}: {value}", sep="\n")


def plain(text: str) -> str:
    """The text as a header can hold it: one line of ASCII."""
    return " ".join(text.encode("ascii", "replace").decode().split())[:500]


def made_id(prefix: str, answering: Answering) -> str:
    """The id of an answer, by which votes name it."""
    return f"{prefix}-{answering.identity}"


async def collect(
    gateway: Gateway, asked: PreparedRequest, request: Request | None = None
) -> list[PartialAnswer]:
    """All answers to one prompt; stops writing if the client has gone."""
    written = [PartialAnswer() for _ in range(asked.count)]

    async def read() -> None:
        async for piece in gateway.pieces(asked):
            written[piece.index].add(piece)

    if asked.known is not None:  # nothing to wait for
        await read()
        _count(gateway, asked, written)
        return written
    reading = asyncio.ensure_future(read())
    watching = asyncio.ensure_future(_gone(request)) if request is not None else None
    waited = [task for task in (reading, watching) if task is not None]
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ClientGoneError
        await reading
    finally:
        for task in waited:
            task.cancel()
        await asyncio.gather(*waited, return_exceptions=True)
    _count(gateway, asked, written)
    return written


async def _gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


def usage_of(asked: Sequence[PreparedRequest], written: Sequence[PartialAnswer]) -> dict[str, int]:
    """OpenAI's counts; a prompt counts once for all of its answers."""
    read = sum(len(part.prompt.ids) for part in asked)
    made = sum(answer.generated for answer in written)
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def envelope(kind: str, prefix: str, answering: Answering) -> dict[str, Any]:
    """What stands around every answer."""
    return {
        "id": made_id(prefix, answering),
        "object": kind,
        "created": int(time.time()),
        "model": answering.served.name,
        "system_fingerprint": answering.version,
    }


def versioned(body: Mapping[str, Any], model: str) -> Response:
    """An answer of what no adapter is part of, which holds its ``version``."""
    headers = {"x-cortex-model": model, "x-cortex-version": str(body["version"])}
    # half a surrogate pair in a record cannot be written otherwise
    return Response(json.dumps(body), media_type="application/json", headers=headers)


def whole(
    frame: dict[str, Any],
    choices: list[dict[str, Any]],
    usage: dict[str, int],
    headers: dict[str, str],
) -> Response:
    """An answer that is not streamed."""
    return JSONResponse({**frame, "choices": choices, "usage": usage}, headers=headers)


def streamed(
    gateway: Gateway,
    asked: Sequence[PreparedRequest],
    frame: dict[str, Any],
    choice: Callable[[int, TextDelta], list[dict[str, Any]]],
    include_usage: bool,
    headers: dict[str, str],
    first: Sequence[dict[str, Any]] = (),
) -> Response:
    """An answer in server-sent events, as it is written.

    Args:
        gateway: What writes it.
        asked: A request for each prompt.
        frame: What stands around every chunk.
        choice: Makes the choices of a chunk from a piece and the number of its answer.
        include_usage: Whether a last chunk tells the counts.
        headers: What answered.
        first: Choices before anything is written.

    Raises:
        BusyError: too many requests wait.
    """
    if not cache_of(asked):
        gateway.require_room(asked[0])

    async def events() -> AsyncIterator[ServerSentEvent]:
        nothing = {"usage": None} if include_usage else {}
        for opening in first:
            yield _event({**frame, "choices": [opening], **nothing})
        written: list[PartialAnswer] = []
        try:
            for place, part in enumerate(asked):
                mine = [PartialAnswer() for _ in range(part.count)]
                async for piece in gateway.pieces(part):
                    mine[piece.index].add(piece)
                    for made in choice(place * part.count + piece.index, piece):
                        yield _event({**frame, "choices": [made], **nothing})
                _count(gateway, part, mine)
                written += mine
            if include_usage:
                yield _event({**frame, "choices": [], "usage": usage_of(asked, written)})
            for flagged in flag_events(asked):
                yield flagged
            yield ServerSentEvent("[DONE]", sep="\n")
        except (BusyError, EngineError) as error:
            status = 429 if isinstance(error, BusyError) else 503
            yield _event(error_body(str(error), status))

    return EventSourceResponse(events(), headers=headers | cache_of(asked), sep="\n")


def _event(value: dict[str, Any]) -> ServerSentEvent:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(text, sep="\n")


def _count(gateway: Gateway, asked: PreparedRequest, written: Sequence[PartialAnswer]) -> None:
    tokens = gateway.metrics.tokens
    name = asked.answering.served.name
    tokens.labels(name, "read").inc(len(asked.prompt.ids))
    tokens.labels(name, "written").inc(sum(answer.generated for answer in written))
