"""API of Tabby's server, for its editor agent."""

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, Field, model_validator
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.privacy.paths import repository_name, repository_path
from cortex_pipelines.release.experiments.running import Vote
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import collect, headers_of, outcome_of, prepare
from cortex_pipelines.serving.http.schemas import Form, Id, LongText, ModelName
from cortex_pipelines.serving.requests import Backend, infill
from cortex_pipelines.serving.rollout import request_user

_MOST = 64
"""Tokens of one suggestion, as in Tabby's own server."""

_VOTES: Mapping[str, Vote] = {"select": "up", "dismiss": "dismissed"}
"""Votes implied by the agent's events; ``view`` implies none."""

Name = Annotated[LongText, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=10**12)]


class CodeSnippet(Form):
    """Code from another file, sent by the agent."""

    filepath: LongText = ""
    body: LongText = ""


class CursorContext(Form):
    """Code around the cursor."""

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


def tabby_router(gateway: Gateway) -> APIRouter:
    """Routes for health, settings and events; completions share OpenAI's route."""
    router = APIRouter()

    @router.get("/v1/health")
    @router.post("/v1/health")
    def health() -> dict[str, Any]:
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


async def suggest_for_tabby(gateway: Gateway, form: TabbyForm, request: Request) -> Response:
    cursor = form.segments
    snippets = [*(cursor.declarations or ()), *(cursor.relevant_snippets_from_changed_files or ())]
    extra = [f"{snippet.filepath}\n{snippet.body}".strip() for snippet in snippets]
    sampling = Sampling(_MOST, form.temperature or 0.0, seed=form.seed, stop=("\n\n",))
    gap = infill(cursor.prefix, cursor.suffix or "", extra)
    prepared = await prepare(gateway, form.model, form.user, gap, sampling)
    began = time.perf_counter()
    (answer,) = await collect(gateway, prepared, request)
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


def offered_event(identity: str, backend: Backend) -> dict[str, Any]:
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
