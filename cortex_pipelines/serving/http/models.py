"""What is served, and whether it can be: models, health, version, metrics."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from cortex_pipelines.project_names import ENCODER, ROUTER
from cortex_pipelines.serving.catalogue import Served
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.security.access import caller
from cortex_pipelines.serving.services import ProjectServices


def models_router(gateway: Gateway, services: ProjectServices) -> APIRouter:
    """Catalogue, health and metrics."""
    router = APIRouter()

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        now = gateway.source.current
        listed = [_shown(served) for _, served in sorted(now.models.items())]
        others = [*_router_entry(gateway), *_encoder_entry(services)]
        by_id = {entry["id"]: entry for entry in [*listed, *others]}
        return {"object": "list", "data": list(by_id.values())}

    @router.get("/v1/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        now = gateway.source.current
        if name == ROUTER and now.router is not None:
            return _router_entry(gateway)[0]
        if name == ENCODER and services.encoder is not None:
            return _encoder_entry(services)[0]
        served = now.find(name)
        return _shown(served) | {"cortex": _facts(served) | _seen(served.about)}

    @router.get("/healthz")
    def healthz() -> Response:
        alive = bool(gateway.engine.state()["alive"])
        return JSONResponse({"status": "ok" if alive else "down"}, 200 if alive else 503)

    @router.get("/readyz")
    def readyz() -> Response:
        state = gateway.engine.state()
        reached = bool(state["alive"]) and not state["down"]
        ready = reached and state["waiting"] < gateway.settings.waiting
        # asked without a key: the rest of the state is at /load
        status = "ready" if ready else "busy" if reached else "down"
        return JSONResponse({"status": status}, 200 if ready else 503)

    @router.get("/version")
    def versions() -> dict[str, Any]:
        now = gateway.source.current
        releases = {
            name: served.release.version
            for name, served in sorted(now.models.items())
            if "@" not in name
        }
        return {
            "version": version("cortex-pipelines"),
            "base": now.base,
            "default": now.default,
            "releases": releases,
            "router": (now.router or {}).get("version"),
        }

    @router.get("/metrics")
    def metrics() -> Response:
        state = gateway.engine.state()
        gateway.metrics.waiting.set(state["waiting"])
        gateway.metrics.resident.set(len(state["resident"]))
        gateway.metrics.remembered_bytes.set(gateway.remembered.size)
        return Response(gateway.metrics.page(), media_type="text/plain; version=0.0.4")

    return router


def _seen(about: Mapping[str, Any]) -> dict[str, Any]:
    """What whoever asks may know of a model."""
    lineage = caller().may("lineage")
    return {name: value for name, value in about.items() if lineage or name != "lineage"}


def _shown(served: Served) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "cortex",
        "cortex": _facts(served),
    }


def _facts(served: Served) -> dict[str, Any]:
    return {
        "way": served.release.way,
        "version": served.version,
        "release": served.release.version,
        "number": served.about.get("number"),
        "notice": served.notice or None,
    }


def _router_entry(gateway: Gateway) -> list[dict[str, Any]]:
    facts = gateway.source.current.router
    if facts is None:
        return []
    shown = _seen({name: value for name, value in facts.items() if name != "created"})
    return [
        {
            "id": ROUTER,
            "object": "model",
            "created": facts["created"],
            "owned_by": "cortex",
            "cortex": shown,
        }
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
