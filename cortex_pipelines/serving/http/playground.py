"""``POST /playground``: one prompt, answered in a way that is asked for by name."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.conditions import ways_of
from cortex_pipelines.serving.engines.engine import Sampling, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import envelope, headers_of, streamed
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, ModelName, Words
from cortex_pipelines.serving.http.tabby import offered
from cortex_pipelines.serving.request_prompts import completion, infill
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.serving.response_cache import answered_anew
from cortex_pipelines.serving.rollout import user


class PlaygroundForm(Form):
    """``POST /playground``."""

    prompt: Words
    way: Literal["base", "context", "adapter", "both"]
    model: ModelName | None = None
    suffix: Words | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 48


def playground_router(gateway: Gateway) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/playground")
    async def play(form: PlaygroundForm) -> Response:
        asked = await run_in_threadpool(_asked, gateway, form)
        frame = envelope("text_completion", "cmpl", asked.answering)
        event = offered(str(frame["id"]), asked.answering) | {"from": "page"}
        await run_in_threadpool(gateway.events.add, event, user())
        headers = headers_of(asked)
        return streamed(gateway, [asked], frame, _choice, True, headers)

    return router


def _asked(gateway: Gateway, form: PlaygroundForm) -> PreparedRequest:
    served = gateway.source.current.find(form.model)
    ways = ways_of(served)
    if form.way not in ways:
        raise RequestError(
            f"{served.name} cannot be answered by {form.way}; there is {', '.join(ways)}", "way"
        )
    answering = gateway.answering_with(ways[form.way])
    text = infill(form.prompt, form.suffix) if form.suffix else completion(form.prompt)
    with answered_anew():  # people look at the time that an answer takes
        return gateway.ask(answering, text, Sampling(form.max_tokens))


def _choice(place: int, piece: TextDelta) -> list[dict[str, Any]]:
    return [{"index": place, "text": piece.text, "finish_reason": piece.finish}]
