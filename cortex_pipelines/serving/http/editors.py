"""APIs of editors: those of llama.cpp's server and of Tabby's."""

import json
import platform
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, model_validator
from sse_starlette import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.feedback.events import Id
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.paths import repository_name, repository_path
from cortex_pipelines.release.experiments.running import Vote
from cortex_pipelines.serving.engines.engine import BusyError, EngineError, Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import (
    PartialAnswer,
    cache_of,
    collect,
    ending_events,
    event_stream,
    headers_of,
    once_submitted,
    outcome_of,
    prepare,
)
from cortex_pipelines.serving.http.errors import error_event
from cortex_pipelines.serving.http.openai_fields import FIELDS
from cortex_pipelines.serving.http.schemas import Form, Generation, LongText, ModelName, effective_temperature
from cortex_pipelines.serving.requests import AnswerBackend, PreparedRequest, PromptBuilder, completion, infill
from cortex_pipelines.serving.rollout import request_user
from cortex_pipelines.tokenization.text_encoder import token_ids

_ENDINGS = {"stop": "eos", "length": "limit", "cancelled": "limit"}


class ExtraFile(Form):
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


def editors_router(gateway: Gateway) -> APIRouter:
    """The routes that llama.vscode and llama.vim use, and Tabby's agent, whose completions share OpenAI's route."""
    router = APIRouter()

    @router.post("/infill")
    async def fill(form: InfillForm, request: Request) -> Response:
        extra = [f"{file.filename}\n{file.text}".strip() for file in form.input_extra or ()]
        gap = infill(form.input_prefix + form.prompt, form.input_suffix, extra)
        return await _answer(gateway, form, gap, request)

    @router.post("/completion")
    async def complete(form: LlamaForm, request: Request) -> Response:
        return await _answer(gateway, form, completion(form.prompt), request)

    @router.post("/tokenize")
    def tokenise(form: TokeniseForm) -> dict[str, Any]:
        (ids,) = token_ids(gateway.engine.tokenizer, [form.content])
        return {"tokens": ids}

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

    @router.get("/v1/health", name="health")
    @router.post("/v1/health", name="health")
    def tabby_health() -> dict[str, Any]:
        catalogue = gateway.source.current
        return {
            "model": catalogue.default,
            "chat_model": catalogue.default,
            "device": "cpu",
            "arch": platform.machine(),
            "cpu_info": platform.processor(),
            "cpu_count": gateway.settings.threads,
            "cuda_devices": [],
            "version": {
                **dict.fromkeys(("build_date", "build_timestamp", "git_sha"), ""),
                "git_describe": version("cortex-pipelines"),
            },
        }

    @router.get("/v1beta/server_setting")
    def setting() -> dict[str, bool]:
        return {"disable_client_side_telemetry": True}

    @router.post("/v1/events")
    def event(form: EventForm) -> Response:
        gateway.events.add(form.model_dump(exclude_none=True), request_user())
        if (vote := _VOTES.get(form.type)) is not None:
            gateway.record_vote(form.completion_id, vote)
        return Response(status_code=200)

    return router


def _deadline(limit: float | None) -> Any:
    """llama.cpp's rule: no new line is started after the time limit (milliseconds)."""
    if not limit:
        return None
    end = time.monotonic() + limit / 1000
    return lambda text: "\n" in text.strip("\n") and time.monotonic() > end


async def _answer(gateway: Gateway, form: LlamaForm, prompt: PromptBuilder, request: Request) -> Response:
    limit = form.n_predict if form.n_predict is not None and form.n_predict >= 0 else gateway.settings.max_tokens
    sampling = replace(
        form.sampling(limit),
        seed=form.seed if (form.seed or 0) >= 0 else None,
        finished=_deadline(form.t_max_predict_ms),
    )
    prepared = await prepare(gateway, form.model, form.user, prompt, sampling)
    headers = headers_of(prepared)
    began = time.perf_counter()
    if not form.stream:
        (answer,) = await collect(gateway, [prepared], request)
        last = _final_chunk(prepared, answer, time.perf_counter() - began)
        headers |= outcome_of([prepared])
        return JSONResponse({**last, "content": answer.text}, headers=headers)
    headers |= cache_of([prepared])
    deltas = await once_submitted(gateway.stream(prepared))

    async def events() -> AsyncIterator[ServerSentEvent]:
        answer = PartialAnswer()
        try:
            async for delta in deltas:
                answer.add(delta)
                yield _event({"index": 0, "content": delta.text, "tokens": [], "stop": False, "id_slot": 0})
            for ending in ending_events([prepared]):
                yield ending
            yield _event(_final_chunk(prepared, answer, time.perf_counter() - began))
        except (BusyError, EngineError) as error:
            yield _event(error_event(error))

    return event_stream(events(), headers)


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
            "cache_n": answer.cached,
            "prompt_n": prompt_tokens - answer.cached,
            **dict.fromkeys(("prompt_ms", "prompt_per_token_ms", "prompt_per_second"), 0.0),
            "predicted_n": generated_tokens,
            "predicted_ms": round(milliseconds, 3),
            "predicted_per_token_ms": round(milliseconds / max(generated_tokens, 1), 3),
            "predicted_per_second": round(generated_tokens / max(seconds, 1e-9), 3),
        },
    }


