"""Who is let in: keys, scopes, projects, host names and limits."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.serving.engines.engine import BusyError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import OPEN, ROUTE_SCOPES, hosts_of, is_loopback, scopes_for
from cortex_pipelines.serving.http.server import create_app, require_keys
from cortex_pipelines.serving.security.access import TokenBucket
from cortex_pipelines.serving.security.keys import FILE, ApiKeyError, KeyRing
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.tinygateway import bearing

ASKED = {"model": "shop", "prompt": "x", "max_tokens": 2}

Enter = Callable[..., TestClient]


@pytest.fixture
def enter(gateway: Gateway, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    with ExitStack() as stack:

        def make_client(**changes: Any) -> TestClient:
            monkeypatch.setattr(gateway, "settings", tinygateway.settings(**changes))
            return stack.enter_context(tinygateway.web_client(gateway, keys=keys))

        yield make_client


def code_of(answer: Any) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"]


def test_once_there_are_keys_nothing_is_answered_without_one(enter: Enter, keys: KeyRing) -> None:
    assert enter().post("/v1/completions", json=ASKED).status_code == 200
    token = keys.create("anna")
    client = enter()
    for probed in OPEN:
        assert client.get(probed).status_code == 200
        assert set(client.get(probed).json()) == {"status"}
    for path in (*ROUTE_SCOPES, "/v1/models/shop", "/page/page.js", "/nothing"):
        for credentials in (b"", b"Bearer cortex-wrong", b"Bearer \xe9", b"Bearer ", token.encode()):
            answer = client.get(path, headers={b"authorization": credentials} if credentials else {})
            assert code_of(answer) == (401, "invalid_api_key"), path
            assert answer.headers["www-authenticate"] == "Bearer"
    good = client.post("/v1/completions", json=ASKED, headers=bearing(token))
    assert good.status_code == 200
    assert client.get("/v1/models", headers=bearing(token)).status_code == 200


def test_a_key_that_is_revoked_or_expired_counts_no_longer(enter: Enter, keys: KeyRing) -> None:
    client = enter()
    assert client.get("/v1/models").status_code == 200
    anna, late = keys.create("anna"), keys.create("late", lifetime=timedelta(seconds=-1))
    assert client.get("/v1/models", headers=bearing(anna)).status_code == 200
    assert "late is expired" in client.get("/version", headers=bearing(late)).text
    KeyRing(keys._path.parent).revoke("anna")
    answer = client.get("/v1/models", headers=bearing(anna))
    assert answer.status_code == 401
    assert "anna is revoked" in answer.text
    assert client.get("/v1/models").status_code == 401, "it does not open when the last key ends"


def test_each_scope_opens_its_routes_only(enter: Enter, keys: KeyRing) -> None:
    tokens = {scope: keys.create(scope, [scope]) for scope in ("route", "read", "admin")}
    client = enter()
    routed = {"task": "The leaked secret key"}
    for scope, statuses in {
        "route": {"/route": 200, "/v1/completions": 403, "/v1/models": 403, "/nothing": 403},
        "read": {"/route": 403, "/v1/completions": 403, "/v1/models": 200, "/mcp": 403},
        "admin": {"/route": 200, "/v1/completions": 200, "/v1/models": 200, "/nothing": 404},
    }.items():
        for path, status in statuses.items():
            headers = bearing(tokens[scope])
            if path in ("/v1/models", "/nothing", "/mcp"):
                answer = client.get(path, headers=headers)
            else:
                body = routed if path == "/route" else ASKED
                answer = client.post(path, json=body, headers=headers)
            assert answer.status_code == status, (scope, path)
            if status == 403:
                assert code_of(answer)[1] == "insufficient_scope"


def test_every_route_is_decided_on(gateway: Gateway) -> None:
    paths = set(create_app(gateway).openapi()["paths"])
    assert len(paths) > 20
    assert {path for path in paths if scopes_for(path) == {"admin"}} == OPEN
    assert scopes_for("/new") == {"admin"}


def test_a_key_of_one_project_uses_its_models_and_the_base(enter: Enter, keys: KeyRing) -> None:
    token = keys.create("shopper", projects=["shop"])
    client = enter()
    client.headers.update(bearing(token))
    model_names = {model["id"] for model in client.get("/v1/models").json()["data"]}
    assert {"base", "shop", "shop@1.2.0"} <= model_names
    assert not {"docs", "plain"} & model_names
    assert {row["name"] for row in client.get("/overview").json()["models"]} == (
        {"base", "shop", "shop@1.2.0", "shop@champion"}
    )
    for name, status in {"shop": 200, "shop@1.2.0": 200, "base": 200, "docs": 403}.items():
        completed = client.post("/v1/completions", json=ASKED | {"model": name})
        assert completed.status_code == status, name
    foreign_models = {
        "/v1/completions": ASKED | {"stream": True},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/fim/completions": {"prompt": "x", "suffix": "y"},
        "/infill": {"input_prefix": "x", "input_suffix": ""},
        "/predict": {"task": "completion", "input": "x = "},
        "/playground": {"prompt": "x", "way": "base"},
    }
    for path, body in foreign_models.items():
        refused = client.post(path, json={**body, "model": "docs"})
        assert code_of(refused) == (403, "model_not_allowed"), path
    assert client.get("/v1/models/docs").status_code == 403
    usual = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    assert usual.status_code == 200
    assert code_of(client.post("/mcp", json={})) == (403, "insufficient_scope")


def test_host_names_of_this_machine_and_listed_ones_are_answered_and_no_others(enter: Enter) -> None:
    client = enter(hosts=["models.example"])
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1].evil", "a:b:c"):
        answer = client.post("/v1/completions", json=ASKED, headers={"host": host})
        assert code_of(answer) == (421, "unknown_host"), host
    for host in ("127.0.0.1:8008", "localhost", "LOCALHOST:80", "[::1]:8008", "models.example:443"):
        assert client.get("/version", headers={"host": host}).status_code == 200, host
    assert hosts_of("0.0.0.0", tinygateway.settings()) is None
    assert hosts_of("0.0.0.0", tinygateway.settings(hosts=["a.example"])) == {"a.example"}


def test_pages_from_elsewhere_may_ask_only_where_they_are_listed(enter: Enter) -> None:
    page = {"origin": "https://tools.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in enter().options("/route", headers=page).headers
    client = enter(origins=["https://tools.example"])
    allowed = client.options("/route", headers=page).headers["access-control-allow-origin"]
    assert allowed == "https://tools.example"


def test_a_bucket_fills_up_evenly() -> None:
    clock_time = 0.0
    bucket = TokenBucket(60, lambda: clock_time)
    bucket.spend(60)
    assert bucket.wait() == pytest.approx(1)
    clock_time = 0.5
    assert bucket.wait() == pytest.approx(0.5)
    clock_time = 1000.0
    assert bucket.wait() == 0
    bucket.spend(90)
    assert bucket.wait() == pytest.approx(31), "and holds no more than a minute's worth"


def test_each_key_has_its_own_minute(enter: Enter, keys: KeyRing) -> None:
    tokens = [keys.create("one"), keys.create("two")]
    client = enter(requests_per_minute=2)
    for token in tokens:
        statuses = [client.get("/version", headers=bearing(token)) for _ in range(3)]
        assert [answer.status_code for answer in statuses] == [200, 200, 429]
        assert int(statuses[-1].headers["retry-after"]) >= 1
        assert code_of(statuses[-1]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("way", ["whole", "streamed", "task", "infill"])
def test_tokens_count_however_they_are_asked_for(enter: Enter, way: str) -> None:
    client = enter(tokens_per_minute=5)
    path, body = {
        "whole": ("/v1/completions", ASKED | {"prompt": "def f(x):\n"}),
        "streamed": ("/v1/completions", ASKED | {"prompt": "def f(x):\n", "stream": True}),
        "task": ("/predict", {"task": "completion", "input": "def f(x):\n", "alternatives": 0}),
        "infill": ("/infill", {"input_prefix": "def f(x):\n", "input_suffix": "", "n_predict": 4}),
    }[way]
    assert client.post(path, json=body).status_code == 200
    assert code_of(client.post(path, json=body)) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_full_queue_is_told_by_the_status_also_of_a_stream(
    enter: Enter, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, path: str, stream: bool
) -> None:
    client = enter(waiting=1)
    state = gateway.engine.state()
    monkeypatch.setattr(gateway.engine, "state", lambda: {**state, "waiting": 1})

    def full(*_: object) -> None:
        raise BusyError("1 requests wait already")

    monkeypatch.setattr(gateway.engine, "submit", full)
    answer = client.post(path, json={**ASKED, "stream": stream})
    assert code_of(answer) == (429, "busy")
    assert answer.headers["retry-after"] == "1"


def test_only_a_salted_hash_is_kept(keys: KeyRing) -> None:
    tokens = [keys.create("a"), keys.create("b", ["route"], ["shop"], timedelta(days=9))]
    path = keys._path
    file_text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(token in file_text or token.partition("-")[2] in file_text for token in tokens)
    first, second = json.loads(file_text)["keys"]
    assert first["salt"] != second["salt"]
    assert (second["scopes"], second["projects"]) == (["route"], ["shop"])
    assert keys.find(tokens[1]).name == "b"
    with pytest.raises(ApiKeyError, match="not known"):
        keys.find(tokens[1] + "x")


def test_a_name_is_not_used_again(keys: KeyRing) -> None:
    keys.create("a")
    keys.revoke("a")
    with pytest.raises(ApiKeyError, match="another name"):
        keys.create("a")
    with pytest.raises(ApiKeyError, match="no key b; there is: a"):
        keys.revoke("b")
    with pytest.raises(ApiKeyError, match="not a valid key name"):
        keys.create("../a")


@pytest.mark.parametrize("content", ["", "{}", '{"keys": [{"name": "a"}]}', "\xff"])
def test_a_damaged_file_lets_nobody_in(enter: Enter, keys: KeyRing, content: str) -> None:
    token = keys.create("a")
    client = enter()
    keys._path.write_text(content, encoding="latin-1")
    answer = client.get("/version", headers=bearing(token))
    assert code_of(answer) == (503, "keys_unreadable")


def test_who_listens_for_others_needs_a_key_or_a_provider(keys: KeyRing) -> None:
    require_keys(keys, "127.0.0.1")
    require_keys(keys, "::1")
    require_keys(keys, "0.0.0.0", provider=True)
    keys.create("old", lifetime=timedelta(seconds=-1))
    for host in ("0.0.0.0", "::", "192.0.2.7", "host.example"):
        assert not is_loopback(host)
        with pytest.raises(ApiKeyError, match="cortex keys create NAME"):
            require_keys(keys, host)
    keys.create("new")
    require_keys(keys, "0.0.0.0")


def test_the_commands(project: Path) -> None:
    words = ("ci", "--scope", "complete", "--project", "shop", "--expires", "90d")
    result = cortex("keys", "create", *words)
    ring = KeyRing(project / ".cortex" / "keys")
    assert (project / ".cortex" / "keys" / FILE).exists()
    key = ring.find(result.stdout.strip())
    assert (key.name, key.scopes, key.projects) == ("ci", ("complete",), ("shop",))
    assert cortex("keys", "list").stdout.startswith("ci: valid, until ")
    cortex("keys", "revoke", "ci")
    assert "ci: revoked" in cortex("keys", "list").stdout
    assert "90d" in cortex("keys", "create", "b", "--expires", "soon", status=2).stderr
    assert "there is: ci" in cortex("keys", "revoke", "b", status=1).stderr


def test_serving_others_is_refused_without_a_key(project: Path) -> None:
    refused = cortex("serve", "--host", "0.0.0.0", status=1)
    assert "--open lets everybody in" in refused.stderr
    together = cortex("serve", "--tls-cert", str(tinygateway.ROOT / "params.yaml"), status=2)
    assert "go together" in together.stderr
    with socket.socket() as occupied:
        occupied.bind(("0.0.0.0", 0))
        occupied.listen()
        port = str(occupied.getsockname()[1])
        let_in = cortex("serve", "--host", "0.0.0.0", "--open", "--port", port, status=1)
    assert "cannot be listened on" in let_in.stderr, "it got past the door"
