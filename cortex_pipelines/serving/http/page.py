"""``/``: the web page (three files without external resources), its data, and the playground."""

import math
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cortex_pipelines.serving.catalogue import ServedModel, ways_of
from cortex_pipelines.serving.deadlines import answering_within
from cortex_pipelines.serving.engines.engine import GeneratedToken, Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.answers import envelope, headers_of, streaming_response
from cortex_pipelines.serving.http.editors import offered_event
from cortex_pipelines.serving.http.errors import RequestError
from cortex_pipelines.serving.http.schemas import Form, LongText, ModelName
from cortex_pipelines.serving.requests import PreparedRequest, completion, infill
from cortex_pipelines.serving.response_cache import cache_disabled
from cortex_pipelines.serving.rollout import request_user
from cortex_pipelines.serving.services import NOTHING, ProjectServices, ServiceError

_FOLDER = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/page/page.css": ("page.css", "text/css"),
    "/page/page.js": ("page.js", "text/javascript"),
}
"""Path to file and type."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # revalidated each time; 304 while unchanged
    "cache-control": "no-cache",
}
"""The page shows model output, and no script in it may run."""
PAGE_HEADERS = HEADERS | {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
}
"""Pages of ``pages`` bring their styles along, and load nothing."""


LOOKED_AT = frozenset(
    {"none", *_FILES, "/report", "/overview", "/load", "/metrics", "/healthz", "/readyz", "/health", "/v1/health"}
    | {"/v1/models", "/docs", "/openapi.json"}
)
"""Routes that use no model; excluded from the load."""

_COUNTERS = {
    "cortex_request_seconds_sum": "seconds",
    "cortex_first_token_seconds_count": "first_tokens",
    "cortex_first_token_seconds_sum": "first_token_seconds",
    "cortex_routed_total": "tasks_routed",
    "cortex_fallbacks_total": "fallbacks",
}
_DETAIL_COLUMNS = ("project", "number", "roles", "plan", "verdict", "reason", "bits_per_byte", "scores")


def page_router(gateway: Gateway, services: ProjectServices = NOTHING) -> APIRouter:
    router = APIRouter()

    def add_file(path: str, name: str, kind: str) -> None:
        @router.get(path, include_in_schema=False)
        def file() -> Response:
            return FileResponse(_FOLDER / name, media_type=kind, headers=HEADERS)

    for path, (name, kind) in _FILES.items():
        add_file(path, name, kind)

    @router.get("/report", include_in_schema=False)
    def report() -> Response:
        if services.report is None:
            raise ServiceError("an exported folder has no report; start `cortex serve` in the project")
        return HTMLResponse(services.report(), headers=PAGE_HEADERS)

    @router.get("/overview")
    async def overview() -> dict[str, Any]:
        catalogue = await run_in_threadpool(lambda: gateway.source.current)
        router_facts = catalogue.router and {
            name: value for name, value in catalogue.router.items() if name not in ("created", "lineage")
        }
        return {
            "version": version("cortex-pipelines"),
            "base": catalogue.base,
            "base_note": catalogue.base_note or None,
            "default": catalogue.default,
            "most_tokens": gateway.settings.max_tokens,
            "models": [model_row(value, gateway) for _, value in sorted(catalogue.models.items())],
            "router": router_facts,
        }

    @router.get("/load")
    def load() -> dict[str, Any]:
        state = gateway.engine.state()
        visible = {served.version for served in gateway.source.current.models.values()}
        resident = [each for each in state["resident"] if each.partition(":")[0] in visible]
        return {"at": time.monotonic(), **state, "resident": resident, **load_counters(gateway)}

    @router.post("/playground")
    async def play(form: PlaygroundForm) -> Response:
        prepared = await run_in_threadpool(_prepare, gateway, form)
        frame = envelope("text_completion", "cmpl", prepared.backend)
        event = offered_event(str(frame["id"]), prepared.backend) | {"from": "page"}
        await run_in_threadpool(gateway.events.add, event, request_user())

        def choice(index: int, text: str, _: Sequence[GeneratedToken], finish: str | None) -> dict[str, Any]:
            return {"index": index, "text": text, "finish_reason": finish}

        return await streaming_response(gateway, [prepared], frame, choice, headers_of(prepared))

    return router


def model_row(served: ServedModel, gateway: Gateway) -> dict[str, Any]:
    trials, experiment = gateway.rollouts, None
    if served.experiment is not None and gateway.experiments is not None:
        plan = served.experiment.plan
        experiment = {name: getattr(plan, name) for name in ("id", "a", "b", "share", "metric")}
        experiment |= gateway.experiments.metrics(plan)
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
        "experiment": experiment,
        **details,
    }


def load_counters(gateway: Gateway) -> dict[str, float]:
    """Counters since the start; the page shows differences between two reads."""
    sums = dict.fromkeys(("requests", "errors", "tokens_read", "tokens_written", *_COUNTERS.values()), 0.0)
    for family in gateway.metrics.registry.collect():
        for sample in family.samples:
            labels, value = sample.labels, sample.value
            if labels.get("route") in LOOKED_AT:
                continue
            if sample.name == "cortex_requests_total":
                sums["requests"] += value
                sums["errors"] += value if labels["status"] >= "400" else 0
            elif sample.name == "cortex_tokens_total":
                sums[f"tokens_{labels['kind']}"] += value
            elif sample.name in _COUNTERS:
                sums[_COUNTERS[sample.name]] += value
    return sums


class PlaygroundForm(Form):
    prompt: LongText
    way: Literal["base", "context", "adapter", "both"]
    model: ModelName | None = None
    suffix: LongText | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 48


def _prepare(gateway: Gateway, form: PlaygroundForm) -> PreparedRequest:
    served = gateway.source.current.find(form.model)
    ways = ways_of(served)
    if form.way not in ways:
        raise RequestError(f"{served.name} cannot be answered by {form.way}; there is {', '.join(ways)}", "way")
    backend = gateway.backend_of(ways[form.way])
    text = infill(form.prompt, form.suffix) if form.suffix else completion(form.prompt)
    with cache_disabled(), answering_within(math.inf):  # the page shows the time an answer takes
        return gateway.prepare(backend, text, Sampling(form.max_tokens))
