"""What llama.cpp's server answers, for the editors that were written for it."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.engines.engine import BusyError, EngineError, Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import (
    PartialAnswer,
    cache_of,
    collect,
    flag_events,
    headers_of,
    outcome_of,
)
from cortex_pipelines.serving.http.errors import error_body
from cortex_pipelines.serving.http.openai_fields import LLAMA_CPP_FIELDS
from cortex_pipelines.serving.http.schemas import Form, Generation, Words
from cortex_pipelines.serving.request_prompts import completion, infill
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.tokenization.text_encoder import token_ids

_ENDINGS = {"stop": "eos", "length": "limit", "cancelled": "limit"}


class Extra(Form):
    """Other code that an editor shows."""

    text: Words = ""
    filename: Words = ""


class LlamaForm(Generation):
    """``POST /completion``."""

    api_fields = LLAMA_CPP_FIELDS
    refuses_unknown = False
    prompt: Words = ""
    n_predict: Annotated[int, Field(ge=-2, le=1_000_000)] | None = None
    t_max_predict_ms: Annotated[float, Field(ge=0, le=1e9)] | None = None


class InfillForm(LlamaForm):
    """``POST /infill``; ``prompt`` is what stands on the cursor's line before it."""

    input_prefix: Words = ""
    input_suffix: Words = ""
    input_extra: Annotated[list[Extra], Field(max_length=256)] | None = None


class TokeniseForm(Form):
    """``POST /tokenize``."""

    content: Words
    with_pieces: bool = False


class DetokeniseForm(Form):
    """``POST /detokenize``."""

    tokens: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=100_000)]


def llama_router(gateway: Gateway) -> APIRouter:
    """The routes that llama.vscode and llama.vim use."""
    router = APIRouter()

    @router.post("/infill")
    async def fill(form: InfillForm, request: Request) -> Response:
        extra = [f"{shown.filename}\n{shown.text}".strip() for shown in form.input_extra or ()]
        gap = infill(form.input_prefix + form.prompt, form.input_suffix, extra)
        asked = await _asked(gateway, form, gap)
        return await _answer(gateway, form, asked, request)

    @router.post("/completion")
    @router.post("/completions")
    async def complete(form: LlamaForm, request: Request) -> Response:
        asked = await _asked(gateway, form, completion(form.prompt))
        return await _answer(gateway, form, asked, request)

    @router.post("/tokenize")
    def tokenise(form: TokeniseForm) -> dict[str, Any]:
        (ids,) = token_ids(gateway.engine.tokenizer, [form.content])
        if not form.with_pieces:
            return {"tokens": ids}
        decode = gateway.engine.tokenizer.decode
        return {"tokens": [{"id": token, "piece": decode([token])} for token in ids]}

    @router.post("/detokenize")
    def detokenise(form: DetokeniseForm) -> dict[str, str]:
        known = len(gateway.engine.tokenizer)
        ids = [token for token in form.tokens if token < known]
        return {"content": gateway.engine.tokenizer.decode(ids)}

    @router.get("/props")
    def props() -> dict[str, Any]:
        now = gateway.source.current
        return {
            "default_generation_settings": {"n_ctx": gateway.engine.window, "id": 0},
            "total_slots": 1,
            "model_path": now.base,
            "model_alias": now.default,
            "chat_template": getattr(gateway.engine.tokenizer, "chat_template", None) or "",
            "modalities": {"vision": False, "audio": False},
        }

    @router.get("/health")
    def health() -> Response:
        alive = bool(gateway.engine.state()["alive"])
        return JSONResponse({"status": "ok" if alive else "error"}, 200 if alive else 503)

    @router.get("/lora-adapters")
    def adapters() -> list[Any]:
        return []  # an adapter is a model here, not a slot's scale

    return router


async def _asked(gateway: Gateway, form: LlamaForm, prompt: Any) -> PreparedRequest:
    most = gateway.settings.max_tokens
    if form.n_predict is not None and form.n_predict >= 0:
        most = form.n_predict
    how = Sampling(
        most,
        form.temperature or 0.0,
        1.0 if form.top_p is None else form.top_p,
        form.seed if (form.seed or 0) >= 0 else None,
        form.stops,
        presence=form.presence_penalty or 0.0,
        frequency=form.frequency_penalty or 0.0,
        reuse=form.cache_prompt is not False,
        finished=_deadline(form.t_max_predict_ms),
    )
    answering = await run_in_threadpool(gateway.answering, form.model, for_user=form.user)
    return await run_in_threadpool(gateway.ask, answering, prompt, how)


def _deadline(limit: float | None) -> Any:
    """llama.cpp's rule: after the time no further line is begun."""
    if not limit:
        return None
    end = time.monotonic() + limit / 1000
    return lambda text: "\n" in text.strip("\n") and time.monotonic() > end


async def _answer(
    gateway: Gateway, form: LlamaForm, asked: PreparedRequest, request: Request
) -> Response:
    headers = headers_of(asked)
    began = time.perf_counter()
    if not form.stream:
        (written,) = await collect(gateway, asked, request)
        last = _last(asked, written, time.perf_counter() - began)
        headers |= outcome_of([asked])
        return JSONResponse({**last, "content": written.text}, headers=headers)
    headers |= cache_of([asked])
    if asked.known is None:
        gateway.require_room(asked)

    async def events() -> AsyncIterator[ServerSentEvent]:
        written = PartialAnswer()
        try:
            async for piece in gateway.pieces(asked):
                written.add(piece)
                part = {"index": 0, "content": piece.text, "tokens": [], "stop": False}
                yield _event({**part, "id_slot": 0})
            for flagged in flag_events([asked]):
                yield flagged
            yield _event(_last(asked, written, time.perf_counter() - began))
        except (BusyError, EngineError) as error:
            yield _event(error_body(str(error), 503))

    return EventSourceResponse(events(), headers=headers, sep="\n")


def _last(asked: PreparedRequest, written: PartialAnswer, seconds: float) -> dict[str, Any]:
    read, made = len(asked.prompt.ids), written.generated
    stopped = _stopping(written, asked.sampling.stop)
    return {
        "index": 0,
        "content": "",
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": asked.answering.served.name,
        "tokens_predicted": made,
        "tokens_evaluated": read,
        "tokens_cached": read + made,
        "generation_settings": {"n_predict": asked.sampling.max_tokens},
        "prompt": "",
        "has_new_line": "\n" in written.text,
        "truncated": asked.cut > 0,
        "stop_type": stopped,
        "stopping_word": "",
        "timings": _timings(read, made, seconds),
    }


def _stopping(written: PartialAnswer, stop: Sequence[str]) -> str:
    ended = _ENDINGS[written.finish or "length"]
    return "word" if ended == "eos" and stop else ended


def _timings(read: int, made: int, seconds: float) -> dict[str, float]:
    """llama.cpp tells reading and writing apart; here the time is one, and told as writing."""
    spent = seconds * 1000
    return {
        "cache_n": 0,
        "prompt_n": read,
        "prompt_ms": 0.0,
        "prompt_per_token_ms": 0.0,
        "prompt_per_second": 0.0,
        "predicted_n": made,
        "predicted_ms": round(spent, 3),
        "predicted_per_token_ms": round(spent / max(made, 1), 3),
        "predicted_per_second": round(made / max(seconds, 1e-9), 3),
    }


def _event(value: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(value, ensure_ascii=False), sep="\n")
