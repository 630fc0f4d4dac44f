"""The gateway over HTTP, in process: every form of request, and all that is wrong with one."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sse_starlette import ServerSentEvent
from sse_starlette.sse import AppStatus

from cortex_pipelines.feedback.store import FILE
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving.engines.engine import TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http import authentication, editors
from cortex_pipelines.serving.http.answers import event_stream
from cortex_pipelines.serving.http.authentication import LARGEST_BODY, RequestReader
from cortex_pipelines.serving.requests import PreparedRequest
from cortex_pipelines.serving.services import ProjectServices, ServiceError
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
SECRET = "the_prompt_that_nobody_keeps"


@pytest.fixture(scope="module")
def client(home: Path, state: Path) -> Iterator[TestClient]:
    with tinygateway.web_client(tinygateway.open_tiny(home, state)) as client:
        yield client


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_models_are_listed_with_what_answers_them(client: TestClient) -> None:
    models = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
    assert set(models) == {*("base", "docs", "plain", "shop", "shop@1.2.0", "shop@champion", "task_router")}
    assert models["docs"]["cortex"]["way"] == "both"
    model = client.get("/v1/models/shop@1.2.0").json()
    assert (model["id"], model["cortex"]["version"]) == ("shop@1.2.0", "shop.dir")
    assert client.get("/v1/models/nothing").status_code == 404
    assert client.get("/v1/models/").json()["object"] == "list"


@pytest.mark.parametrize("base", ["", "/v1/v1", "/openai/v1"])
@pytest.mark.parametrize("path", ["/completions", "/chat/completions", "/embeddings", "/models"])
def test_a_client_with_a_wrong_base_url_is_told_the_right_one(client: TestClient, base: str, path: str) -> None:
    answer = client.post(base + path, json={})
    assert answer.status_code == 404
    assert f"but at /v1{path}: mend the client's base URL" in answer.json()["error"]["message"]


def test_a_completion_names_what_answered(client: TestClient) -> None:
    request = {"model": "shop", "prompt": "the carts", "max_tokens": 6, "logprobs": 2}
    answer = client.post("/v1/completions", json=request)
    body = answer.json()
    assert answer.headers["x-cortex-way"] == "adapter"
    assert answer.headers["x-cortex-version"] == body["system_fingerprint"] == "shop.dir"
    assert len(answer.headers["x-cortex-release"]) == 32
    (choice,) = body["choices"]
    assert choice["finish_reason"] in ("stop", "length")
    (blank,) = client.post("/v1/completions", json=request | {"max_tokens": 0}).json()["choices"]
    assert blank["logprobs"] == {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    scores = choice["logprobs"]
    assert "".join(scores["tokens"]) == choice["text"]
    assert all(len(tops) == 2 for tops in scores["top_logprobs"])
    count = len(scores["tokens"])
    read = body["usage"]["prompt_tokens"]
    details = {"prompt_tokens_details": {"cached_tokens": 0}}
    assert body["usage"] == {"prompt_tokens": read, "completion_tokens": count, "total_tokens": read + count} | details


@pytest.mark.parametrize("extra", [{}, {"suffix": "\n    return x\n"}, {"n": 2, "seed": 3}])
def test_a_stream_is_the_same_answer_in_pieces(client: TestClient, extra: dict[str, Any]) -> None:
    body = {"model": "docs", "prompt": "def f():\n    ", "max_tokens": 12, **extra}
    response = client.post("/v1/completions", json=body).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, usage, last_event = events(client.post("/v1/completions", json=body | options).text)
    assert (last_event, usage["choices"]) == ("[DONE]", [])
    counts = {key: count for key, count in usage["usage"].items() if isinstance(count, int)}
    cached = usage["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert response["usage"] | counts == response["usage"]
    assert cached == counts["prompt_tokens"] - 1, "all was read for the first answer; the last token is run again"
    for index, choice in enumerate(response["choices"]):
        choices_of_index = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert "".join(chunk["text"] for chunk in choices_of_index) == choice["text"]
        assert [part["finish_reason"] for part in choices_of_index if part["finish_reason"]] == [
            choice["finish_reason"]
        ]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize("changes", [{}, {"top_p": 0.5}])
@pytest.mark.parametrize("temperature", [1e-6, 1e-40, 5e-324])
def test_a_temperature_that_divides_beyond_numbers_is_none(client: TestClient, temperature: float, changes) -> None:
    body = {"prompt": "def f():", "max_tokens": 8, **changes}
    texts = [
        client.post("/v1/completions", json=body | {"temperature": each}).json()["choices"][0]["text"]
        for each in (0, temperature)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("waiting", "at_once"), [(16, 2), (3, 1), (1, 1)])
def test_prompts_of_a_list_are_answered_side_by_side(home: Path, tmp_path: Path, waiting: int, at_once: int) -> None:
    gateway = tinygateway.open_tiny(home, tmp_path, waiting=waiting)
    running, counts, real = list[object](), list[int](), gateway.stream

    async def stream(prepared: PreparedRequest) -> AsyncIterator[TextDelta]:
        running.append(prepared)
        async for delta in real(prepared):
            counts.append(len(running))
            yield delta
        running.remove(prepared)

    gateway.stream = stream  # type: ignore[method-assign]
    body = {"max_tokens": 12, "n": 2, "temperature": 1.0, "seed": 3}
    prompts = [f"x{number} = " for number in range(5)]
    with tinygateway.web_client(gateway) as client:
        alone = [client.post("/v1/completions", json=body | {"prompt": prompt}).json()["choices"] for prompt in prompts]
        counts.clear()
        response = client.post("/v1/completions", json=body | {"prompt": prompts}).json()
        streamed = events(client.post("/v1/completions", json=body | {"prompt": prompts, "stream": True}).text)[:-1]
    assert (max(counts), running) == (at_once, [])
    texts = [choice["text"] for choices in alone for choice in choices]
    assert [(choice["index"], choice["text"]) for choice in response["choices"]] == list(enumerate(texts))
    chosen = [chunk["choices"][0] for chunk in streamed]
    assert ["".join(choice["text"] for choice in chosen if choice["index"] == index) for index in range(10)] == texts


def test_as_many_prompts_as_langchain_sends_at_once_are_taken(client: TestClient) -> None:
    answer = client.post("/v1/completions", json={"prompt": ["x"] * 20, "max_tokens": 1})
    assert [choice["index"] for choice in answer.json()["choices"]] == list(range(20))


def test_a_conversation(client: TestClient) -> None:
    body = {"model": "shop", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 8}
    response = client.post("/v1/chat/completions", json=body).json()
    assert response["object"] == "chat.completion"
    first, *chunks, last_event = events(client.post("/v1/chat/completions", json=body | {"stream": True}).text)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == response["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == response["choices"][0]["finish_reason"]
    assert last_event == "[DONE]"


@pytest.mark.parametrize("extra", [{}, {"n": 2, "temperature": 1.5, "seed": 5}, {"stop": ["\x11"]}])
def test_logprobs_are_those_of_the_text_in_streams_too(client: TestClient, extra: dict[str, Any]) -> None:
    """Random weights write bytes that are not text, and characters in parts."""
    body = {"model": "shop", "prompt": "def f():\n", "max_tokens": 40, "logprobs": 2, **extra}
    response = client.post("/v1/completions", json=body).json()
    *chunks, _ = events(client.post("/v1/completions", json=body | {"stream": True}).text)
    for index, choice in enumerate(response["choices"]):
        scores = choice["logprobs"]
        assert "".join(scores["tokens"]) == choice["text"]
        assert scores["text_offset"] == list(itertools.accumulate(map(len, scores["tokens"]), initial=0))[:-1]
        assert all(token in tops for token, tops in zip(scores["tokens"], scores["top_logprobs"], strict=True))
        choices_of_index = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        parts = [part["logprobs"] for part in choices_of_index if part["logprobs"]]
        for name in ("tokens", "text_offset"):
            assert [value for part in parts for value in part[name]] == scores[name]


def test_logprobs_of_chats_are_those_of_the_text_in_streams_too(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 40}
    body |= {"model": "shop", "logprobs": True, "top_logprobs": 2}
    (choice,) = client.post("/v1/chat/completions", json=body).json()["choices"]
    scores = choice["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in scores).decode(errors="replace") == choice["message"]["content"]
    assert "".join(token["token"] for token in scores) == choice["message"]["content"]
    *chunks, _ = events(client.post("/v1/chat/completions", json=body | {"stream": True}).text)
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    streamed = [token for part in parts if part for token in part["content"]]
    assert [token["bytes"] for token in streamed] == [token["bytes"] for token in scores]


def test_a_conversation_that_has_no_room_is_refused_and_a_completion_is_cut(client: TestClient) -> None:
    long = "x" * 2000
    refused = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": long}]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    cut = client.post("/v1/completions", json={"prompt": long, "max_tokens": 1})
    assert cut.status_code == 200
    assert int(cut.headers["x-cortex-cut"].removesuffix(" tokens")) > 0


@pytest.mark.parametrize("limit", [{}, {"max_tokens": 1000}])
def test_a_conversation_is_answered_until_the_window_is_full(client: TestClient, limit: dict[str, int]) -> None:
    messages = [{"role": "user", "content": "x" * 150}]
    answer = client.post("/v1/chat/completions", json={"messages": messages, "temperature": 1.0, "seed": 1} | limit)
    assert answer.status_code == 200, answer.text
    assert 64 <= answer.json()["usage"]["total_tokens"] <= 256


def test_llama_cpp_s_clients(client: TestClient) -> None:
    body = CASES["llama_cpp_body"]
    filled = client.post("/infill", json=body).json()
    assert filled["stop"] is True
    assert filled["timings"]["predicted_n"] == filled["tokens_predicted"] <= 6
    warmed = client.post("/infill", json=body | {"n_predict": 0}).json()
    assert (warmed["content"], warmed["tokens_predicted"]) == ("", 0)
    parts = events(client.post("/infill", json=body | {"stream": True}).text)
    assert "".join(part["content"] for part in parts) == filled["content"]
    assert [part["stop"] for part in parts][-1]
    assert client.post("/completion", json={"prompt": "def f():", "n_predict": 3}).json()["tokens_predicted"] <= 3
    assert client.post("/tokenize", json={"content": "def é"}).json()["tokens"]
    assert (client.get("/props").json()["total_slots"], client.get("/health").json()) == (1, {"status": "ok"})


def test_continue_fills_gaps(client: TestClient) -> None:
    body = {"model": "shop", "prompt": "def f():\n", "suffix": "\n", "max_tokens": 5}
    chunks = events(client.post("/v1/fim/completions", json=body | {"stream": True}).text)
    response = client.post("/fim/completions", json=body).json()
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    assert text == response["choices"][0]["message"]["content"]


def test_tabby_s_agent_and_neither_prompt_nor_home_folder_is_kept(client: TestClient, state: Path) -> None:
    segments = {"prefix": f"def f():\n    # {SECRET}\n", "suffix": "\n", "filepath": "a.py"}
    body = client.post("/v1/completions", json={"language": "python", "segments": segments}).json()
    assert set(body) == {"id", "choices"}
    event = {"type": "select", "completion_id": body["id"], "choice_index": 0, "elapsed": 120}
    assert client.post("/v1/events", json=event | {"prompt": SECRET}).status_code == 200
    assert "model" in client.get("/v1/health").json()
    assert client.get("/v1beta/server_setting").json() == {"disable_client_side_telemetry": True}
    log_text = (state / FILE).read_text()
    lines = [json.loads(line) for line in log_text.splitlines()]
    assert [line["type"] for line in lines] == ["offered", "select"]
    assert {line["completion_id"] for line in lines} == {body["id"]}
    assert SECRET not in log_text
    assert (lines[0]["language"], lines[0]["task"]) == ("python", "completion")
    assert lines[0]["characters"] == len(body["choices"][0]["text"])
    assert lines[0]["latency_ms"] > 0
    home_path = "/home/jane.doe/work/shop/src/a.py"
    segments = {"prefix": "def f():", "filepath": home_path, "git_url": "git@example.com:acme/shop.git"}
    assert client.post("/v1/completions", json={"segments": segments}).status_code == 200
    assert json.loads((state / FILE).read_text().splitlines()[-1])["path"] == "src/a.py"


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({}, None),
        ({"language": "unknown"}, None),
        ({"language": "typescriptreact"}, "typescript"),
        ({"language": "c"}, "c"),
        ({"language": "plaintext", "segments": {"filepath": "src/a.go"}}, "go"),
    ],
)
def test_tabby_says_which_language_an_answer_is_in(client: TestClient, monkeypatch, fields, language) -> None:
    infill = Mock(wraps=editors.infill)
    monkeypatch.setattr(editors, "infill", infill)
    segments = {"prefix": "x = ", **fields.get("segments", {})}
    assert client.post("/v1/completions", json={**fields, "segments": segments}).status_code == 200
    assert infill.call_args.args[-1] == language


@pytest.mark.parametrize(("wrong", "words"), CASES["an_event_that_could_not_be_taken_in_is_refused_at_once"])
def test_an_event_that_is_forged_or_could_not_be_taken_in_is_refused_at_once(client, state: Path, wrong, words) -> None:
    before = (state / FILE).read_bytes() if (state / FILE).exists() else b""
    answer = client.post("/v1/events", json={"type": "view", "completion_id": "cmpl-1"} | wrong)
    assert words in tinygateway.refusal(answer, 400)
    assert ((state / FILE).read_bytes() if (state / FILE).exists() else b"") == before


@pytest.mark.parametrize("event", CASES["every_event_of_tabby_s_agent_and_of_other_clients_is_taken"])
def test_every_event_of_tabby_s_agent_and_of_other_clients_is_taken(client, event: dict[str, object]) -> None:
    assert client.post("/v1/events", json={"completion_id": "cmpl-1", "choice_index": 0} | event).status_code == 200


def test_tasks_are_routed_as_on_the_command_line(client: TestClient) -> None:
    answer = client.post("/route", json={"task": "The leaked secret key"})
    body = answer.json()
    assert (answer.headers["x-cortex-way"], body["master"], body["version"]) == ("rules", "security", "rules")
    assert {"confidence", "evidence", "propensity", "policy", "task_id"} <= set(body)
    both = client.post("/route", json={"tasks": ["The leaked secret key", "fix the bug"]}).json()
    assert [decision["master"] for decision in both["decisions"]] == ["security", "development"]


def test_predicted_outcomes_come_with_an_explained_decision(gateway: Gateway) -> None:
    amounts = {"low": 1.0, "median": 2.0, "high": 3.0, "unit": "tokens"}
    models = {"success": "lightgbm", "tokens": "linear", "duration_seconds": "mean"}
    outcome = {"master": "security", "success": 0.9, "tokens": amounts, "duration_seconds": amounts, "models": models}

    def expect(task: str, master: str | None) -> dict[str, object]:
        if task == "fix the bug":
            raise ServiceError("no tables")
        return {"expected": [outcome | {"master": master, "left_out": {}}], "version": "v"}

    client = tinygateway.web_client(gateway, ProjectServices(expect=expect))
    body = client.post("/route?explain=1", json={"task": "The leaked secret key"}).json()
    assert body["predicted"]["success"] == 0.9
    assert [row["word"] for row in body["explanation"]["attributions"]] == ["The", "leaked", "secret", "key"]
    assert body["predicted"]["tokens"] == {"p10": 1.0, "p50": 2.0, "p90": 3.0}
    assert list(body["predicted"]["left_out"]) == ["duration_seconds"]
    (row,) = client.post("/route?explain=1", json={"tasks": ["fix the bug"]}).json()["decisions"]
    assert row["predicted"] == {"left_out": {"all": "no tables"}}
    assert "predicted" not in client.post("/route", json={"task": "The leaked secret key"}).json()
    refused = client.post("/route?explain=1", json={"tasks": ["fix the bug"] * 17})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tasks")


def test_decisions_are_handed_on_to_whoever_keeps_those_for_people(gateway: Gateway) -> None:
    reviewed: list[tuple[str, bool]] = []

    def keep(texts: Sequence[str], decisions: Sequence[Decision]) -> None:
        reviewed.extend((text, decision.abstained) for text, decision in zip(texts, decisions, strict=True))

    client = tinygateway.web_client(gateway, ProjectServices(review=keep))
    tasks = ["The leaked secret key", "mow the lawn"]
    rows = client.post("/route", json={"tasks": tasks}).json()["decisions"]
    assert reviewed == [(text, decision["abstained"]) for text, decision in zip(tasks, rows, strict=True)]
    assert reviewed[1][1]


def test_a_full_disk_costs_no_decision(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    keep = Mock(side_effect=OSError(ENOSPC, "No space left on device"))
    answer = tinygateway.web_client(gateway, ProjectServices(review=keep)).post("/route", json={"task": "mow the lawn"})
    assert (answer.status_code, answer.json()["abstained"]) == (200, True)
    assert "were not kept: [Errno 28] No space left" in caplog.text


def test_tasks_of_code_are_answered_where_an_adapter_is_trained_for_them(client: TestClient) -> None:
    request = {"model": "docs", "task": "naming", "input": "def <NAME>(a):\n    return a\n"}
    answer = client.post("/predict", json=request | {"alternatives": 1})
    assert answer.status_code == 200
    assert {"result", "source", "confidence", "checks", "reason", "alternatives", "version"} <= set(answer.json())
    assert answer.headers["x-cortex-way"] == "adapter", "similar code is shown for completions"
    for change, param in CASES["refused_questions"]:
        refused = client.post("/predict", json=request | change)
        error = refused.json()["error"]
        assert (refused.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert error["message"].startswith("context.nonsense: unknown field")


def test_what_happened_is_counted(client: TestClient) -> None:
    client.post("/v1/completions", json={"model": "shop", "prompt": "x", "max_tokens": 2})
    page = client.get("/metrics").text
    assert 'cortex_requests_total{model="shop",route="/v1/completions",status="200",way="adapter"}' in page
    assert "cortex_first_token_seconds_count" in page
    assert (client.get("/healthz").json(), client.get("/readyz").json()["status"]) == ({"status": "ok"}, "ready")


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/v1/models/shop", "/metrics", "/nothing"])
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str) -> None:
    head, whole = client.head(path), client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (whole.status_code, whole.headers["content-type"])
    assert head.content == b""


@pytest.mark.parametrize("body", [{"task": " "}, {"tasks": ["Rotate the key", ""]}])
def test_an_empty_task_is_not_routed(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/route", json=body)
    assert answer.status_code == 400
    assert "it is empty; say in a sentence" in answer.json()["error"]["message"]


def test_what_is_too_long_is_counted_in_its_unit(client: TestClient) -> None:
    bodies: list[dict[str, Any]] = [{"task": "x " * 50_001}, {"tasks": ["x"] * 4097}]
    assert [client.post("/route", json=body).json()["error"]["message"] for body in bodies] == [
        "task: at most 100,000 characters are read, not 100,002",
        "tasks: at most 4,096 elements are read, not 4,097",
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_the_deadline_ends_says_so(client: TestClient, stream: bool) -> None:
    body = {"model": "shop", "prompt": "def f():\n", "max_tokens": 16, "stream": stream}
    answer = client.post("/v1/completions", json=body, headers={"x-cortex-deadline": "0.0001"})
    assert '"length"' in answer.text
    ending = answer.text if stream else str(answer.headers)
    assert "x-cortex-late" in ending
    assert "0.0001 s" in ending
    assert "x-cortex-late" not in client.post("/v1/completions", json=GOOD).headers


GOOD = {"model": "shop", "prompt": "x", "max_tokens": 1}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        *((json.dumps(GOOD | changes), status, words) for changes, status, words in CASES["wrong_fields"]),
        *CASES["wrong_bodies"],
        (json.dumps(GOOD | {"stop": ["x"] * 10_000}), 400, "stop: "),
        (b'{"prompt": "\xff"}', 400, "JSON in UTF-8"),
        ("[" * 100_000, 400, "the body"),
    ],
)
def test_a_wrong_request_gets_its_status_and_a_sentence(client, body: str | bytes, status: int, words: str) -> None:
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"]


def test_a_body_that_is_too_large_and_other_paths_and_methods_get_a_sentence(client: TestClient) -> None:
    answer = client.post("/v1/completions", content=b"x" * (LARGEST_BODY + 1))
    assert "larger than 4 MiB" in tinygateway.refusal(answer, 413)
    assert "nothing at GET /v2" in client.get("/v2").json()["error"]["message"]
    assert "GET is not answered" in client.get("/v1/completions").json()["error"]["message"]


HEAD = b"POST /late HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n"


@pytest.mark.parametrize(
    ("sent", "status"), [(b"", b""), (HEAD, b""), (HEAD + b"\r\nha", b"408"), (HEAD + b"\r\nhalf" + HEAD, b"200")]
)
def test_a_request_that_never_comes_whole_is_not_waited_for(monkeypatch, sent: bytes, status: bytes) -> None:
    monkeypatch.setattr(authentication, "LONGEST_SENDING", 0.5)
    app = FastAPI()
    app.add_middleware(RequestReader)
    app.post("/late")(lambda: "done")
    with tinygateway.listening(app) as url, socket.create_connection(("127.0.0.1", urlsplit(url).port)) as client:
        client.settimeout(30)
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer[9:12] == status


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(CASES["ROUTES"]), st.dictionaries(st.sampled_from(CASES["FIELDS"]), VALUES, max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_is_sent_makes_the_gateway_fail(client: TestClient, route: str, body: dict[str, Any]) -> None:
    content = json.dumps({"max_tokens": 1, "n_predict": 1, **body})
    headers = {"content-type": "application/json", "host": "127.0.0.1:8008"}
    headers["accept"] = "application/json, text/event-stream"
    answer = client.post(route, content=content, headers=headers)
    assert answer.status_code < 500, answer.text


def test_a_fault_of_the_gateway_is_told_in_the_same_form(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gateway, "prepare", lambda *_: 1 / 0)
    failed = client.post("/v1/completions", json=GOOD)
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "unexpected")


def test_an_engine_that_fails_is_told_and_the_next_request_answered(home: Path, tmp_path: Path, monkeypatch) -> None:
    gateway: Gateway = tinygateway.open_tiny(home, tmp_path)
    with tinygateway.web_client(gateway) as client:
        with monkeypatch.context() as patched:
            patched.setattr(gateway.engine, "_run_prompt", lambda *_: 1 / 0)
            failed = client.post("/v1/completions", json=GOOD)
            streamed = client.post("/v1/completions", json=GOOD | {"stream": True})
        assert "the engine failed" in tinygateway.refusal(failed, 503)
        assert events(streamed.text)[-1]["error"]["type"] == "server_error"
        assert client.post("/v1/completions", json=GOOD).status_code == 200


def test_a_stream_ends_with_its_events_where_the_server_stops_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppStatus, "should_exit", False)

    async def numbers() -> AsyncIterator[ServerSentEvent]:
        for number in range(3):
            yield ServerSentEvent(str(number))
            AppStatus.should_exit = True
            await asyncio.sleep(0.6)

    app = FastAPI()
    app.get("/")(lambda: event_stream(numbers(), {}))
    assert TestClient(app).get("/").text.split() == ["data:", "0", "data:", "1", "data:", "2"]
