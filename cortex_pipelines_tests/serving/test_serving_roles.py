"""Roles: what each of them opens over HTTP and by the tools for agents, and for which models."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.cli.gateway import create
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import ROUTE_SCOPES, scopes_for
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
    call = {"name": name, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accepts = {"accept": "application/json, text/event-stream"}
    answer = client.post("/mcp", json=message, headers=headers | accepts)
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
    assert frozenset(SCOPES) - scopes == {"lineage", "admin"}
    assert get_args(Role) == tuple(ROLES)
    assert next(iter(ROLES)) == DEFAULT_ROLE
    assert not opens(ROLES[DEFAULT_ROLE], "audit")


def test_lineage_is_for_those_who_may_read_it(
    client: TestClient, bearing: Bearing, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = gateway.source._current
    router = {**(catalogue.router or {}), "lineage": {"name": "logs"}}
    monkeypatch.setattr(
        gateway.source, "_current", type(catalogue)(catalogue.models, catalogue.default, catalogue.base, router)
    )
    for role in ("user", "maintainer", "auditor"):
        headers = bearing(role, role=role)
        response = client.get("/v1/models/task_router", headers=headers).json()
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
        refused = tool(client, user, name, **arguments)
        assert "the scope data" in refused["content"][0]["text"]
        for bearer in bearers:
            result = tool(client, bearer, name, **arguments)
            assert result["structuredContent"]["results"] == ["price"]
    search, chat = {"query": "price"}, {"messages": TURNS, "context": 200, "max_tokens": 1}
    for path, body in (("/search", search), ("/context", {"task": "price"})):
        assert client.post(path, json=body, headers=user).status_code == 403
        assert client.post(path, json=body, headers=bearers[0]).json()["results"] == ["price"]
    for bearer, status in ((user, 403), (bearers[0], 200)):
        answer = client.post("/v1/chat/completions", json=chat, headers=bearer)
        assert answer.status_code == status, answer.text


def test_code_is_read_of_a_key_s_own_projects_only(client: TestClient, bearing: Bearing) -> None:
    headers = bearing("d", role="maintainer", projects=["docs"])
    expected = {"docs": 200, "shop": 403, None: 403}
    for project, status in expected.items():
        body = {"query": "price", "task": "price", "project": project}
        for path in ("/search", "/context"):
            assert client.post(path, json=body, headers=headers).status_code == status, project
    refused = client.post("/context", json={"task": "price", "project": "shop"}, headers=headers)
    assert refused.json()["error"]["message"] == "d may not read shop; projects: docs"
    for model, status in (("docs", 200), ("base", 403)):
        chat = {"model": model, "messages": TURNS, "context": 200, "max_tokens": 1}
        answer = client.post("/v1/chat/completions", json=chat, headers=headers)
        assert answer.status_code == status, answer.text


def test_a_role_counts_for_its_models_only(client: TestClient, bearing: Bearing) -> None:
    headers = bearing("anna", models=["shop@1.2.0"], projects=["docs"])
    expected = {"shop@1.2.0": 200, "docs": 200, "base": 200, "shop": 403, "shop@champion": 403}
    for name, status in expected.items():
        answer = client.post("/v1/completions", json=ASKED | {"model": name}, headers=headers)
        assert answer.status_code == status, name
    assert "cortex keys create NAME --project" in client.get("/v1/models/shop", headers=headers).text
    one_model = bearing("one", models=["shop@1.2.0"])
    usual = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}, headers=one_model)
    assert usual.status_code == 200
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
    assert [(row["key"], row["status"]) for row in read["entries"]] == [
        ("anna", 200), ("anna", 200), ("anna", 403)
    ]  # fmt: skip
    assert (read["chain"]["entries"], read["chain"]["problem"]) == (3, "")
    limited = client.get("/audit", headers=headers).json()
    assert [row["model"] for row in limited["entries"]] == ["docs"]
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
    text = GUIDE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert [row for row in rows if row[0] in SCOPES and row[0] not in ROLES] == [
        (scope, meaning) for scope, meaning in SCOPES.items() if scope not in ROLES
    ]
    roles = {name: has for name, has in rows if name in ROLES and has.startswith("`")}
    assert {name: set(re.findall(r"`(\w+)`", has)) for name, has in roles.items()} == {
        name: set(has) for name, has in ROLES.items()
    }
    (option,) = (option for option in create.params if option.name == "role")
    assert list(option.type.choices) == list(ROLES)  # type: ignore[attr-defined]
