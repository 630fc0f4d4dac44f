"""API of llama.cpp's server, for editors that use it."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from cortex_pipelines.serving.engines.engine import BusyError, EngineError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import (
    PartialAnswer,
    cache_of,
    collect,
    error_body,
    flag_events,
    headers_of,
    outcome_of,
    prepare,
)
from cortex_pipelines.serving.http.openai_fields import FIELDS
from cortex_pipelines.serving.http.schemas import Form, Generation, LongText
from cortex_pipelines.serving.requests import PreparedRequest, completion, infill
from cortex_pipelines.tokenization.text_encoder import token_ids

_ENDINGS = {"stop": "eos", "length": "limit", "cancelled": "limit"}


class ExtraFile(Form):
    """Code from another file, sent by the editor."""

    text: LongText = ""
    filename: LongText = ""


class LlamaForm(Generation):
    """``POST /completion``."""

    api_fields = FIELDS["llama_cpp"]
    refuses_unknown = False
    prompt: LongText = ""
    n_predict: Annotated[int, Field(ge=-2, le=1_000_000)] | None = None
    t_max_predict_ms: Annotated[float, Field(ge=0, le=1e9)] | None = None


class InfillForm(LlamaForm):
    """``POST /infill``; ``prompt`` is the part of the cursor's line before it."""

    input_prefix: LongText = ""
    input_suffix: LongText = ""
    input_extra: Annotated[list[ExtraFile], Field(max_length=256)] | None = None


class TokeniseForm(Form):
    content: LongText
    with_pieces: bool = False


class DetokeniseForm(Form):
    tokens: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=100_000)]


def llama_router(gateway: Gateway) -> APIRouter:
    """The routes that llama.vscode and llama.vim use."""
    router = APIRouter()

    @router.post("/infill")
    async def fill(form: InfillForm, request: Request) -> Response:
        extra = [f"{file.filename}\n{file.text}".strip() for file in form.input_extra or ()]
        gap = infill(form.input_prefix + form.prompt, form.input_suffix, extra)
        prepared = await _prepare(gateway, form, gap)
        return await _answer(gateway, form, prepared, request)

    @router.post("/completion")
    @router.post("/completions")
    async def complete(form: LlamaForm, request: Request) -> Response:
        prepared = await _prepare(gateway, form, completion(form.prompt))
        return await _answer(gateway, form, prepared, request)

    @router.post("/tokenize")
    def tokenise(form: TokeniseForm) -> dict[str, Any]:
        (ids,) = token_ids(gateway.engine.tokenizer, [form.content])
        if not form.with_pieces:
            return {"tokens": ids}
        decode = gateway.engine.tokenizer.decode
        return {"tokens": [{"id": token, "piece": decode([token])} for token in ids]}

    @router.post("/detokenize")
    def detokenise(form: DetokeniseForm) -> dict[str, str]:
        vocabulary_size = len(gateway.engine.tokenizer)
        ids = [token for token in form.tokens if token < vocabulary_size]
        return {"content": gateway.engine.tokenizer.decode(ids)}

    @router.get("/props")
    def props() -> dict[str, Any]:
        catalogue = gateway.source.current
        return {
            "default_generation_settings": {"n_ctx": gateway.engine.window, "id": 0},
            "total_slots": 1,
            "model_path": catalogue.base,
            "model_alias": catalogue.default,
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


async def _prepare(gateway: Gateway, form: LlamaForm, prompt: Any) -> PreparedRequest:
    max_tokens = gateway.settings.max_tokens
    if form.n_predict is not None and form.n_predict >= 0:
        max_tokens = form.n_predict
    sampling = replace(
        form.sampling(max_tokens),
        seed=form.seed if (form.seed or 0) >= 0 else None,
        finished=_deadline(form.t_max_predict_ms),
    )
    return await prepare(gateway, form.model, form.user, prompt, sampling)


def _deadline(limit: float | None) -> Any:
    """llama.cpp's rule: no new line is started after the time limit (milliseconds)."""
    if not limit:
        return None
    end = time.monotonic() + limit / 1000
    return lambda text: "\n" in text.strip("\n") and time.monotonic() > end


async def _answer(gateway: Gateway, form: LlamaForm, prepared: PreparedRequest, request: Request) -> Response:
    headers = headers_of(prepared)
    began = time.perf_counter()
    if not form.stream:
        (answer,) = await collect(gateway, prepared, request)
        last = _final_chunk(prepared, answer, time.perf_counter() - began)
        headers |= outcome_of([prepared])
        return JSONResponse({**last, "content": answer.text}, headers=headers)
    headers |= cache_of([prepared])
    if prepared.cached_deltas is None:
        gateway.require_room(prepared)

    async def events() -> AsyncIterator[ServerSentEvent]:
        answer = PartialAnswer()
        try:
            async for delta in gateway.stream(prepared):
                answer.add(delta)
                chunk = {"index": 0, "content": delta.text, "tokens": [], "stop": False}
                yield _event({**chunk, "id_slot": 0})
            for flagged in flag_events([prepared]):
                yield flagged
            yield _event(_final_chunk(prepared, answer, time.perf_counter() - began))
        except (BusyError, EngineError) as error:
            yield _event(error_body(str(error), 503))

    return EventSourceResponse(events(), headers=headers, sep="\n")


def _final_chunk(prepared: PreparedRequest, answer: PartialAnswer, seconds: float) -> dict[str, Any]:
    prompt_tokens, generated_tokens = len(prepared.prompt.ids), answer.generated
    stop_type = _ENDINGS[answer.finish or "length"]
    milliseconds = seconds * 1000
    return {
        "index": 0,
        "content": "",
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": prepared.backend.served.name,
        "tokens_predicted": generated_tokens,
        "tokens_evaluated": prompt_tokens,
        "tokens_cached": prompt_tokens + generated_tokens,
        "generation_settings": {"n_predict": prepared.sampling.max_tokens},
        "prompt": "",
        "has_new_line": "\n" in answer.text,
        "truncated": prepared.cut > 0,
        "stop_type": "word" if stop_type == "eos" and prepared.sampling.stop else stop_type,
        "stopping_word": "",
        "timings": {  # llama.cpp reports the prompt's time, too; here all of it counts as generation
            "cache_n": 0,
            "prompt_n": prompt_tokens,
            **dict.fromkeys(("prompt_ms", "prompt_per_token_ms", "prompt_per_second"), 0.0),
            "predicted_n": generated_tokens,
            "predicted_ms": round(milliseconds, 3),
            "predicted_per_token_ms": round(milliseconds / max(generated_tokens, 1), 3),
            "predicted_per_second": round(generated_tokens / max(seconds, 1e-9), 3),
        },
    }


def _event(value: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(value, ensure_ascii=False), sep="\n")
