"""A gateway over the tiny base: two projects with adapters, one with context, rules for a router.

Run as a program it is served:
``python -m cortex_pipelines_tests.serving.tinygateway FOLDER PORT [CERTIFICATE KEY]``.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.config import load_parameters
from cortex_pipelines.project_names import BASE
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.answering import Condition, Release
from cortex_pipelines.release.experiments.running import Experiments
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, ServedModel, with_ways
from cortex_pipelines.serving.engines.engine import AdapterFiles, open_engine
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import Authenticator, hosts_of
from cortex_pipelines.serving.http.server import create_app, impatient_protocol, run
from cortex_pipelines.serving.rollout import Rollouts
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.serving.security.oidc import Provider
from cortex_pipelines.serving.security.output_filter import OutputFilter
from cortex_pipelines.serving.services import NOTHING, ProjectServices
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.release.tinyadapter import write_adapter

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8008"
PAUSE = "TINY_GATEWAY_PAUSE"
"""Environment variable: seconds that each token takes at least; no machine is too quick then."""
SHOWN_BYTES = 200
"""Room for similar examples: three of these data sets."""
ADAPTERS = {"shop": 1, "docs": 2}
"""Project to the seed of its adapter."""
NEEDS_LLAMA = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs xllamacpp")
NEEDS_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")


def settings(**changes: Any) -> ServingSettings:
    values = {
        "adapters": 3,
        "free_mib": 0,
        "precision": "fp32",
        "slots": 2,
        "threads": 1,
        "window": 256,
        "max_tokens": 128,
    }
    limits = {"waiting": 16, "cached_mib": 0, "requests_per_minute": None, "tokens_per_minute": None}
    values |= {**limits, "hosts": [], "origins": [], "output": "flag", "oidc": None, "review": False}
    values["tasks"] = load_parameters(ROOT).serving.tasks.model_dump()
    values |= {"upstream": upstream(), "deadlines": {"cursor": None}}
    return ServingSettings.model_validate({"engine": "torch", **values, **changes})


def upstream(url: str = "http://127.0.0.1:1/v1", **changes: Any) -> dict[str, Any]:
    values = {"url": url, "model": "base", "adapter": "{project}-{version}", "key": None}
    return {**values, "seconds": 30, "attempts": 3, "at_once": 1, **changes}


def base_in(root: Path) -> BaseModel:
    return BaseModel(root / "base", "directory:base", "b" * 64)


def write(root: Path) -> Path:
    tinymodel.write_tiny_base(root / "base")
    for name, seed in ADAPTERS.items():
        write_adapter(base_in(root), root / name, seed)
    tinymodel.write_datasets(root / "data", rows=30)
    (root / "routing-patterns.json").write_text(json.dumps(CASES["RULES"]))
    return root


def files(root: Path, name: str) -> AdapterFiles:
    return AdapterFiles(f"{name}.dir", lambda: root / name, name)


def catalogue(root: Path) -> Catalogue:
    digest = base_in(root).digest

    def served(name: str, way: Condition, project: str | None = None) -> ServedModel:
        adapter = partial(lambda adapter_files, _task: adapter_files, files(root, project)) if project else None
        examples = root / "data" / "completion" if way in ("context", "both") else None
        release = Release(way, digest, f"{project}.dir" if project else None, "index.dir" if examples else None)
        return ServedModel(name, release, adapter, examples, details={"project": name})

    models = [
        served(BASE, "base"),
        served("plain", "context"),
        served("docs", "both", "docs"),
        *(served(name, "adapter", "shop") for name in ("shop", "shop@champion", "shop@1.2.0")),
    ]
    router = {"version": "rules", "way": "rules", "created": 0}
    return Catalogue({model.name: model for model in models}, BASE, "directory:base", router)


def experiment_catalogue(root: Path) -> Catalogue:
    plain = catalogue(root)
    examples = root / "data" / "completion"
    by_way = {
        name: with_ways(model, "index.dir", examples) if name != BASE else model for name, model in plain.models.items()
    }
    return replace(plain, models=by_way)


def open_tiny(
    root: Path,
    state: Path,
    source: Callable[[], Catalogue] | None = None,
    stamp: Callable[[], Any] = lambda: 0,
    rollouts: Rollouts | None = None,
    experiments: Experiments | None = None,
    **changes: Any,
) -> Gateway:
    serving_settings = settings(**changes)
    params = load_parameters(ROOT)
    rules = partial(Router.from_rules, root / "routing-patterns.json", "coordinator")
    return Gateway(
        CatalogueSource(source or partial(catalogue, root), stamp),
        open_engine(base_in(root), serving_settings, state / "llama"),
        serving_settings,
        params,
        lambda folder: SimilarExamples(folder, SHOWN_BYTES),
        RouterBatcher(lambda: LoadedRouter(rules()), lambda: 0),
        state,
        OutputFilter(params.privacy, serving_settings.output),
        rollouts,
        experiments,
    )


def slowly(seconds: float) -> Callable[..., Any]:
    """``TokenSampler._scored``, of which each token takes so long at least."""
    scored = TokenSampler._scored

    def wait(*given: Any) -> Any:
        time.sleep(seconds)
        return scored(*given)

    return wait


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refusal(answer: Any, status: int) -> str:
    """The sentence of an answer that has to have this status."""
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


def web_client(
    gateway: Gateway,
    services: ProjectServices = NOTHING,
    keys: KeyRing | None = None,
    audit: AuditLog | None = None,
    provider: Provider | None = None,
) -> TestClient:
    door = None
    if keys is not None:
        door = Authenticator(keys, gateway.settings, hosts_of("127.0.0.1", gateway.settings), audit, provider)
    return TestClient(create_app(gateway, services, authenticator=door), URL, raise_server_exceptions=False)


@contextmanager
def http_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    methods = {"do_GET": answer, "do_POST": answer, "log_message": lambda *_: None}
    with HTTPServer(("127.0.0.1", 0), type("Handler", (BaseHTTPRequestHandler,), methods)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def listening(app: Any) -> Iterator[str]:
    with running(uvicorn.Server(uvicorn.Config(app, port=0, http=impatient_protocol(), log_level="warning"))) as url:
        yield url


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the gateway ended"
        time.sleep(0.01)
    (socket,) = server.servers[0].sockets
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    TokenSampler._scored = slowly(float(os.environ.get(PAUSE, "0")))  # type: ignore[method-assign]
    home = Path(sys.argv[1])
    pair = (Path(sys.argv[3]), Path(sys.argv[4])) if len(sys.argv) > 4 else None
    run(open_tiny(home, home / "state"), "127.0.0.1", int(sys.argv[2]), tls=pair)
