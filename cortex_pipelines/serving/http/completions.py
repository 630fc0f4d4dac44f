"""``POST /v1/completions`` and ``/v1/chat/completions``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Discriminator, Tag
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.engines.engine import Alternative, GeneratedToken, Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import (
    PartialAnswer,
    collect,
    envelope,
    headers_of,
    outcome_of,
    plain,
    streamed,
    usage_of,
    whole,
)
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import ChatForm, CompletionForm, GapForm, Generation
from cortex_pipelines.serving.http.search import packed, require_project
from cortex_pipelines.serving.http.tabby import TabbyForm, suggest_for_tabby
from cortex_pipelines.serving.request_prompts import (
    Form,
    chat,
    cited,
    completion,
    infill,
    shown,
)
from cortex_pipelines.serving.requests import Answering, PreparedRequest
from cortex_pipelines.serving.services import ProjectServices

_USUAL_TOKENS = 16
"""Of a completion, in OpenAI's own interface; of a chat there is no limit but the window's."""


def _form_of(body: Any) -> str:
    return "tabby" if isinstance(body, dict) and "segments" in body else "openai"


def completions_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """The routes that write text."""
    router = APIRouter()

    @router.post("/v1/completions")
    async def completions(
        form: Annotated[
            Annotated[CompletionForm, Tag("openai")] | Annotated[TabbyForm, Tag("tabby")],
            Discriminator(_form_of),
        ],
        request: Request,
    ) -> Response:
        if isinstance(form, TabbyForm):
            return await suggest_for_tabby(gateway, form, request)
        return await complete(gateway, form, request)

    @router.post("/fim/completions")
    @router.post("/v1/fim/completions")
    async def fill(form: GapForm, request: Request) -> Response:
        most = gateway.settings.max_tokens if form.max_tokens is None else form.max_tokens
        answering = await run_in_threadpool(gateway.answering, form.model, for_user=form.user)
        gap = infill(form.prompt, form.suffix or "")
        how = sampling_of(form, most)
        asked = await run_in_threadpool(gateway.ask, answering, gap, how, form.n or 1)
        return await _turns(gateway, form, asked, False, request)

    @router.post("/v1/chat/completions")
    async def chat_completions(form: ChatForm, request: Request) -> Response:
        return await converse(gateway, services, form, request)

    return router


async def complete(gateway: Gateway, form: CompletionForm, request: Request) -> Response:
    """Text that goes on with each prompt, or fills the gap before ``suffix``."""
    most = _USUAL_TOKENS if form.max_tokens is None else form.max_tokens
    how = sampling_of(form, most, form.logprobs or 0)

    def prepared() -> list[PreparedRequest]:
        answering = gateway.answering(form.model, for_user=form.user)
        forms = (infill(text, form.suffix) if form.suffix else completion(text) for text in texts)
        return [gateway.ask(answering, each, how, form.n or 1) for each in forms]

    texts = form.prompts
    asked = await run_in_threadpool(prepared)
    answering = asked[0].answering
    headers = headers_of(*asked)
    frame = envelope("text_completion", "cmpl", answering)
    shown = form.logprobs is not None
    if form.stream:

        def choices(place: int, piece: TextDelta) -> list[dict[str, Any]]:
            parts = [_text_choice(place, piece.text, piece.tokens, shown, None)]
            if piece.finish:
                if not piece.text and not (shown and piece.tokens):
                    parts = []
                parts.append(_text_choice(place, "", (), shown, piece.finish))
            return parts

        return streamed(gateway, asked, frame, choices, _with_usage(form), headers)
    written = [answer for part in asked for answer in await collect(gateway, part, request)]
    listed = [
        _text_choice(place, answer.text, answer.tokens, shown, answer.finish)
        for place, answer in enumerate(written)
    ]
    return whole(frame, listed, usage_of(asked, written), headers | outcome_of(asked))


async def converse(
    gateway: Gateway, services: ProjectServices, form: ChatForm, request: Request
) -> Response:
    """The next turn of a conversation, with code of the project before it where that is asked."""
    most = form.max_completion_tokens if form.max_tokens is None else form.max_tokens
    how = sampling_of(
        form, gateway.settings.max_tokens if most is None else most, form.top_logprobs or 0
    )
    answering = await run_in_threadpool(
        gateway.answering, form.model, context=False, for_user=form.user
    )
    project = str(answering.served.about.get("project") or "")
    known: Mapping[str, Any] = {"known": "", "pieces": []}
    if form.context is not None:
        require_project(project or None)
        known = await run_in_threadpool(
            packed, services, form.question, project or None, form.context
        )
    turns = chat([turn.as_chat_message() for turn in form.messages], project, shown(known))
    asked = await run_in_threadpool(_whole_chat, gateway, answering, turns, how, form.n or 1)
    return await _turns(gateway, form, asked, bool(form.logprobs), request, cited(known["pieces"]))


async def _turns(
    gateway: Gateway,
    form: Generation,
    asked: PreparedRequest,
    shown: bool,
    request: Request,
    sources: Sequence[str] = (),
) -> Response:
    """Answers as messages, whole or streamed; with the places that were shown before them."""
    headers = headers_of(asked)
    if sources:
        headers["x-cortex-context"] = plain(", ".join(sources))
    if form.stream:
        frame = envelope("chat.completion.chunk", "chatcmpl", asked.answering)
        first = [
            _delta(place, {"role": "assistant", "content": ""}, (), False, None)
            for place in range(asked.count)
        ]

        def choices(place: int, piece: TextDelta) -> list[dict[str, Any]]:
            parts = []
            if piece.text or (shown and piece.tokens):
                parts.append(_delta(place, {"content": piece.text}, piece.tokens, shown, None))
            if piece.finish:
                parts.append(_delta(place, {}, (), False, piece.finish))
            return parts

        return streamed(gateway, [asked], frame, choices, _with_usage(form), headers, first)
    frame = envelope("chat.completion", "chatcmpl", asked.answering)
    if sources:
        frame["context"] = list(sources)
    written = await collect(gateway, asked, request)
    messages = [_turn(place, answer, shown) for place, answer in enumerate(written)]
    return whole(frame, messages, usage_of([asked], written), headers | outcome_of([asked]))


def sampling_of(form: Generation, most: int, top: int = 0) -> Sampling:
    """How an answer is chosen; the likeliest tokens unless a temperature is given."""
    return Sampling(
        most,
        form.temperature or 0.0,
        1.0 if form.top_p is None else form.top_p,
        form.seed,
        form.stops,
        top,
        form.presence_penalty or 0.0,
        form.frequency_penalty or 0.0,
        form.cache_prompt is not False,
    )


def _whole_chat(
    gateway: Gateway, answering: Answering, turns: Form, how: Sampling, count: int
) -> PreparedRequest:
    """A conversation that has room; cutting one would lose what it is about."""
    asked = gateway.ask(answering, turns, how, count)
    if asked.prompt.cut:
        whole_size = len(asked.prompt.ids) + asked.prompt.cut
        raise RequestError(
            f"the conversation has {whole_size} tokens, and with its answer the window has room "
            f"for {len(asked.prompt.ids)}; send fewer or shorter messages",
            "messages",
            code="context_length_exceeded",
        )
    return asked


def _with_usage(form: Generation) -> bool:
    return bool(form.stream_options and form.stream_options.include_usage)


def _text_choice(
    place: int, text: str, tokens: Sequence[GeneratedToken], shown: bool, finish: str | None
) -> dict[str, Any]:
    scores = _text_scores(tokens) if shown and (tokens or finish is None) else None
    return {"text": text, "index": place, "logprobs": scores, "finish_reason": finish}


def _text_scores(tokens: Sequence[GeneratedToken]) -> dict[str, Any]:
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_likeliest(token) for token in tokens],
        "text_offset": [token.offset for token in tokens],
    }


def _likeliest(token: GeneratedToken) -> dict[str, float | None]:
    """The alternatives, and the token itself even if it is not one of them."""
    shown: dict[str, float | None] = {}
    for each in token.top:
        shown.setdefault(each.text, each.logprob)
    shown.setdefault(token.text, token.logprob)
    return shown


def _turn(place: int, written: PartialAnswer, shown: bool) -> dict[str, Any]:
    return {
        "index": place,
        "message": {"role": "assistant", "content": written.text, "refusal": None},
        "logprobs": _turn_scores(written.tokens) if shown else None,
        "finish_reason": written.finish,
    }


def _delta(
    place: int,
    delta: dict[str, Any],
    tokens: Sequence[GeneratedToken],
    shown: bool,
    finish: str | None,
) -> dict[str, Any]:
    scores = _turn_scores(tokens) if shown else None
    return {"index": place, "delta": delta, "logprobs": scores, "finish_reason": finish}


def _turn_scores(tokens: Sequence[GeneratedToken]) -> dict[str, Any]:
    return {"content": [_turn_score(token) for token in tokens], "refusal": None}


def _turn_score(token: GeneratedToken) -> dict[str, Any]:
    def shown(scored: GeneratedToken | Alternative) -> dict[str, Any]:
        return {"token": scored.text, "logprob": scored.logprob, "bytes": list(scored.raw)}

    return {**shown(token), "top_logprobs": [shown(each) for each in token.top]}
