"""What Tabby's server answers, for its agent in editors."""

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.privacy.repository_paths import repository_name, repository_path
from cortex_pipelines.release.experiments.running import Vote
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import collect, headers_of, made_id, outcome_of
from cortex_pipelines.serving.http.schemas import Form, Id, ModelName, Words
from cortex_pipelines.serving.request_prompts import infill
from cortex_pipelines.serving.requests import Answering
from cortex_pipelines.serving.rollout import user

_MOST = 64
"""Tokens of one suggestion; Tabby's own server stops there, too."""

_VOTES: Mapping[str, Vote] = {"select": "up", "dismiss": "dismissed"}
"""What the agent's events say of an answer; that it was shown says nothing."""

Name = Annotated[Words, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=10**12)]


class CodeSnippet(Form):
    """Code from elsewhere that the agent shows."""

    filepath: Words = ""
    body: Words = ""


class Segments(Form):
    """What stands around the cursor."""

    prefix: Words
    suffix: Words | None = None
    filepath: Words | None = None
    git_url: Words | None = None
    declarations: Annotated[list[CodeSnippet], Field(max_length=256)] | None = None
    relevant_snippets_from_changed_files: (
        Annotated[list[CodeSnippet], Field(max_length=256)] | None
    ) = None
    clipboard: Words | None = None


class TabbyForm(Form):
    """``POST /v1/completions`` of Tabby, told from OpenAI's by its ``segments``."""

    segments: Segments
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
    Literal["view", "select", "dismiss", "typed", "edited", "retained"],
    BeforeValidator(_of_a_client),
]
"""Others are refused, as Tabby's own server does; its agent goes on without an answer."""


class EventForm(Form):
    """``POST /v1/events``: what became of a suggestion.

    Tabby's agent sends view, select and dismiss. Other clients may also send typed (something else
    was typed), edited, and retained: how many ``characters`` still stand ``after`` so many seconds.
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


def tabby_router(gateway: Gateway) -> APIRouter:
    """Health, settings and events; completions share their route with OpenAI's."""
    router = APIRouter()

    @router.get("/v1/health")
    @router.post("/v1/health")
    def health() -> dict[str, Any]:
        now = gateway.source.current
        return {
            "model": now.default,
            "chat_model": now.default,
            "device": "cpu",
            "arch": platform.machine(),
            "cpu_info": platform.processor(),
            "cpu_count": gateway.settings.threads,
            "cuda_devices": [],
            "version": {
                "build_date": "",
                "build_timestamp": "",
                "git_sha": "",
                "git_describe": version("cortex-pipelines"),
            },
        }

    @router.get("/v1beta/server_setting")
    def setting() -> dict[str, bool]:
        return {"disable_client_side_telemetry": True}

    @router.post("/v1/events")
    def event(form: EventForm) -> Response:
        gateway.events.add(form.model_dump(exclude_none=True), user())
        if (vote := _VOTES.get(form.type)) is not None:
            gateway.voted(form.completion_id, vote)
        return Response(status_code=200)

    return router


async def suggest_for_tabby(gateway: Gateway, form: TabbyForm, request: Request) -> Response:
    """A suggestion at the cursor."""
    shown = form.segments
    snippets = [*(shown.declarations or ()), *(shown.relevant_snippets_from_changed_files or ())]
    extra = [f"{snippet.filepath}\n{snippet.body}".strip() for snippet in snippets]
    how = Sampling(_MOST, form.temperature or 0.0, seed=form.seed, stop=("\n\n",))
    answering = await run_in_threadpool(gateway.answering, form.model, for_user=form.user)
    gap = infill(shown.prefix, shown.suffix or "", extra)
    asked = await run_in_threadpool(gateway.ask, answering, gap, how)
    began = time.perf_counter()
    (written,) = await collect(gateway, asked, request)
    identity = made_id("cmpl", answering)
    event = offered(identity, answering) | {
        "tokens": written.generated,
        "characters": len(written.text),
        "latency_ms": round(1000 * (time.perf_counter() - began), 3),
        "language": form.language,
        "path": _path(shown),
        "task": "completion",
    }
    await run_in_threadpool(gateway.events.add, event, user(form.user))
    body = {"id": identity, "choices": [{"index": 0, "text": written.text}]}
    headers = headers_of(asked)
    return JSONResponse(body, headers=headers | outcome_of([asked]))


def _path(shown: Segments) -> str | None:
    """The file in its repository: folders above it hold names of people."""
    return repository_path(shown.filepath or "", repository_name(shown.git_url or ""))


def offered(identity: str, answering: Answering) -> dict[str, Any]:
    """The event that an answer was given: what answered and how likely, and no code."""
    arm, propensity = answering.drawn
    return {
        "type": "offered",
        "completion_id": identity,
        "model": answering.served.name,
        "way": answering.way,
        "version": answering.version,
        "release": answering.release,
        "project": answering.served.about.get("project"),
        "arm": arm,
        "propensity": propensity,
    }
