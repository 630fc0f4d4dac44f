"""``POST /playground``: one prompt, answered under a chosen condition."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.conditions import ways_of
from cortex_pipelines.serving.engines.engine import Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import envelope, headers_of, streaming_response
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName
from cortex_pipelines.serving.http.tabby import offered_event
from cortex_pipelines.serving.request_prompts import completion, infill
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.serving.response_cache import cache_disabled
from cortex_pipelines.serving.rollout import request_user


class PlaygroundForm(Form):
    """``POST /playground``."""

    prompt: LongText
    way: Literal["base", "context", "adapter", "both"]
    model: ModelName | None = None
    suffix: LongText | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 48


def playground_router(gateway: Gateway) -> APIRouter:
    """The route ``/playground``."""
    router = APIRouter()

    @router.post("/playground")
    async def play(form: PlaygroundForm) -> Response:
        prepared = await run_in_threadpool(_prepare, gateway, form)
        frame = envelope("text_completion", "cmpl", prepared.backend)
        event = offered_event(str(frame["id"]), prepared.backend) | {"from": "page"}
        await run_in_threadpool(gateway.events.add, event, request_user())
        headers = headers_of(prepared)
        return streaming_response(gateway, [prepared], frame, _choice, True, headers)

    return router


def _prepare(gateway: Gateway, form: PlaygroundForm) -> PreparedRequest:
    served = gateway.source.current.find(form.model)
    ways = ways_of(served)
    if form.way not in ways:
        raise RequestError(f"{served.name} cannot be answered by {form.way}; there is {', '.join(ways)}", "way")
    backend = gateway.backend_of(ways[form.way])
    text = infill(form.prompt, form.suffix) if form.suffix else completion(form.prompt)
    with cache_disabled():  # the page shows the time an answer takes
        return gateway.prepare(backend, text, Sampling(form.max_tokens))


def _choice(index: int, delta: TextDelta) -> list[dict[str, Any]]:
    return [{"index": index, "text": delta.text, "finish_reason": delta.finish}]
