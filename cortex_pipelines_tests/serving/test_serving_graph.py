"""The graph: what REST says, within limits, for those who may read it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, call

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.graph import ALIASES, LINEAGES, SCHEMA
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
NODE = "name partition version runId gitCommit"


@pytest.fixture
def lineages() -> Mock:
    def lineage(_project: str | None, version: str) -> dict[str, Any]:
        if version == "docs.dir":
            raise KeyError("a secret place")
        return CASES["TREE"]

    return Mock(side_effect=lineage)


@pytest.fixture
def client(gateway: Gateway, lineages: Mock, keys: KeyRing) -> Iterator[TestClient]:
    with tinygateway.web_client(gateway, ProjectServices(lineage=lineages), keys) as client:
        yield client


def run_query(client: TestClient, query: str, **more: Any) -> tuple[int, Any]:
    answer = client.post("/graphql", json={"query": query, **more})
    return answer.status_code, answer.json()


def test_models_come_with_versions_and_lineage_as_rest_has_them(client: TestClient) -> None:
    tree = f"lineage {{ {NODE} madeFrom {{ {NODE} madeFrom {{ {NODE} }} }} }} runs {{ runId name }}"
    query = f"query One($name: String!) {{ model(name: $name) {{ name way version release {tree} }} }}"
    status, body = run_query(client, query, variables={"name": "shop@1.2.0"}, operationName="One")
    assert (status, body.get("errors")) == (200, None)
    model = body["data"]["model"]
    facts = client.get("/v1/models/shop@1.2.0").json()["cortex"]
    assert {name: model[name] for name in ("way", "version", "release")} == {
        name: facts[name] for name in ("way", "version", "release")
    }
    top = model["lineage"]
    assert (top["name"], top["runId"]) == ("code_adapter", "r1")
    assert top["madeFrom"][0]["madeFrom"][0]["version"] == {"commit": "abc"}
    assert model["runs"] == [{"runId": "r1", "name": "code_adapter"}, {"runId": "r2", "name": "completion_dataset"}]
    _, response = run_query(client, "{ models { name version notice scores { value } } metrics }")
    overview = {row["name"]: row["version"] for row in client.get("/overview").json()["models"]}
    assert {row["name"]: row["version"] for row in response["data"]["models"]} == overview
    assert response["data"]["metrics"]["alive"] is True
    _, docs_models = run_query(client, '{ models(project: "docs") { name } }')
    assert docs_models["data"]["models"] == [{"name": "docs"}]
    _, router = run_query(client, '{ model(name: "task_router") { way version } }')
    assert router["data"]["model"] == {"way": "rules", "version": "rules"}


def test_an_unknown_model_gets_the_sentence_and_a_fault_tells_nothing(client: TestClient) -> None:
    status, body = run_query(client, '{ model(name: "shpo") { name } }')
    assert (status, body["data"]) == (400, None)
    assert "the nearest is shop" in body["errors"][0]["message"]
    status, body = run_query(client, '{ model(name: "docs") { name lineage { name } } }')
    assert (status, body["data"]["model"]) == (200, {"name": "docs", "lineage": None})
    assert "a secret place" not in str(body)
    assert "a fault of the gateway" in body["errors"][0]["message"]


def deep(levels: int) -> str:
    inner = "name"
    for _ in range(levels):
        inner = f"madeFrom {{ {inner} }}"
    return f'{{ model(name: "shop") {{ lineage {{ {inner} }} }} }}'


def test_what_asks_for_too_much_is_refused(client: TestClient, lineages: Mock) -> None:
    assert run_query(client, deep(10))[0] == 200
    lineages.reset_mock()
    aliases = " ".join(f'm{n}: model(name: "shop") {{ name }}' for n in range(ALIASES + 1))
    for query, words in {
        deep(11): "maximum operation depth",
        f"{{ {aliases} }}": "aliases",
        "{ models { " + "name " * 1000 + "} }": "1000",
        "{ nothing }": "Cannot query field",
        "mutation { promote }": "not configured",
        "{": "Syntax Error",
        "{ ...a } fragment a on Query { ...a }": "within itself",
    }.items():
        status, body = run_query(client, query)
        assert (status, body["data"]) == (400, None), query[:50]
        assert words in body["errors"][0]["message"]
    assert lineages.call_args_list == [], "refused before anything is looked up"
    headers = {"content-type": "application/json"}
    for body in ({"query": 7}, {"query": ""}, {"query": "query A($x: Int) { metrics }", "variables": {"x": "\ud800"}}):
        assert client.post("/graphql", content=json.dumps(body), headers=headers).status_code == 400
    assert client.get("/graphql").status_code == 405, "nothing that a link could ask"


def test_lineages_are_looked_up_once_and_not_without_end(client, gateway, lineages: Mock, monkeypatch) -> None:
    assert run_query(client, '{ model(name: "shop") { lineage { name } runs { runId } } }')[0] == 200
    assert lineages.call_args_list == [call("shop", "shop.dir")]
    catalogue = gateway.source._current
    many = {f"shop@{n}": replace(catalogue.models["shop"], name=f"shop@{n}") for n in range(30)}
    monkeypatch.setattr(gateway.source, "_current", replace(catalogue, models=many))
    lineages.reset_mock()
    _, body = run_query(client, "{ models { lineage { name } } }")
    assert lineages.call_count == LINEAGES
    assert "ask for single models by name" in body["errors"][0]["message"]


def test_the_schema_can_be_asked_for(client: TestClient) -> None:
    from graphql import build_client_schema, get_introspection_query, print_schema

    status, body = run_query(client, get_introspection_query())
    assert (status, body.get("errors")) == (200, None)
    assert "type Model" in print_schema(build_client_schema(body["data"]))
    assert "Mutation" not in str(SCHEMA)


def test_it_needs_a_key_a_scope_and_for_lineage_another(client: TestClient, keys: KeyRing) -> None:
    tokens = {
        "writes": keys.create("writes", ["complete"]),
        "user": keys.create("user"),
        "auditor": keys.create("auditor", role="auditor", projects=["shop"]),
    }
    assert run_query(client, "{ metrics }")[0] == 401
    client.headers["authorization"] = f"Bearer {tokens['writes']}"
    assert run_query(client, "{ metrics }")[0] == 403
    client.headers["authorization"] = f"Bearer {tokens['user']}"
    assert run_query(client, "{ models { name } }")[0] == 200
    status, body = run_query(client, '{ model(name: "shop") { name lineage { name } } }')
    assert body["data"]["model"] == {"name": "shop", "lineage": None}
    (error,) = body["errors"]
    assert error["extensions"] == {"code": "insufficient_scope"}
    assert "lacks the scope lineage, which the role maintainer or auditor" in error["message"]
    client.headers["authorization"] = f"Bearer {tokens['auditor']}"
    status, body = run_query(client, '{ models { name } model(name: "shop") { lineage { name } } }')
    assert (status, body["data"]["model"]["lineage"]) == (200, {"name": "code_adapter"})
    assert {row["name"] for row in body["data"]["models"]} <= {"base", "shop", "shop@champion", "shop@1.2.0"}
    status, body = run_query(client, '{ model(name: "docs") { name } }')
    assert "you may not use docs" in body["errors"][0]["message"]
