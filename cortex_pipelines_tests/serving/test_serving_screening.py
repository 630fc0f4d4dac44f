"""Secrets and personal data in answers: named or replaced, whole and streamed."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.config import load_parameters
from cortex_pipelines.serving.engines.engine import Alternative, Event, GeneratedToken, Job, TextDelta
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.security.output_filter import OutputFilter, StreamFilter
from cortex_pipelines_tests.serving import tinygateway

PRIVACY = load_parameters(tinygateway.ROOT).privacy
AWS = "AKIA" + "Q3EGRZ7PNBWX5TLV"
MAIL = "karl.lindqvist" + "@" + "nordmail.se"
BLOCK = "MIIEowIBAAKCAQEA" + "x7Qp2Zk9vLw4Rt8Y" * 3
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BLOCK}\n{BLOCK[::-1]}\n-----END RSA PRIVATE KEY-----\n"
TEXT = f'key = "{AWS}"\n# {MAIL} wrote this\nx = 1\n{PEM}y = f(x)\nkey = "{AWS}"'
PRIVATE = (AWS, MAIL, BLOCK, BLOCK[::-1])
ASKED = {"model": "shop", "prompt": "def f():\n    ", "max_tokens": 64}


def body_of(path: str, stream: bool) -> dict[str, Any]:
    body_by_path = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/playground": {"way": "base", "model": "base", "prompt": "x"},
    }
    body = {name: value for name, value in ASKED.items() if name != "prompt" or path not in body_by_path}
    return {**body, "stream": stream, **body_by_path.get(path, {})}


def screened(policy: Any, parts: list[str], before: str = "") -> tuple[list[TextDelta], set[str]]:
    rules: set[str] = set()
    answers = StreamFilter(OutputFilter(PRIVACY, policy), before, rules.add)
    starts = itertools.accumulate(map(len, parts), initial=0)
    deltas = [
        TextDelta(0, part, (GeneratedToken(part, -1.0, raw=part.encode(), offset=start),))
        for part, start in zip(parts, starts, strict=False)
    ]
    filtered = [answers.add(delta) for delta in [*deltas, TextDelta(0, "", (), "stop")]]
    return [delta for delta in filtered if delta is not None], rules


def text_of(deltas: list[TextDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@given(cuts=st.lists(st.integers(min_value=0, max_value=len(TEXT)), max_size=30))
def test_however_it_comes_in_pieces_no_private_value_is_sent(cuts: list[int]) -> None:
    parts = [TEXT[start:end] for start, end in itertools.pairwise([0, *sorted(cuts), len(TEXT)])]
    deltas, rules = screened("cut", parts)
    tokens = [token.text for delta in deltas for token in delta.tokens]
    assert text_of(deltas) == OutputFilter(PRIVACY, "cut").filtered("", TEXT)[0]
    assert not any(value in text_of(deltas) + "".join(tokens) for value in PRIVATE)
    assert "x = 1\n" in text_of(deltas)
    assert "y = f(x)\n" in text_of(deltas)
    assert len(tokens) == len(parts), "each token still counts"
    assert {"email", "private-key"} < rules


def test_what_is_only_flagged_goes_on_at_once() -> None:
    parts = [TEXT[start : start + 5] for start in range(0, len(TEXT), 5)]
    deltas, rules = screened("flag", parts)
    assert [delta.text for delta in deltas] == [*parts, ""]
    assert {"email", "private-key"} < rules
    assert screened("off", parts)[1] == set()


def test_the_line_that_is_gone_on_with_is_read_along_and_half_a_key_is_not_shown() -> None:
    deltas, rules = screened("cut", ["h7Gk2pQz", '9xLw"\n'], 'def f():\n    password = "')
    assert rules == {"password"}
    assert text_of(deltas).startswith("REDACTED_PASSWORD_")
    deltas, _ = screened("cut", [AWS[8:], '"\n'], f'key = "{AWS[:8]}')
    assert AWS[8:] not in text_of(deltas)
    deltas, rules = screened("cut", ["total + 1\n"], f"# {MAIL}: sum = ")
    assert (text_of(deltas), rules) == ("total + 1\n", set())
    half = PEM[: PEM.index(BLOCK) + len(BLOCK) + 1]
    deltas, _ = screened("cut", [half[:40], half[40:]])
    assert BLOCK not in text_of(deltas)


@pytest.fixture
def writing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    def submit(_: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        for start in range(0, len(TEXT), 40):
            part = TEXT[start : start + 40]
            raw = part.encode()
            deliver(TextDelta(0, part, (GeneratedToken(part, -1.0, (Alternative(part, -1.0, raw),), raw, start),)))
        deliver(TextDelta(0, "", (), "stop"))
        deliver(None)
        return lambda: None

    monkeypatch.setattr(gateway.engine, "submit", submit)
    with tinygateway.web_client(gateway) as client:

        def make_client(policy: Any) -> TestClient:
            monkeypatch.setattr(gateway, "output_filter", OutputFilter(PRIVACY, policy))
            return client

        yield make_client


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/infill", "/playground"])
@pytest.mark.parametrize("stream", [True, False])
def test_nothing_private_leaves_a_gateway_that_cuts(writing, path: str, stream: bool) -> None:
    answer = writing("cut").post(path, json=body_of(path, stream))
    assert answer.status_code == 200
    assert not any(value in answer.text for value in PRIVATE)
    assert "REDACTED_" in answer.text
    if stream or path == "/playground":
        assert ": x-cortex-flags: " in answer.text
    else:
        assert "email" in answer.headers["x-cortex-flags"]


def test_a_gateway_that_flags_says_so_and_changes_nothing(writing: Callable[..., TestClient]) -> None:
    client = writing("flag")
    response = client.post("/v1/completions", json=ASKED)
    assert response.json()["choices"][0]["text"] == TEXT
    assert "private-key" in response.headers["x-cortex-flags"]
    assert 'cortex_flagged_total{rule="email"}' in client.get("/metrics").text
    streamed = client.post("/v1/completions", json=ASKED | {"stream": True}).text
    *_, comment, last_line = [line for line in streamed.splitlines() if line]
    assert comment.startswith(": x-cortex-flags: ")
    assert last_line == "data: [DONE]"
    assert "x-cortex-flags" not in writing("off").post("/v1/completions", json=ASKED).headers


@pytest.mark.parametrize("policy", ["cut", "flag"])
def test_tokens_of_what_was_cut_say_nothing(writing: Callable[..., TestClient], policy: str) -> None:
    choice = writing(policy).post("/v1/completions", json=ASKED | {"logprobs": 1}).json()["choices"][0]
    texts = "".join(choice["logprobs"]["tokens"]) + json.dumps(choice["logprobs"]["top_logprobs"])
    assert (AWS in texts) == (policy == "flag")


def test_tasks_and_editors_are_told(writing: Callable[..., TestClient]) -> None:
    client = writing("cut")
    body = {"model": "shop", "task": "completion", "input": "def f():\n    ", "alternatives": 0}
    task = client.post("/predict", json=body)
    assert AWS not in task.text
    assert task.json()["flags"]
    assert task.headers["x-cortex-flags"]
    tabby = client.post("/v1/completions", json={"segments": {"prefix": "x = ", "suffix": "\n"}})
    assert AWS not in tabby.text
    assert tabby.headers["x-cortex-flags"]