def _event(value: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(value, ensure_ascii=False), sep="\n")


_MOST = 64
"""Tokens of one suggestion, as in Tabby's own server."""

_VOTES: Mapping[str, Vote] = {"select": "up", "dismiss": "dismissed"}
"""Votes implied by the agent's events; ``view`` implies none."""

_LANGUAGES = {"unknown": None, "javascriptreact": "javascript", "typescriptreact": "typescript"}
"""Editors' names of languages that have others here."""

Name = Annotated[LongText, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=10**12)]


class CodeSnippet(Form):
    filepath: LongText = ""
    body: LongText = ""


class CursorContext(Form):
    prefix: LongText
    suffix: LongText | None = None
    filepath: LongText | None = None
    git_url: LongText | None = None
    declarations: Annotated[list[CodeSnippet], Field(max_length=256)] | None = None
    relevant_snippets_from_changed_files: Annotated[list[CodeSnippet], Field(max_length=256)] | None = None
    clipboard: LongText | None = None


class TabbyForm(Form):
    """``POST /v1/completions`` of Tabby, distinguished from OpenAI's by ``segments``."""

    segments: CursorContext
    language: Name | None = None
    model: ModelName | None = None
    user: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None


def _of_a_client(kind: Any) -> Any:
    if kind in ("offered", "feedback"):
        raise ValueError(f"{kind} is what the gateway itself writes down; a client cannot")
    return kind


EventType = Annotated[
    Literal["view", "select", "dismiss", "typed", "edited", "retained"], BeforeValidator(_of_a_client)
]
"""Other types are refused, as by Tabby's own server; its agent ignores the error."""


class EventForm(Form):
    """``POST /v1/events``: an event about a suggestion.

    Tabby's agent sends view, select and dismiss. Other clients may also send typed (something else
    was typed), edited, and retained: ``characters`` that remain ``after`` so many seconds.
    """

    type: EventType
    completion_id: Id
    choice_index: Number = 0
    view_id: Name | None = None
    elapsed: Number | None = None
    select_kind: Literal["line", "block"] | None = None
    characters: Number | None = None
    after: Literal[30, 300, 3600] | None = None
    simulated: Literal[True] | None = None

    @model_validator(mode="after")
    def _how_much_and_when(self) -> "EventForm":
        if self.type == "retained" and (self.after is None or self.characters is None):
            raise ValueError("retained says how many characters stand after 30, 300 or 3600 s")
        return self


async def suggest_for_tabby(gateway: Gateway, form: TabbyForm, request: Request) -> Response:
    cursor = form.segments
    snippets = [*(cursor.declarations or ()), *(cursor.relevant_snippets_from_changed_files or ())]
    extra = [f"{snippet.filepath}\n{snippet.body}".strip() for snippet in snippets]
    sampling = Sampling(_MOST, effective_temperature(form.temperature), seed=form.seed, stop=("\n\n",))
    editor_language = form.language or "unknown"
    language = language_of(cursor.filepath or "", cursor.prefix) or _LANGUAGES.get(editor_language, editor_language)
    gap = infill(cursor.prefix, cursor.suffix or "", extra, language)
    prepared = await prepare(gateway, form.model, form.user, gap, sampling)
    began = time.perf_counter()
    (answer,) = await collect(gateway, [prepared], request)
    identity = f"cmpl-{prepared.backend.identity}"
    event = offered_event(identity, prepared.backend) | {
        "tokens": answer.generated,
        "characters": len(answer.text),
        "latency_ms": round(1000 * (time.perf_counter() - began), 3),
        "language": form.language,
        # folders above the repository contain names of people
        "path": repository_path(cursor.filepath or "", repository_name(cursor.git_url or "")),
        "task": "completion",
    }
    await run_in_threadpool(gateway.events.add, event, request_user(form.user))
    body = {"id": identity, "choices": [{"index": 0, "text": answer.text}]}
    return JSONResponse(body, headers=headers_of(prepared) | outcome_of([prepared]))


def offered_event(identity: str, backend: AnswerBackend) -> dict[str, Any]:
    """Event for a new answer: backend and propensity, without code."""
    arm, propensity = backend.variant_propensity
    return {
        "type": "offered",
        "completion_id": identity,
        **backend.identification,
        "project": backend.served.details.get("project"),
        "arm": arm,
        "propensity": propensity,
    }
