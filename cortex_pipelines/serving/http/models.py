"""Routes for models, health, version and metrics, and ``/v1/embeddings``."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from pydantic import BeforeValidator, Field

from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.project_names import ENCODER, ROUTER
from cortex_pipelines.serving.catalogue import ServedModel, UnknownModelError
from cortex_pipelines.serving.engines.engine import BusyError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.openai_fields import FIELDS
from cortex_pipelines.serving.http.schemas import LongText, ModelName, OpenAIForm, no_tokens
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices, ServiceError


def models_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    router = APIRouter()

    def router_and_encoder() -> dict[str, dict[str, Any]]:
        entries = {}
        if (facts := gateway.source.current.router) is not None:
            more = {name: value for name, value in facts.items() if name != "created"}
            entries[ROUTER] = _entry(ROUTER, facts["created"], _visible_facts(more))
        if services.encoder is not None:
            entries[ENCODER] = _entry(ENCODER, 0, {"way": "encoder", "version": services.encoder.version})
        return entries

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        entries = [_model_entry(served, {}) for _, served in sorted(gateway.source.current.models.items())]
        return {"object": "list", "data": [*entries, *router_and_encoder().values()]}

    @router.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        if not name:
            return models()
        if (entry := router_and_encoder().get(name)) is not None:
            return entry
        served = gateway.source.current.find(name)
        return _model_entry(served, served.details)

    @router.get("/healthz")
    def healthz() -> Response:
        alive = bool(gateway.engine.state()["alive"])
        return JSONResponse({"status": "ok" if alive else "down"}, 200 if alive else 503)

    @router.get("/readyz")
    def readyz() -> Response:
        state = gateway.engine.state()
        reached = bool(state["alive"]) and not state["down"]
        ready = reached and state["waiting"] < gateway.settings.waiting
        # needs no key: the rest of the state is at /load
        status = "ready" if ready else "busy" if reached else "down"
        return JSONResponse({"status": status}, 200 if ready else 503)

    @router.get("/metrics")
    def metrics() -> Response:
        state = gateway.engine.state()
        gateway.metrics.waiting.set(state["waiting"])
        gateway.metrics.resident.set(len(state["resident"]))
        gateway.metrics.cache_bytes.set(gateway.response_cache.size)
        return Response(generate_latest(gateway.metrics.registry), media_type="text/plain; version=0.0.4")

    limiter = CapacityLimiter(1)  # waiting requests must not occupy threads that others need

    @router.post("/v1/embeddings")
    async def embeddings(form: EmbeddingForm) -> Response:
        encoder = services.encoder
        if encoder is None:
            raise UnknownModelError(f"{ENCODER} is not available: an exported folder has no encoder")
        if form.model not in (None, "", ENCODER):
            model = form.model[:100]
            raise UnknownModelError(f"{model} makes no embeddings; the nearest model that does is {ENCODER}")
        statistics = limiter.statistics()
        waiting = statistics.borrowed_tokens + statistics.tasks_waiting
        if waiting >= gateway.settings.waiting:
            raise BusyError(f"{waiting} requests wait already; try again in a second")
        try:
            texts = [form.input] if isinstance(form.input, str) else form.input
            result = await to_thread.run_sync(encoder, texts, limiter=limiter)
        except WeightsError as error:
            raise ServiceError(str(error)) from error
        width = result.vectors.shape[1]
        if form.dimensions not in (None, width):
            raise RequestError(
                f"dimensions: {ENCODER} has vectors of {width} numbers, which cannot be "
                "shortened; leave dimensions out",
                "dimensions",
                code="unsupported_parameter",
            )
        current_principal().spend(result.tokens)
        gateway.metrics.tokens.labels(ENCODER, "read").inc(result.tokens)
        vectors: list[Any] = [
            base64.b64encode(row.tobytes()).decode() if form.encoding_format == "base64" else row.tolist()
            for row in result.vectors.astype("<f4")
        ]
        body = {
            "object": "list",
            "data": [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)],
            "model": ENCODER,
            "system_fingerprint": encoder.version,
            "usage": {"prompt_tokens": result.tokens, "total_tokens": result.tokens},
        }
        headers = {"x-cortex-model": ENCODER, "x-cortex-version": encoder.version}
        if result.cut:
            headers["x-cortex-cut"] = f"{result.cut} texts at the end"
        return JSONResponse(body, headers=headers)

    return router


def _visible_facts(details: Mapping[str, Any]) -> dict[str, Any]:
    lineage = current_principal().may("lineage")
    return {name: value for name, value in details.items() if lineage or name != "lineage"}


def _entry(name: str, created: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "cortex", "cortex": facts}


def _model_entry(served: ServedModel, more: Mapping[str, Any]) -> dict[str, Any]:
    facts = {
        "way": served.release.way,
        "version": served.version,
        "release": served.release.version,
        "number": served.details.get("number"),
        "notice": served.notice or None,
    }
    return _entry(served.name, served.created, facts | _visible_facts(more))


Input = Annotated[LongText, Field(min_length=1)]


class EmbeddingForm(OpenAIForm):
    """``POST /v1/embeddings``; accepts as many texts as OpenAI's interface."""

    api_fields = FIELDS["embeddings"]
    input: Annotated[Input | Annotated[list[Input], Field(min_length=1, max_length=2048)], BeforeValidator(no_tokens)]
    model: ModelName | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
