"""``POST /v1/completions`` and ``/v1/chat/completions``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Discriminator, Tag
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.engines.engine import Alternative, GeneratedToken
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import (
    collect,
    envelope,
    headers_of,
    outcome_of,
    prepare,
    streaming_response,
    usage_of,
)
from cortex_pipelines.serving.http.editors import TabbyForm, suggest_for_tabby
from cortex_pipelines.serving.http.errors import RequestError, plain
from cortex_pipelines.serving.http.project_routes import pack_context, require_project
from cortex_pipelines.serving.http.schemas import ChatForm, CompletionForm, GapForm, Generation
from cortex_pipelines.serving.requests import PreparedRequest, chat, citations, completion, context_text, infill
from cortex_pipelines.serving.services import ProjectServices

_USUAL_TOKENS = 16
"""OpenAI's default length of a completion; chats are limited by the window only."""


_LEAST_ANSWER = 64
"""Tokens that a conversation has to leave room for; an answer ends where the window is full."""

_BODY = Discriminator(lambda body: "tabby" if isinstance(body, dict) and "segments" in body else "openai")


def completions_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/completions")
    async def completions(
        form: Annotated[Annotated[CompletionForm, Tag("openai")] | Annotated[TabbyForm, Tag("tabby")], _BODY],
        request: Request,
    ) -> Response:
        if isinstance(form, TabbyForm):
            return await suggest_for_tabby(gateway, form, request)
        return await complete(gateway, form, request)

    @router.post("/fim/completions")
    @router.post("/v1/fim/completions")
    async def fill(form: GapForm, request: Request) -> Response:
        most = gateway.settings.max_tokens if form.max_tokens is None else form.max_tokens
        gap = infill(form.prompt, form.suffix or "")
        prepared = await prepare(gateway, form.model, form.user, gap, form.sampling(most), form.n or 1)
        return await _chat_response(gateway, form, prepared, False, request)

    @router.post("/v1/chat/completions")
    async def chat_completions(form: ChatForm, request: Request) -> Response:
        most = form.max_completion_tokens if form.max_tokens is None else form.max_tokens
        sampling = form.sampling(gateway.settings.max_tokens if most is None else most, form.top_logprobs or 0)
        backend = await run_in_threadpool(gateway.backend_for, form.model, context=False, for_user=form.user)
        project = str(backend.served.details.get("project") or "")
        code_context: Mapping[str, Any] = {"known": "", "pieces": []}
        if form.context is not None:  # code of the project is shown
            require_project(project or None)
            question = next((turn.text for turn in reversed(form.messages) if turn.role == "user"), "")
            code_context = await run_in_threadpool(pack_context, services, question, project or None, form.context)
        turns = chat([turn.as_chat_message() for turn in form.messages], project, context_text(code_context))
        prepared = await run_in_threadpool(gateway.prepare, backend, turns, sampling, form.n or 1, _LEAST_ANSWER)
        if prepared.prompt.cut:  # a conversation must not be cut
            room = len(prepared.prompt.ids)
            raise RequestError(
                f"the conversation has {room + prepared.prompt.cut} tokens, and with its answer the window has room "
                f"for {room}; send fewer or shorter messages",
                "messages",
                code="context_length_exceeded",
            )
        sources = citations(code_context["pieces"])
        return await _chat_response(gateway, form, prepared, bool(form.logprobs), request, sources)

    return router


async def complete(gateway: Gateway, form: CompletionForm, request: Request) -> Response:
    """Continue each prompt, or fill the gap before ``suffix``."""
    most = _USUAL_TOKENS if form.max_tokens is None else form.max_tokens
    sampling = form.sampling(most, form.logprobs or 0)
    texts = [form.prompt] if isinstance(form.prompt, str) else form.prompt
    with_logprobs = form.logprobs is not None

    def prepare_all() -> list[PreparedRequest]:
        backend = gateway.backend_for(form.model, for_user=form.user)
        forms = (infill(text, form.suffix) if form.suffix else completion(text) for text in texts)
        return [gateway.prepare(backend, each, sampling, form.n or 1) for each in forms]

    def choice(index: int, text: str, tokens: Sequence[GeneratedToken], finish: str | None) -> dict[str, Any]:
        scores = None
        if with_logprobs and (tokens or finish is None):
            scores = {
                "tokens": [token.text for token in tokens],
                "token_logprobs": [token.logprob for token in tokens],
                "top_logprobs": [_likeliest(token) for token in tokens],
                "text_offset": [token.offset for token in tokens],
            }
        return {"text": text, "index": index, "logprobs": scores, "finish_reason": finish}

    requests = await run_in_threadpool(prepare_all)
    frame, headers = envelope("text_completion", "cmpl", requests[0].backend), headers_of(*requests)
    if form.stream:
        return await streaming_response(gateway, requests, frame, choice, headers, form.wants_usage, with_logprobs)
    answers = await collect(gateway, requests, request)
    frame["choices"] = [
        choice(index, each.text, each.tokens, None) | {"finish_reason": each.finish}
        for index, each in enumerate(answers)
    ]
    return JSONResponse({**frame, "usage": usage_of(requests, answers)}, headers=headers | outcome_of(requests))


async def _chat_response(
    gateway: Gateway,
    form: Generation,
    prepared: PreparedRequest,
    with_logprobs: bool,
    request: Request,
    sources: Sequence[str] = (),
) -> Response:
    headers = headers_of(prepared)
    if sources:
        headers["x-cortex-context"] = plain(", ".join(sources))
    if form.stream:
        frame = envelope("chat.completion.chunk", "chatcmpl", prepared.backend)
        empty = {"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        first = [{"index": index, **empty} for index in range(prepared.count)]

        def choice(index: int, text: str, tokens: Sequence[GeneratedToken], finish: str | None) -> dict[str, Any]:
            scores = _turn_scores(tokens) if with_logprobs and not finish else None
            delta = {} if finish else {"content": text}
            return {"index": index, "delta": delta, "logprobs": scores, "finish_reason": finish}

        return await streaming_response(
            gateway, [prepared], frame, choice, headers, form.wants_usage, with_logprobs, first
        )
    frame = envelope("chat.completion", "chatcmpl", prepared.backend)
    if sources:
        frame["context"] = list(sources)
    answers = await collect(gateway, [prepared], request)
    frame["choices"] = [
        {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": _turn_scores(answer.tokens) if with_logprobs else None,
            "finish_reason": answer.finish,
        }
        for index, answer in enumerate(answers)
    ]
    return JSONResponse({**frame, "usage": usage_of([prepared], answers)}, headers=headers | outcome_of([prepared]))


def _likeliest(token: GeneratedToken) -> dict[str, float | None]:
    top_logprobs: dict[str, float | None] = {}
    for each in token.top:
        top_logprobs.setdefault(each.text, each.logprob)
    top_logprobs.setdefault(token.text, token.logprob)
    return top_logprobs


def _turn_scores(tokens: Sequence[GeneratedToken]) -> dict[str, Any]:
    def score(token: GeneratedToken | Alternative) -> dict[str, Any]:
        return {"token": token.text, "logprob": token.logprob, "bytes": list(token.raw)}

    content = [{**score(token), "top_logprobs": [score(top) for top in token.top]} for token in tokens]
    return {"content": content, "refusal": None}
