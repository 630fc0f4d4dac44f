"""Data of the page: served models with their scores, and the current load."""

import time
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.release.experiments.running import Experiments
from cortex_pipelines.serving.catalogue import ServedModel
from cortex_pipelines.serving.conditions import ways_of
from cortex_pipelines.serving.gateway import Gateway

LOOKED_AT = frozenset(
    {"none", "/", "/page/page.css", "/page/page.js", "/overview", "/load", "/metrics"}
    | {"/healthz", "/readyz", "/health", "/v1/health", "/v1/models", "/version", "/docs"}
    | {"/openapi.json"}
)
"""Routes that use no model; excluded from the load."""

_DETAIL_COLUMNS = ("project", "number", "roles", "plan", "verdict", "reason", "bits_per_byte", "scores")


def overview_router(gateway: Gateway) -> APIRouter:
    """``GET /overview`` and ``GET /load``."""
    router = APIRouter()

    @router.get("/overview")
    async def overview() -> dict[str, Any]:
        catalogue = await run_in_threadpool(lambda: gateway.source.current)
        router_facts = None
        if catalogue.router is not None:
            hidden = ("created", "lineage")
            router_facts = {name: value for name, value in catalogue.router.items() if name not in hidden}
        return {
            "version": version("cortex-pipelines"),
            "base": catalogue.base,
            "default": catalogue.default,
            "most_tokens": gateway.settings.max_tokens,
            "models": [model_row(value, gateway) for _, value in sorted(catalogue.models.items())],
            "router": router_facts,
        }

    @router.get("/load")
    def load() -> dict[str, Any]:
        return {"at": time.monotonic(), **gateway.engine.state(), **load_counters(gateway)}

    return router


def model_row(served: ServedModel, gateway: Gateway) -> dict[str, Any]:
    """Row of a model in the overview."""
    trials = gateway.rollouts
    details = {name: served.details.get(name) for name in _DETAIL_COLUMNS}
    return {
        "name": served.name,
        "way": served.release.way,
        "ways": {way: model.release.version for way, model in ways_of(served).items()},
        "version": served.version,
        "release": served.release.version,
        "created": served.created,
        "notice": served.notice or None,
        "trial": trials.counts(served.split) if trials and served.split else None,
        "experiment": _experiment_row(served, gateway.experiments),
        **details,
    }


def _experiment_row(served: ServedModel, experiments: Experiments | None) -> dict[str, Any] | None:
    if served.experiment is None or experiments is None:
        return None
    plan = served.experiment.plan
    planned = {name: getattr(plan, name) for name in ("id", "a", "b", "share", "metric")}
    return {**planned, **experiments.metrics(plan)}


def load_counters(gateway: Gateway) -> dict[str, float]:
    """Counters since the start; the page shows differences between two reads."""
    sums = dict.fromkeys(("requests", "errors", "seconds", "first_tokens", "first_token_seconds"), 0.0) | dict.fromkeys(
        ("tokens_read", "tokens_written", "tasks_routed", "fallbacks"), 0.0
    )
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
