"""The memory over HTTP and as tools: whose entries who is shown, and who may delete them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.project_services import open_notes, project_services
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines_tests.serving import tinygateway

Ask = Callable[..., Any]


@pytest.fixture
def root(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(project_notes, "_encoder", lambda params: (None, ""))
    return project


@pytest.fixture
def name(root: Path) -> str:
    return open_project(root).partitions[0]


@pytest.fixture
def ask(gateway: Gateway, root: Path, name: str) -> Iterator[Ask]:
    """Asks as somebody: anna and ben work on all projects, own on one, root may do all."""
    ring = KeyRing(root / "keys")
    key_options: dict[str, dict[str, Any]] = {
        "anna": {"role": "maintainer"},
        "ben": {"role": "maintainer"},
        "user": {"role": "user"},
        "own": {"scopes": ["memory"], "projects": [name]},
        "root": {"role": "admin"},
    }
    bearers = {key_name: f"Bearer {ring.create(key_name, **more)}" for key_name, more in key_options.items()}
    with tinygateway.web_client(gateway, project_services(root), ring) as client:

        def send_request(name: str, method: str, path: str, status: int = 200, /, **body: Any) -> Any:
            headers = {"authorization": bearers[name], "accept": "application/json, text/event-stream"}
            request_options = {"params": body} if method == "GET" else {"json": body}
            answer = client.request(method, path, headers=headers, **request_options)  # type: ignore[arg-type]
            assert answer.status_code == status, answer.text
            return answer.json()

        yield send_request


def tool(ask: Ask, name: str, called: str, **arguments: Any) -> Any:
    call = {"name": called, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    result = ask(name, "POST", "/mcp", **message)["result"]
    text = result["content"][0]["text"]
    return text if result.get("isError") else json.loads(text)


def test_entries_are_everybody_s_and_exchanges_their_author_s(ask: Ask, name: str) -> None:
    note = ask("anna", "POST", "/memory", project=name, text="prices are rounded half up")
    assert (note["kind"], note["redacted"], note["origin"]) == ("note", 0, "POST /memory")
    exchange_fields = {"kind": "exchange", "text": "who rounds prices?", "answer": "the ledger"}
    exchange = ask("anna", "POST", "/memory", project=name, **exchange_fields)
    query = {"project": name, "query": "rounded prices"}
    own_results = ask("anna", "POST", "/memory/search", **query)
    assert {entry["id"] for entry in own_results["entries"]} == {note["id"], exchange["id"]}
    for reader in ("ben", "own"):
        other_results = ask(reader, "POST", "/memory/search", **query)
        assert [entry["id"] for entry in other_results["entries"]] == [note["id"]]
        assert ask(reader, "GET", "/memory", project=name)["history"] == []
    (latest,) = ask("anna", "GET", "/memory", project=name)["history"]
    assert latest["answer"] == "the ledger"

    refused = ask("ben", "POST", "/memory/forget", 400, project=name, ids=[note["id"]])
    assert f"{name} has no entry {note['id']} to forget" in refused["error"]["message"]
    response = ask("anna", "POST", "/memory/forget", project=name, ids=[note["id"]])
    assert response["forgotten"] == [note["id"]]
    response = ask("root", "POST", "/memory/forget", project=name, ids=[exchange["id"]])
    assert response["forgotten"] == [exchange["id"]]


def test_who_may_not_gets_a_sentence(ask: Ask, name: str, root: Path) -> None:
    refused = ask("user", "GET", "/memory", 403, project=name)
    assert "the scope memory, which the role maintainer or admin has" in refused["error"]["message"]
    other = open_project(root).partitions[1]
    refused = ask("own", "POST", "/memory", 403, project=other, text="x")
    assert refused["error"]["message"] == f"own is for {name}; name its project"
    ask("own", "POST", "/memory", 403, text="x")
    wrong = ask("anna", "POST", "/memory", 400, project="nowhere", text="x")
    assert "no project nowhere; there is:" in wrong["error"]["message"]
    empty = ask("anna", "POST", "/memory/search", 400, project=name, query=" ")
    assert empty["error"]["message"].startswith("the query is empty")
    for bad in ({"kind": "summary"}, {"supersedes": "../x"}, {"text": "x" * 20_001}):
        ask("anna", "POST", "/memory", 400, **{"project": name, "text": "x", **bad})


def test_agents_remember_and_recall(ask: Ask, name: str, root: Path) -> None:
    old = tool(ask, "anna", "remember", text="retries are capped", kind="decision", project=name)
    more = tool(ask, "ben", "remember", text="retries are not", supersedes=old["id"], project=name)
    recalled = tool(ask, "anna", "recall", query="cap of retries", project=name)
    assert [entry["id"] for entry in recalled["entries"]] == [more["id"]]
    assert recalled["entries"][0]["author"] == open_notes(root, name).pseudonym("ben")
    every = tool(ask, "anna", "recall", query="cap of retries", project=name, history=True)
    assert {entry["id"] for entry in every["entries"]} == {old["id"], more["id"]}
    (note,) = tool(ask, "ben", "recall", project=name)["notes"]
    assert note["id"] == more["id"]
    tool(ask, "anna", "remember", text="capped again", project=name)
    assert tool(ask, "ben", "recall", project=name)["added"] == 1
    assert "the scope memory" in tool(ask, "user", "recall", project=name)
    assert "superseded by" in tool(ask, "ben", "remember", text="no", supersedes=old["id"], project=name)


def test_without_a_project_there_is_no_memory(gateway: Gateway) -> None:
    with tinygateway.web_client(gateway) as client:
        answer = client.get("/memory")
    assert answer.status_code == 404
    assert "start `cortex serve` in the project" in answer.json()["error"]["message"]
