"""Roles: what each of them opens over HTTP and by the tools for agents, for which models, and whose memory."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.gateway import create
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import ROUTE_SCOPES, scopes_for
from cortex_pipelines.serving.project_services import open_notes, project_services
from cortex_pipelines.serving.security.access import DEFAULT_ROLE, ROLES, SCOPES, Principal, Role, opens
from cortex_pipelines.serving.security.audit import AuditLog, verify
from cortex_pipelines.serving.security.keys import FILE, ApiKeyError, KeyRing
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.serving import tinygateway

GUIDE = tinygateway.ROOT / "docs" / "guides" / "serving.md"
ASKED = {"model": "shop", "prompt": "x", "max_tokens": 1}
TURNS = [{"role": "user", "content": "price"}]
SERVICES = ProjectServices(
    search=lambda query, project, k: {"results": [query], "versions": {}},
    context=lambda task, project, tokens: {"results": [task], "known": "", "pieces": [], "versions": {}},
    relations=lambda question, name, *others: {"results": [name], "versions": {}},
    lineage=lambda project, version: {"name": "code_adapter", "version": version},
)


@pytest.fixture
def client(gateway: Gateway, keys: KeyRing) -> Iterator[TestClient]:
    keys.create("first")  # so that the gateway is closed to whoever has none
    (gateway.state / "audit.jsonl").unlink(missing_ok=True)
    with tinygateway.web_client(gateway, SERVICES, keys, AuditLog(gateway.state)) as client:
        yield client


@pytest.fixture
def bearing(keys: KeyRing) -> Callable[..., dict[str, str]]:
    def headers_for(name: str, *scopes: Any, **more: Any) -> dict[str, str]:
        return tinygateway.bearing(keys.create(name, *scopes, **more))

    return headers_for


Bearing = Callable[..., dict[str, str]]


def tool(client: TestClient, headers: dict[str, str], name: str, /, **arguments: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    answer = client.post("/mcp", json=message, headers=headers | {"accept": "application/json, text/event-stream"})
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_its_routes_and_is_named_to_whom_it_lacks(client: TestClient, bearing: Bearing, role: str) -> None:
    headers = bearing(role, role=role)
    for path, scopes in ROUTE_SCOPES.items():
        answer = client.request("TRACE", path, headers=headers)  # which no route answers
        if all(opens(ROLES[role], scope) for scope in scopes):
            assert answer.status_code == 405, path
        else:
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (403, "insufficient_scope"), path
            missing = [scope for scope in sorted(scopes) if not opens(ROLES[role], scope)]
            assert f"lacks the scope{'s' * (len(missing) > 1)} {', '.join(missing)}, which" in (error["message"])
            assert "admin has" in error["message"]


def test_every_scope_has_a_role_and_a_route_or_a_tool() -> None:
    assert frozenset(SCOPES) == frozenset().union(*ROLES.values())
    scopes = frozenset().union(*(scopes_for(path) for path in ROUTE_SCOPES))
    assert (frozenset(SCOPES) - scopes, get_args(Role)) == ({"lineage", "admin"}, tuple(ROLES))
    assert next(iter(ROLES)) == DEFAULT_ROLE
    assert not opens(ROLES[DEFAULT_ROLE], "audit")


def test_lineage_is_for_those_who_may_read_it(client, bearing: Bearing, gateway: Gateway, monkeypatch) -> None:
    catalogue = gateway.source._current
    router = {**(catalogue.router or {}), "lineage": {"name": "logs"}}
    monkeypatch.setattr(
        gateway.source, "_current", type(catalogue)(catalogue.models, catalogue.default, catalogue.base, router)
    )
    for role in ("user", "maintainer", "auditor"):
        response = client.get("/v1/models/task_router", headers=bearing(role, role=role)).json()
        assert ("lineage" in response["cortex"]) == (role != "user")
    user, maintainer = bearing("u", role="user"), bearing("m", role="maintainer")
    refused = tool(client, user, "lineage", model="shop")
    assert refused["isError"]
    assert "the scope lineage, which the role maintainer or auditor or admin has" in str(refused)
    assert not tool(client, maintainer, "lineage", model="shop").get("isError")


def test_code_of_the_projects_is_for_those_who_may_read_it(client: TestClient, bearing: Bearing) -> None:
    user = bearing("u")
    bearers = [bearing("m", role="maintainer"), bearing("x", role="user", scopes=["data"])]
    requests = {
        "search_code": {"query": "price"},
        "context": {"task": "price"},
        "code_graph": {"question": "callers", "name": "price"},
    }
    for name, arguments in requests.items():
        assert "the scope data" in tool(client, user, name, **arguments)["content"][0]["text"]
        for bearer in bearers:
            assert tool(client, bearer, name, **arguments)["structuredContent"]["results"] == ["price"]
    search, chat = {"query": "price"}, {"messages": TURNS, "context": 200, "max_tokens": 1}
    relations = {"question": "callers", "name": "price"}
    for path, body in (("/search", search), ("/context", {"task": "price"}), ("/relations", relations)):
        assert client.post(path, json=body, headers=user).status_code == 403
        assert client.post(path, json=body, headers=bearers[0]).json()["results"] == ["price"]
    for bearer, status in ((user, 403), (bearers[0], 200)):
        answer = client.post("/v1/chat/completions", json=chat, headers=bearer)
        assert answer.status_code == status, answer.text


def test_code_is_read_of_a_key_s_own_projects_only(client: TestClient, bearing: Bearing) -> None:
    headers = bearing("d", role="maintainer", projects=["docs"])
    for project, status in {"docs": 200, "shop": 403, None: 403}.items():
        body = {"query": "price", "task": "price", "question": "callers", "name": "price", "project": project}
        for path in ("/search", "/context", "/relations"):
            assert client.post(path, json=body, headers=headers).status_code == status, project
    refused = client.post("/context", json={"task": "price", "project": "shop"}, headers=headers)
    assert refused.json()["error"]["message"] == "d may not read shop; projects: docs"
    for model, status in (("docs", 200), ("base", 403)):
        chat = {"model": model, "messages": TURNS, "context": 200, "max_tokens": 1}
        answer = client.post("/v1/chat/completions", json=chat, headers=headers)
        assert answer.status_code == status, answer.text


def test_a_role_counts_for_its_models_only(client: TestClient, bearing: Bearing) -> None:
    headers = bearing("anna", models=["shop@1.2.0"], projects=["docs"])
    for name, status in {"shop@1.2.0": 200, "docs": 200, "base": 200, "shop": 403, "shop@champion": 403}.items():
        assert client.post("/v1/completions", json=ASKED | {"model": name}, headers=headers).status_code == status, name
    assert "cortex keys create NAME --project" in client.get("/v1/models/shop", headers=headers).text
    one_model = bearing("one", models=["shop@1.2.0"])
    assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}, headers=one_model).status_code == 200
    assert client.post("/mcp", json={}, headers=one_model).status_code == 403


def test_a_model_s_canary_answers_for_it() -> None:
    principal = Principal("a", frozenset(), models=("shop",))
    assert principal.may_use("shop")
    assert principal.may_use("shop@canary")
    assert not principal.may_use("shop@1.2.0")
    assert not Principal("a", frozenset(), models=("shop@1.2.0",)).may_use("shop@canary")


def test_who_audits_reads_the_log_of_their_models(client: TestClient, bearing: Bearing) -> None:
    anna, rita = bearing("anna"), bearing("rita", role="auditor")
    headers = bearing("own", role="auditor", projects=["docs"])
    for model in ("shop", "docs"):
        client.post("/v1/completions", json=ASKED | {"model": model}, headers=anna)
    assert client.get("/audit", headers=anna).status_code == 403
    read = client.get("/audit", params={"verify": True}, headers=rita).json()
    assert [(row["key"], row["status"]) for row in read["entries"]] == [("anna", 200), ("anna", 200), ("anna", 403)]
    assert (read["chain"]["entries"], read["chain"]["problem"]) == (3, "")
    assert [row["model"] for row in client.get("/audit", headers=headers).json()["entries"]] == ["docs"]
    (newest,) = client.get("/audit", params={"last": 1}, headers=rita).json()["entries"]
    assert newest["key"] == "own", "reading the log is written down, too"


def test_only_the_end_of_a_long_log_is_read(gateway: Gateway, tmp_path: Path) -> None:
    from cortex_pipelines.serving.security import audit

    log = AuditLog(tmp_path)
    for number in range(100):
        log.add({"key": "x" * 500, "status": number})
    path = tmp_path / audit.FILE
    assert [row["status"] for row in audit.latest_entries(path, 3)] == [97, 98, 99]
    assert len(audit.latest_entries(path, 1000)) == verify(path).entries == 100


def test_keys_from_before_there_were_roles_keep_their_scopes(keys: KeyRing) -> None:
    token = keys.create("old", ["read"])
    path = keys._path.parent / FILE
    content = json.loads(path.read_text())
    for row in content["keys"]:
        del row["role"], row["models"]
    path.write_text(json.dumps(content))
    assert KeyRing(path.parent).find(token).allowed == {"read"}
    content["keys"][0]["role"] = "king"
    path.write_text(json.dumps(content))
    with pytest.raises(ApiKeyError, match="cannot be read"):
        KeyRing(path.parent).find(token)
    with pytest.raises(ApiKeyError, match="no role king; there is: user, maintainer"):
        KeyRing(path.parent / "new").create("a", role="king")


def test_the_guide_s_tables_are_the_declaration() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row for row in rows if row[0] in SCOPES and row[0] not in ROLES] == [
        (scope, meaning) for scope, meaning in SCOPES.items() if scope not in ROLES
    ]
    roles = {name: has for name, has in rows if name in ROLES and has.startswith("`")}
    assert {name: set(re.findall(r"`(\w+)`", has)) for name, has in roles.items()} == {
        name: set(has) for name, has in ROLES.items()
    }
    (option,) = (option for option in create.params if option.name == "role")
    assert list(option.type.choices) == list(ROLES)  # type: ignore[attr-defined]


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


def call_tool(ask: Ask, name: str, called: str, **arguments: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": called, "arguments": arguments}}
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
        assert [entry["id"] for entry in ask(reader, "POST", "/memory/search", **query)["entries"]] == [note["id"]]
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
    refused = ask("own", "POST", "/memory", 403, project=open_project(root).partitions[1], text="x")
    assert refused["error"]["message"] == f"own is for {name}; name its project"
    ask("own", "POST", "/memory", 403, text="x")
    wrong = ask("anna", "POST", "/memory", 400, project="nowhere", text="x")
    assert "no project nowhere; there is:" in wrong["error"]["message"]
    empty = ask("anna", "POST", "/memory/search", 400, project=name, query=" ")
    assert empty["error"]["message"].startswith("the query is empty")
    for bad in ({"kind": "summary"}, {"supersedes": "../x"}, {"text": "x" * 20_001}):
        ask("anna", "POST", "/memory", 400, **{"project": name, "text": "x", **bad})


def test_agents_remember_and_recall(ask: Ask, name: str, root: Path) -> None:
    old = call_tool(ask, "anna", "remember", text="retries are capped", kind="decision", project=name)
    more = call_tool(ask, "ben", "remember", text="retries are not", supersedes=old["id"], project=name)
    recalled = call_tool(ask, "anna", "recall", query="cap of retries", project=name)
    assert [entry["id"] for entry in recalled["entries"]] == [more["id"]]
    assert recalled["entries"][0]["author"] == open_notes(root, name).pseudonym("ben")
    every = call_tool(ask, "anna", "recall", query="cap of retries", project=name, history=True)
    assert {entry["id"] for entry in every["entries"]} == {old["id"], more["id"]}
    (note,) = call_tool(ask, "ben", "recall", project=name)["notes"]
    assert note["id"] == more["id"]
    call_tool(ask, "anna", "remember", text="capped again", project=name)
    assert call_tool(ask, "ben", "recall", project=name)["added"] == 1
    assert "the scope memory" in call_tool(ask, "user", "recall", project=name)
    assert "superseded by" in call_tool(ask, "ben", "remember", text="no", supersedes=old["id"], project=name)


def test_without_a_project_there_is_no_memory(gateway: Gateway) -> None:
    with tinygateway.web_client(gateway) as client:
        answer = client.get("/memory")
    assert "start `cortex serve` in the project" in tinygateway.refusal(answer, 404)
