"""Every field of the official client's request types is in the table, and does as it says."""

import base64
import json
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.serving.http.openai_fields import FIELDS, RequestField
from cortex_pipelines.serving.services import CodeEncoder, ProjectServices
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
TEXT = {"model": "base", "max_tokens": 2}
COMPLETION = {**TEXT, "prompt": "x"}
CHAT = {**TEXT, "messages": [{"role": "user", "content": "x"}]}
EMBEDDING = {"model": "code_encoder", "input": "x"}


@pytest.fixture(scope="module")
def http(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoder"))
    services = ProjectServices(encoder=CodeEncoder(DIGEST, lambda: folder, 1))
    with tinygateway.web_client(tinygateway.open_tiny(home, tmp_path_factory.mktemp("state")), services) as client:
        yield client


@pytest.fixture(scope="module")
def client(http: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{tinygateway.URL}/v1", api_key="none", http_client=http, max_retries=0)


@pytest.mark.parametrize("table", CASES["request_types"])
def test_the_table_has_the_fields_of_the_official_client(table: str) -> None:
    types = [getattr(import_module(f"openai.types.{module}"), name) for module, name in CASES["request_types"][table]]
    hints = {name for each in types for name in typing.get_type_hints(each)}
    assert sorted(field.name for field in FIELDS[table]) == sorted(hints)


def calls() -> Iterator[Any]:
    for kind, base, fields in (
        ("completions", COMPLETION, FIELDS["completions"]),
        ("chat", CHAT, FIELDS["chats"]),
        ("embeddings", EMBEDDING, FIELDS["embeddings"]),
    ):
        for field in fields:
            special = CASES["samples_of"][kind].get(field.name, CASES["samples"].get(field.name))
            if field.name in ("stream", "stream_options", "top_logprobs"):
                continue  # with others, below
            body = {**base, field.name: special}
            if field.name == "max_completion_tokens":
                del body["max_tokens"]
            for value in (None, *field.neutral):
                if field.handling == "refused":
                    yield pytest.param(kind, {**base, field.name: value}, None, id=f"{kind}-{field.name}-{value}")
            refused = field.name if field.handling == "refused" else None
            yield pytest.param(kind, body, refused, id=f"{kind}-{field.name}")
            for value in CASES["also_refused"].get(field.name, ()):
                yield pytest.param(kind, {**base, field.name: value}, field.name, id=f"{kind}-{field.name}-{value}")


@pytest.mark.parametrize(("kind", "arguments", "refused"), list(calls()))
def test_a_field_does_as_the_table_says(client, kind: str, arguments: dict[str, Any], refused: str | None) -> None:
    create: Any = {
        "completions": client.completions.create,
        "chat": client.chat.completions.create,
        "embeddings": client.embeddings.create,
    }[kind]
    if refused is None:
        assert create(**arguments)
        return
    with pytest.raises(openai.BadRequestError) as caught:
        create(**arguments)
    body: Any = caught.value.body
    assert (set(body), body["type"]) == ({"message", "type", "param", "code"}, "invalid_request_error")
    assert (caught.value.param or "").split(".")[0] == refused
    assert refused in body["message"]


RIGHT = {"/v1/chat/completions": CHAT, "/v1/embeddings": EMBEDDING, "/completion": {"prompt": "x"}}


@pytest.mark.parametrize("case", CASES["wrong_requests"])
def test_what_is_not_in_a_table_or_goes_with_others_is_refused(http: TestClient, case: dict[str, Any]) -> None:
    answer = http.post(case["path"], json=RIGHT.get(case["path"], COMPLETION) | case["body"])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, case["param"])


@pytest.mark.parametrize("field", [field for field in FIELDS["llama_cpp"] if field.neutral])
def test_llama_cpp_s_clients_may_say_what_happens_anyway(http: TestClient, field: RequestField) -> None:
    for value in (None, *field.neutral):
        body = {"prompt": "x", "n_predict": 1, "top_k": 40, field.name: value}
        assert http.post("/completion", json=body).status_code in (200, 400 if value == {} else 200)


def reply_to(http: TestClient, *messages: dict[str, Any]) -> Any:
    return http.post("/v1/chat/completions", json={**TEXT, "messages": list(messages)})


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize("case", CASES["wrong_messages"])
def test_messages_that_cannot_be_rendered_are_refused(http: TestClient, case: dict[str, Any]) -> None:
    answer = reply_to(http, USER, case["message"], USER)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"].startswith("messages")
    assert case["words"] in error["message"] + error["param"]


@pytest.mark.parametrize("case", CASES["equal_messages"])
def test_messages_that_say_the_same_are_rendered_the_same(http: TestClient, case: dict[str, Any]) -> None:
    first, second = (reply_to(http, case[name], USER).json() for name in ("message", "equivalent"))
    assert (first["usage"]["total_tokens"], first["choices"]) == (second["usage"]["total_tokens"], second["choices"])


DIGEST = "e" * 64


def test_a_text_has_the_same_vector_in_any_company(http: TestClient) -> None:
    texts = ["fix the bug", "scan for secrets in the list", "deploy"]
    answer = http.post("/v1/embeddings", json={"model": "code_encoder", "input": texts})
    body = answer.json()
    assert answer.headers["x-cortex-version"] == body["system_fingerprint"] == DIGEST
    assert [row["index"] for row in body["data"]] == [0, 1, 2]
    # [CLS] and [SEP] around each
    assert body["usage"] == {"prompt_tokens": 5 + 8 + 3, "total_tokens": 16}
    for text, row in zip(texts, body["data"], strict=True):
        assert http.post("/v1/embeddings", json={"input": text}).json()["data"][0]["embedding"] == row["embedding"]
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["data"][0]["embedding"] != body["data"][1]["embedding"]


def test_base64_holds_the_same_numbers_and_the_client_reads_them(http: TestClient, client: openai.OpenAI) -> None:
    body = {"input": "fix the bug"}
    plain = http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    packed = http.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()
    assert np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4").tolist() == plain
    response = client.embeddings.create(model="code_encoder", input=["fix", "scan"])
    assert [len(row.embedding) for row in response.data] == [32, 32]
    assert "code_encoder" in {model.id for model in client.models.list()}
    assert http.get("/v1/models/code_encoder").json()["cortex"]["version"] == DIGEST


def test_what_is_too_long_says_so(http: TestClient) -> None:
    answer = http.post("/v1/embeddings", json={"input": ["fix", "a b " * 1000]})
    assert answer.json()["usage"]["prompt_tokens"] == 3 + 64, "no more than the model reads"
    assert answer.headers["x-cortex-cut"] == "1 texts at the end"


@pytest.mark.parametrize(("body", "status", "words"), CASES["what_cannot_be_embedded_gets_a_sentence"])
def test_what_cannot_be_embedded_gets_a_sentence(http, body: dict[str, object], status: int, words: str) -> None:
    answer = http.post("/v1/embeddings", content=json.dumps(body), headers={"content-type": "application/json"})
    assert words in tinygateway.refusal(answer, status)


def test_it_writes_no_text(http: TestClient) -> None:
    refused = http.post("/v1/completions", json={"model": "code_encoder", "prompt": "x"})
    assert "POST /v1/embeddings" in tinygateway.refusal(refused, 404)


def test_weights_that_are_not_there_are_said_to_be_missing(home: Path, tmp_path: Path) -> None:
    missing = Mock(side_effect=WeightsError("sources.lock has no pin; run `cortex update`"))
    services = ProjectServices(encoder=CodeEncoder(DIGEST, missing, 1))
    with tinygateway.web_client(tinygateway.open_tiny(home, tmp_path), services) as http:
        answer = http.post("/v1/embeddings", json={"input": "x"})
    assert "cortex update" in tinygateway.refusal(answer, 404)
