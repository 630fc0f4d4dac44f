"""Routes for models, health, version and metrics."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from cortex_pipelines.project_names import ENCODER, ROUTER
from cortex_pipelines.serving.catalogue import ServedModel
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.security.access import current_principal
from cortex_pipelines.serving.services import ProjectServices


def models_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """Catalogue, health and metrics."""
    router = APIRouter()

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        catalogue = gateway.source.current
        served_entries = [_model_entry(served) for _, served in sorted(catalogue.models.items())]
        other_entries = [*_router_entry(gateway), *_encoder_entry(services)]
        by_id = {entry["id"]: entry for entry in [*served_entries, *other_entries]}
        return {"object": "list", "data": list(by_id.values())}

    @router.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        catalogue = gateway.source.current
        if name == ROUTER and catalogue.router is not None:
            return _router_entry(gateway)[0]
        if name == ENCODER and services.encoder is not None:
            return _encoder_entry(services)[0]
        served = catalogue.find(name)
        return _model_entry(served) | {"cortex": _facts(served) | _visible_facts(served.details)}

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

    @router.get("/version")
    def versions() -> dict[str, Any]:
        catalogue = gateway.source.current
        releases = {
            name: served.release.version for name, served in sorted(catalogue.models.items()) if "@" not in name
        }
        return {
            "version": version("cortex-pipelines"),
            "base": catalogue.base,
            "default": catalogue.default,
            "releases": releases,
            "router": (catalogue.router or {}).get("version"),
        }

    @router.get("/metrics")
    def metrics() -> Response:
        state = gateway.engine.state()
        gateway.metrics.waiting.set(state["waiting"])
        gateway.metrics.resident.set(len(state["resident"]))
        gateway.metrics.cache_bytes.set(gateway.response_cache.size)
        return Response(gateway.metrics.page(), media_type="text/plain; version=0.0.4")

    return router


def _visible_facts(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details that the caller may read."""
    lineage = current_principal().may("lineage")
    return {name: value for name, value in details.items() if lineage or name != "lineage"}


def _model_entry(served: ServedModel) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "cortex",
        "cortex": _facts(served),
    }


def _facts(served: ServedModel) -> dict[str, Any]:
    return {
        "way": served.release.way,
        "version": served.version,
        "release": served.release.version,
        "number": served.details.get("number"),
        "notice": served.notice or None,
    }


def _router_entry(gateway: Gateway) -> list[dict[str, Any]]:
    facts = gateway.source.current.router
    if facts is None:
        return []
    visible_facts = _visible_facts({name: value for name, value in facts.items() if name != "created"})
    return [
        {"id": ROUTER, "object": "model", "created": facts["created"], "owned_by": "cortex", "cortex": visible_facts}
    ]


def _encoder_entry(services: ProjectServices) -> list[dict[str, Any]]:
    if services.encoder is None:
        return []
    return [
        {
            "id": ENCODER,
            "object": "model",
            "created": 0,
            "owned_by": "cortex",
            "cortex": {"way": "encoder", "version": services.encoder.version},
        }
    ]
