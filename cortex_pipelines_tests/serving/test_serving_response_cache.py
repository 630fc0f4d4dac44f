"""Answers that were given already: only to the same question, of the same holder of a key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.serving.engines.engine import EngineError, Event, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.response_cache import LruCache, cache_disabled, storing_delivery
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.security.access import Principal, acting_as
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
ASKED = {"model": "shop", "prompt": "def f():\n", "max_tokens": 4}


@pytest.fixture(scope="module")
def gateway(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return tinygateway.open_tiny(home, tmp_path_factory.mktemp("state"), cached_mib=1)


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[TestClient]:
    with tinygateway.web_client(gateway) as client:
        yield client


def complete(client: TestClient, no: bool = False, **changes: Any) -> tuple[Any, str | None]:
    headers = {"x-cortex-cache": "no"} if no else {}
    answer = client.post("/v1/completions", json={**ASKED, **changes}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer, answer.headers.get("x-cortex-cache")


def test_the_same_question_is_answered_from_memory_but_not_without_a_seed(client: TestClient, gateway: Gateway) -> None:
    first, new = complete(client)
    generated = gateway.engine.state()["written"]
    again, is_cached = complete(client)
    assert (new, is_cached) == (None, "hit")
    assert gateway.engine.state()["written"] == generated
    assert again.json()["choices"] == first.json()["choices"]
    assert again.json()["usage"] == first.json()["usage"]
    assert again.json()["id"] != first.json()["id"]
    streamed, is_cached = complete(client, stream=True)
    assert is_cached == "hit"
    assert streamed.text.count("data: ") >= 2
    assert complete(client, no=True)[1] is None
    assert gateway.engine.state()["written"] > generated
    page = client.get("/metrics").text
    assert 'cortex_cache_requests_total{outcome="hit"} 2.0' in page
    assert float(page.partition("\ncortex_cache_bytes ")[2].split()[0]) > 0
    assert [complete(client, temperature=0.9)[1] for _ in range(2)] == [None, None]


@pytest.mark.parametrize("other", CASES["another_question_is_not"])
def test_another_question_is_not(client: TestClient, other: dict[str, Any]) -> None:
    complete(client)
    assert complete(client, **other)[1] is None
    assert complete(client, **other)[1] == "hit"


def test_holders_of_other_keys_learn_nothing(gateway: Gateway) -> None:
    from cortex_pipelines.serving.engines.engine import Sampling
    from cortex_pipelines.serving.requests import completion

    def answered_from_cache(name: str) -> bool:
        with acting_as(Principal(name)):
            request = gateway.prepare(gateway.backend_for("shop"), completion("secret"), Sampling(3))
            list(gateway.stream_blocking(request))
            return request.cached_deltas is not None

    assert [answered_from_cache(name) for name in ("anna", "anna", "ci", "ci")] == [False, True, False, True]


def test_tasks_are_remembered_whole(client: TestClient) -> None:
    body = {"model": "shop", "task": "naming", "input": "def <NAME>(a):\n    return a\n"}
    first, again = (client.post("/predict", json=body) for _ in range(2))
    assert (first.json()["cached"], again.json()["cached"]) == (False, True)
    assert again.headers["x-cortex-cache"] == "hit"
    for name in ("result", "confidence", "alternatives", "version"):
        assert again.json()[name] == first.json()[name]


def test_only_whole_answers_are_kept_and_memory_is_bounded_by_bytes() -> None:
    stored: list[Any] = []
    end, cut = TextDelta(0, "a", (), "stop"), TextDelta(0, "a", (), "cancelled")
    streams: list[list[Event]] = [[end, None], [cut, None], [None], [EngineError("it failed")]]
    for events in streams:
        deliver = storing_delivery(lambda _: None, 1, lambda pieces, _size: stored.append(pieces))
        for event in events:
            deliver(event)
    assert stored == [(end,)]
    memory: LruCache[int] = LruCache(1_000)
    for number in range(10):
        memory.store(bytes([number]), number, 100)
        memory.get(b"\0")
        assert memory.size <= 1_000
    assert memory.get(b"\0") == 0  # used all the time
    assert memory.get(b"\1") is None
    memory.store(b"large", 1, 1_000)
    assert memory.get(b"large") is None


def test_decisions_are_remembered_until_the_router_changes(home: Path) -> None:
    version = [1]
    opened: list[int] = []

    def load() -> LoadedRouter:
        opened.append(version[0])
        return LoadedRouter(Router.from_rules(home / "routing-patterns.json", None))

    desk = RouterBatcher(load, lambda: version[0], 100_000)

    def cached(text: str) -> bool:
        return desk.submit([text]).result()[0].cached

    assert [cached("fix"), cached("fix"), cached("fixed")] == [False, True, False]
    with cache_disabled():
        assert not cached("fix")
    version[0] = 2
    assert [cached("fix"), cached("fix")] == [False, True]
    assert opened == [1, 2]
    desk.close()
