"""The memory over HTTP and as tools: whose entries who is shown, and who may delete them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.catalog import open_project
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.app import create_app
from cortex_pipelines.serving.http.guard import Door, hosts_of
from cortex_pipelines.serving.project_services import open_memory, project_services
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines_tests.serving import tinygateway

Ask = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(tinygateway.ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(project_notes, "_encoder", lambda params: (None, ""))
    return tmp_path


@pytest.fixture
def name(root: Path) -> str:
    return open_project(root).partitions[0]


@pytest.fixture
def ask(gateway: Gateway, root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Asks as somebody: anna and ben work on all projects, own on one, root may do all."""
    monkeypatch.setattr(gateway, "close", lambda: None)
    ring = KeyRing(root / "keys")
    given: dict[str, dict[str, Any]] = {
        "anna": {"role": "maintainer"},
        "ben": {"role": "maintainer"},
        "user": {"role": "user"},
        "own": {"scopes": ["memory"], "projects": [name]},
        "root": {"role": "admin"},
    }
    bearers = {who: f"Bearer {ring.create(who, **more)}" for who, more in given.items()}
    door = Door(ring, gateway.settings, hosts_of("127.0.0.1", gateway.settings))
    app = create_app(gateway, project_services(root), door=door)
    with TestClient(app, "http://127.0.0.1:8008", raise_server_exceptions=False) as client:

        def asked(who: str, method: str, path: str, status: int = 200, /, **body: Any) -> Any:
            headers = {
                "authorization": bearers[who],
                "accept": "application/json, text/event-stream",
            }
            sent = {"params": body} if method == "GET" else {"json": body}
            answer = client.request(method, path, headers=headers, **sent)  # type: ignore[arg-type]
            assert answer.status_code == status, answer.text
            return answer.json()

        yield asked


def tool(ask: Ask, who: str, called: str, **arguments: Any) -> Any:
    call = {"name": called, "arguments": arguments}
    sent = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    result = ask(who, "POST", "/mcp", **sent)["result"]
    text = result["content"][0]["text"]
    return text if result.get("isError") else json.loads(text)


def test_entries_are_everybody_s_and_exchanges_their_author_s(ask: Ask, name: str) -> None:
    kept = ask("anna", "POST", "/memory", project=name, text="prices are rounded half up")
    assert (kept["kind"], kept["redacted"], kept["origin"]) == ("note", 0, "POST /memory")
    said = {"kind": "exchange", "text": "who rounds prices?", "answer": "the ledger"}
    exchange = ask("anna", "POST", "/memory", project=name, **said)
    wanted = {"project": name, "query": "rounded prices"}
    mine = ask("anna", "POST", "/memory/search", **wanted)
    assert {entry["id"] for entry in mine["entries"]} == {kept["id"], exchange["id"]}
    for who in ("ben", "own"):
        others = ask(who, "POST", "/memory/search", **wanted)
        assert [entry["id"] for entry in others["entries"]] == [kept["id"]]
        assert ask(who, "GET", "/memory", project=name)["history"] == []
    (shown,) = ask("anna", "GET", "/memory", project=name)["history"]
    assert shown["answer"] == "the ledger"

    refused = ask("ben", "POST", "/memory/forget", 400, project=name, ids=[kept["id"]])
    assert f"{name} has no entry {kept['id']} to forget" in refused["error"]["message"]
    done = ask("anna", "POST", "/memory/forget", project=name, ids=[kept["id"]])
    assert done["forgotten"] == [kept["id"]]
    done = ask("root", "POST", "/memory/forget", project=name, ids=[exchange["id"]])
    assert done["forgotten"] == [exchange["id"]]


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
    kept = tool(ask, "anna", "remember", text="retries are capped", kind="decision", project=name)
    more = tool(ask, "ben", "remember", text="retries are not", supersedes=kept["id"], project=name)
    recalled = tool(ask, "anna", "recall", query="cap of retries", project=name)
    assert [entry["id"] for entry in recalled["entries"]] == [more["id"]]
    assert recalled["entries"][0]["author"] == open_memory(root, name).pseudonym("ben")
    every = tool(ask, "anna", "recall", query="cap of retries", project=name, history=True)
    assert {entry["id"] for entry in every["entries"]} == {kept["id"], more["id"]}
    (note,) = tool(ask, "ben", "recall", project=name)["notes"]
    assert note["id"] == more["id"]
    tool(ask, "anna", "remember", text="capped again", project=name)
    assert tool(ask, "ben", "recall", project=name)["added"] == 1
    assert "the scope memory" in tool(ask, "user", "recall", project=name)
    assert "superseded by" in tool(
        ask, "ben", "remember", text="no", supersedes=kept["id"], project=name
    )


def test_without_a_project_there_is_no_memory(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "close", lambda: None)
    with TestClient(create_app(gateway), "http://127.0.0.1:8008") as client:
        answer = client.get("/memory")
    assert answer.status_code == 404
    assert "start `cortex serve` in the project" in answer.json()["error"]["message"]
