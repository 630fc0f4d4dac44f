"""What is particular to an upstream server: names, keys, and everything that it does wrong."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.serving.engines import upstream_engine
from cortex_pipelines.serving.engines.engine import EngineError, Job, Sampling, open_engine
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_engine import run_job, text_of
from cortex_pipelines_tests.serving.upstream import Answer, Handler, Server, speaking

BODY = {"model": "shop", "prompt": "def f():", "max_tokens": 20}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_engine, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(upstream_engine, "_LOOK", 0.05)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def started(answer: Answer, models: Sequence[str] = ("base", "shop-shop.dir"), port: int = 0) -> Server:
            server = Server(answer, models, port)
            stack.callback(server.end)
            return server

        yield started


@pytest.fixture
def serve(home: Path, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    with ExitStack() as stack:

        def served(server: Server, engine: str = "openai", **changes: Any) -> TestClient:
            upstream_settings = tinygateway.upstream(server.url, **changes)
            gateway = tinygateway.open_tiny(home, tmp_path, engine=engine, upstream=upstream_settings)
            return stack.enter_context(tinygateway.web_client(gateway))

        yield served


def test_an_answer_says_that_nobody_has_verified_what_wrote_it(start: Any, serve: Any) -> None:
    client = serve(start(speaking("    retu", "rn 1\n")))
    answer = client.post("/v1/completions", json=BODY)
    assert (answer.json()["choices"][0]["text"], answer.headers["x-cortex-version"]) == ("    return 1\n", "shop.dir")
    words = "written by the model shop-shop.dir of an upstream server; its weights were not"
    assert words in answer.headers["x-cortex-notice"]
    base = client.post("/v1/completions", json={**BODY, "model": "base"})
    assert base.headers["x-cortex-version"] == "upstream:base", "its digest is not known"
    facts = client.get("/v1/models/base").json()["cortex"]
    assert base.headers["x-cortex-release"] != facts["release"], "another release than ours"
    assert base.json()["usage"]["completion_tokens"] == 2, "its parts, without probabilities"
    body = {"model": "shop", "task": "naming", "input": "def <NAME>(cart):\n    return 1\n"}
    assert client.post("/predict", json=body).json()["reason"].startswith("'return 1' says nothing")


def test_an_adapter_that_the_server_does_not_have_is_answered_by_its_base(start: Any, serve: Any) -> None:
    answer = serve(start(speaking("x"), ["base", "shop-older.dir"])).post("/v1/completions", json=BODY)
    assert answer.headers["x-cortex-way"] == "base"
    notice = answer.headers["x-cortex-notice"]
    assert "no model shop-shop.dir (it has base, shop-older.dir)" in notice
    assert "written by the model base" in notice


def test_vllm_is_sent_tokens_and_loads_adapters_by_their_version(start: Any, serve: Any, home: Path) -> None:
    loads: list[dict[str, Any]] = []

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        if handler.path.endswith("load_lora_adapter"):
            loads.append(body)
            good = body["lora_name"].startswith("shop")
            handler.send_json(200 if good else 400, {"message": "rank 64 is above max_lora_rank"})
        else:
            speaking("1")(handler, body)

    server = start(answer, ["base"])
    client = serve(server, "vllm")
    assert client.post("/v1/completions", json=BODY).headers["x-cortex-way"] == "adapter"
    client.post("/v1/completions", json=BODY)
    assert loads == [{"lora_name": "shop-shop.dir", "lora_path": str((home / "shop").resolve())}]
    path, body, _ = server.asked[-1]
    assert (path, body["model"]) == ("/v1/completions", "shop-shop.dir")
    assert all(isinstance(token, int) for token in body["prompt"])
    refused = client.post("/v1/completions", json={**BODY, "model": "docs"})
    assert refused.headers["x-cortex-way"] == "base"
    assert "400: rank 64 is above max_lora_rank" in refused.headers["x-cortex-notice"]


def test_a_server_that_is_away_is_told_with_503_and_known_when_it_is_back(start: Any, serve: Any) -> None:
    server = start(speaking("x"))
    client = serve(server)
    assert client.get("/readyz").json()["status"] == "ready"
    server.end()
    for model in ("base", "shop"):
        answer = client.post("/v1/completions", json={**BODY, "model": model})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "the upstream server is away" in answer.json()["error"]["message"]
    assert client.get("/readyz").json()["status"] == "down"
    assert client.get("/healthz").status_code == 200, "the gateway itself need not be restarted"
    again = start(speaking("x"), port=server.server_port)
    tinygateway.wait_until(lambda: client.get("/readyz").status_code == 200)
    answer = client.post("/v1/completions", json=BODY)
    assert (answer.status_code, answer.headers["x-cortex-way"]) == (200, "adapter")
    again.end()


def failing(times: int, status: int, answer: Answer) -> Answer:
    remaining = [times]

    def answered(handler: Handler, body: dict[str, Any]) -> None:
        remaining[0] -= 1
        if remaining[0] >= 0:
            handler.send_json(status, {"error": {"message": "CUDA out of memory"}})
        else:
            answer(handler, body)

    return answered


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_passes_is_tried_again(start: Any, serve: Any, status: int) -> None:
    server = start(failing(2, status, speaking("done")))
    answer = serve(server).post("/v1/completions", json=BODY)
    assert (answer.status_code, answer.json()["choices"][0]["text"], len(server.asked)) == (200, "done", 3)


def dropped(handler: Handler, _body: dict[str, Any]) -> None:
    handler.stream()
    handler.event({"choices": [{"text": "half", "finish_reason": None}]})


def slow(handler: Handler, _body: dict[str, Any]) -> None:
    handler.stream()
    time.sleep(30)  # longer than anybody waits


def malformed(content: str) -> Answer:
    def answer(handler: Handler, _body: dict[str, Any]) -> None:
        handler.stream()
        handler.event(content)

    return answer


@pytest.mark.parametrize(
    ("answer", "status", "words", "request_count"),
    [
        (failing(9, 500, dropped), 503, "fails with 500: CUDA out of memory", 2),
        (failing(9, 429, dropped), 429, "has no room: CUDA out of memory", 2),
        (failing(9, 401, dropped), 503, "serving.upstream.key names the environment", 1),
        (failing(9, 404, dropped), 503, "refuses base with 404", 1),
        (failing(9, 302, dropped), 503, "refuses base with 302", 1),
        (dropped, 503, "ended while it wrote", 1),
        (slow, 503, "does not answer in time (ReadTimeout)", 1),
        (malformed("{no json"), 503, "is not a completion in OpenAI's format", 1),
        (malformed('["choices"]'), 503, "is not a completion in OpenAI's format", 1),
        (malformed('{"choices": [{"text": 7}]}'), 503, "its text is not a string", 1),
        (malformed('{"error": {"message": "the adapter is gone"}}'), 503, "failed: the adapter is gone", 2),
    ],
)
def test_a_fault_of_the_server_is_told_in_a_sentence(start: Any, serve, answer, status, words, request_count) -> None:
    server = start(answer)
    client = serve(server, seconds=1 if answer is slow else 30, attempts=1 if answer is slow else 2)
    for stream in (False, True):
        server.asked.clear()
        refused = client.post("/v1/completions", json={**BODY, "model": "base", "stream": stream})
        assert refused.status_code == (200 if stream else status)
        assert words in refused.text
        assert len(server.asked) == request_count
    assert refused.text.count("data: ") == 1  # what was written so far is no whole line


def test_a_beginning_that_the_server_does_not_write_is_put_before_it(start: Any, home: Path) -> None:
    server = start(speaking("x = 1"))
    settings = tinygateway.settings(engine="openai", upstream=tinygateway.upstream(server.url))
    engine = open_engine(tinygateway.base_in(home), settings, home)
    prompt = engine.prompt("def f():\n    ")
    assert prompt.start
    assert "".join(delta.text for delta in run_job(engine, Job(None, prompt, Sampling(20)))) == "x = 1"
    first, second = (body for _, body, _ in server.asked)
    assert second["prompt"] == first["prompt"] + prompt.start == "def f():\n    "
    assert (first["max_tokens"], second["max_tokens"]) == (20 + len(prompt.start), 20)
    engine.close()


def test_several_answers_are_asked_for_at_once(start: Any, home: Path) -> None:
    two = Barrier(2, timeout=30)

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        two.wait()
        speaking(f"{body['seed']} ", "x")(handler, body)

    upstream = tinygateway.upstream(start(answer).url, at_once=2)
    engine = open_engine(tinygateway.base_in(home), tinygateway.settings(engine="openai", upstream=upstream), home)
    deltas = run_job(engine, Job(None, engine.prompt("x"), Sampling(9, seed=4), 4))
    assert [text_of(deltas, index) for index in range(4)] == ["4 x", "5 x", "6 x", "7 x"]
    engine.close()


def test_parameters_reach_the_server_and_the_key_comes_from_the_environment(start, home: Path, monkeypatch) -> None:
    server = start(speaking("x"))
    settings = tinygateway.settings(engine="openai", upstream=tinygateway.upstream(server.url, key="UPSTREAM_KEY"))
    with pytest.raises(EngineError, match="variable UPSTREAM_KEY is not set"):
        open_engine(tinygateway.base_in(home), settings, home)
    monkeypatch.setenv("UPSTREAM_KEY", "of the server")
    engine = open_engine(tinygateway.base_in(home), settings, home)
    sampling = Sampling(9, temperature=0.5, top_p=0.9, seed=7, presence=0.1, frequency=0.2, top=3)
    run_job(engine, Job(None, engine.prompt("x"), sampling, 2))
    engine.close()
    expected = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1}
    expected |= {"frequency_penalty": 0.2, "logprobs": 3, "stream": True, "model": "base"}
    for index, (_, body, key) in enumerate(server.asked):
        assert body.items() >= {**expected, "seed": 7 + index}.items()
        assert key == "Bearer of the server"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"url": "127.0.0.1:8000"}, "is not an address such as"),
        ({"url": "http://me:word@host/v1"}, "an address holds no password"),
        ({"adapter": "shop"}, "has to hold {version}"),
        ({"adapter": "{version}-{user}"}, "has to hold {version}"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changed: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tinygateway.settings(upstream=tinygateway.upstream() | changed)
