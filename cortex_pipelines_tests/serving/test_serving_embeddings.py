"""Embeddings in OpenAI's form, by a real encoder small enough to build for the test."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.serving.embeddings import CodeEncoder
from cortex_pipelines.serving.http.app import create_app
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.serving import tinygateway

DIGEST = "e" * 64


@pytest.fixture(scope="module")
def client(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoder"))
    services = ProjectServices(encoder=CodeEncoder(DIGEST, lambda: folder, 1))
    gateway = tinygateway.open_tiny(home, tmp_path_factory.mktemp("state"))
    with TestClient(create_app(gateway, services), raise_server_exceptions=False) as client:
        yield client


def test_a_text_has_the_same_vector_in_any_company(client: TestClient) -> None:
    texts = ["fix the bug", "scan for secrets in the list", "deploy"]
    answer = client.post("/v1/embeddings", json={"model": "code_encoder", "input": texts})
    body = answer.json()
    assert answer.headers["x-cortex-version"] == body["system_fingerprint"] == DIGEST
    assert [row["index"] for row in body["data"]] == [0, 1, 2]
    # [CLS] and [SEP] around each
    assert body["usage"] == {"prompt_tokens": 5 + 8 + 3, "total_tokens": 16}
    for text, row in zip(texts, body["data"], strict=True):
        alone = client.post("/v1/embeddings", json={"input": text}).json()["data"][0]
        assert alone["embedding"] == row["embedding"]
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)
    assert body["data"][0]["embedding"] != body["data"][1]["embedding"]


def test_base64_holds_the_same_numbers(client: TestClient) -> None:
    body = {"input": "fix the bug"}
    plain = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    packed = client.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()
    numbers = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert numbers.tolist() == plain


def test_the_openai_client_reads_it(client: TestClient) -> None:
    asking = openai.OpenAI(base_url="http://testserver/v1", api_key="none", http_client=client)
    response = asking.embeddings.create(model="code_encoder", input=["fix", "scan"])
    assert [len(row.embedding) for row in response.data] == [32, 32]
    assert "code_encoder" in {model.id for model in asking.models.list()}
    assert client.get("/v1/models/code_encoder").json()["cortex"]["version"] == DIGEST


def test_what_is_too_long_says_so(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", json={"input": ["fix", "a b " * 1000]})
    assert answer.json()["usage"]["prompt_tokens"] == 3 + 64, "no more than the model reads"
    assert answer.headers["x-cortex-cut"] == "1 texts at the end"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"input": "x", "model": "code_encodr"}, 404, "the nearest model that does is code_enc"),
        ({"input": "x", "model": "shop"}, 404, "code_encoder"),
        ({"input": "x", "dimensions": 8}, 400, "leave dimensions out"),
        ({"input": "x", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": ""}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": "\ud800"}, 400, "input: "),
        ({}, 400, "input: Field required"),
    ],
)
def test_what_cannot_be_embedded_gets_a_sentence(
    client: TestClient, body: dict[str, object], status: int, words: str
) -> None:
    json_type = {"content-type": "application/json"}
    answer = client.post("/v1/embeddings", content=json.dumps(body), headers=json_type)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_it_writes_no_text(client: TestClient) -> None:
    refused = client.post("/v1/completions", json={"model": "code_encoder", "prompt": "x"})
    assert refused.status_code == 404
    assert "POST /v1/embeddings" in refused.json()["error"]["message"]


def test_weights_that_are_not_there_are_said_to_be_missing(home: Path, tmp_path: Path) -> None:
    def missing() -> Path:
        raise WeightsError("sources.lock has no pin; run `cortex update`")

    services = ProjectServices(encoder=CodeEncoder(DIGEST, missing, 1))
    with TestClient(create_app(tinygateway.open_tiny(home, tmp_path), services)) as client:
        answer = client.post("/v1/embeddings", json={"input": "x"})
    assert answer.status_code == 404
    assert "cortex update" in answer.json()["error"]["message"]
