"""What the page shows: everything that is served with its scores, and the load of now."""

import time
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.release.experiments.running import Experiments
from cortex_pipelines.serving.catalogue import Served
from cortex_pipelines.serving.conditions import ways_of
from cortex_pipelines.serving.gateway import Gateway

LOOKED_AT = frozenset(
    {"none", "/", "/page/page.css", "/page/page.js", "/overview", "/load", "/metrics"}
    | {"/healthz", "/readyz", "/health", "/v1/health", "/v1/models", "/version", "/docs"}
    | {"/openapi.json"}
)
"""Routes that ask nothing of a model; looking at the page would otherwise count as load."""

_SHOWN = ("project", "number", "roles", "plan", "verdict", "reason", "bits_per_byte", "scores")


def overview_router(gateway: Gateway) -> APIRouter:
    """``GET /overview`` and ``GET /load``."""
    router = APIRouter()

    @router.get("/overview")
    async def overview() -> dict[str, Any]:
        now = await run_in_threadpool(lambda: gateway.source.current)
        router_facts = None
        if now.router is not None:
            hidden = ("created", "lineage")
            router_facts = {name: one for name, one in now.router.items() if name not in hidden}
        return {
            "version": version("cortex-pipelines"),
            "base": now.base,
            "default": now.default,
            "most_tokens": gateway.settings.max_tokens,
            "models": [row(one, gateway) for _, one in sorted(now.models.items())],
            "router": router_facts,
        }

    @router.get("/load")
    def load() -> dict[str, Any]:
        return {"at": time.monotonic(), **gateway.engine.state(), **counted(gateway)}

    return router


def row(served: Served, gateway: Gateway) -> dict[str, Any]:
    """What is shown of a model."""
    trials = gateway.rollouts
    about = {name: served.about.get(name) for name in _SHOWN}
    return {
        "name": served.name,
        "way": served.release.way,
        "ways": {way: one.release.version for way, one in ways_of(served).items()},
        "version": served.version,
        "release": served.release.version,
        "created": served.created,
        "notice": served.notice or None,
        "trial": trials.counts(served.split) if trials and served.split else None,
        "experiment": _compared(served, gateway.experiments),
        **about,
    }


def _compared(served: Served, experiments: Experiments | None) -> dict[str, Any] | None:
    if served.experiment is None or experiments is None:
        return None
    plan = served.experiment.plan
    planned = {name: getattr(plan, name) for name in ("id", "a", "b", "share", "metric")}
    return {**planned, **experiments.metrics(plan)}


def counted(gateway: Gateway) -> dict[str, float]:
    """Sums since the start, for whoever asks twice and takes the difference."""
    sums = dict.fromkeys(
        ("requests", "errors", "seconds", "first_tokens", "first_token_seconds"), 0.0
    ) | dict.fromkeys(("tokens_read", "tokens_written", "tasks_routed", "fallbacks"), 0.0)
    names = {
        "cortex_first_token_seconds_count": "first_tokens",
        "cortex_first_token_seconds_sum": "first_token_seconds",
        "cortex_routed_total": "tasks_routed",
        "cortex_fallbacks_total": "fallbacks",
    }
    for family in gateway.metrics.registry.collect():
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            if labels.get("route") in LOOKED_AT:
                continue
            if sample.name == "cortex_requests_total":
                sums["requests"] += value
                sums["errors"] += value if labels["status"] >= "400" else 0
            elif sample.name == "cortex_request_seconds_sum":
                sums["seconds"] += value
            elif sample.name == "cortex_tokens_total":
                sums[f"tokens_{labels['kind']}"] += value
            elif sample.name in names:
                sums[names[sample.name]] += value
    return sums
