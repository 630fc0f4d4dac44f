"""Who is let in: keys, scopes, projects, host names, limits, and tokens of an OpenID Connect provider."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jwt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fastapi.testclient import TestClient
from pydantic import ValidationError

from cortex_pipelines.config import SECTIONS, load_parameters, resolve
from cortex_pipelines.serving.engines.engine import BusyError
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http.authentication import OPEN, ROUTE_SCOPES, hosts_of, is_loopback, scopes_for
from cortex_pipelines.serving.http.server import CertificateError, create_app, require_certificate, require_keys
from cortex_pipelines.serving.security.access import ROLES, Principal, TokenBucket
from cortex_pipelines.serving.security.keys import FILE, ApiKeyError, KeyRing
from cortex_pipelines.serving.security.oidc import Provider, ProviderError, TokenError
from cortex_pipelines.serving.settings import OidcSettings
from cortex_pipelines.versioning.parameters import SHARED
from cortex_pipelines_tests import parameters
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.tinygateway import bearing

CASES = load_cases(__file__)
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
        assert (client.get(probed).status_code, set(client.get(probed).json())) == (200, {"status"})
    for path in (*ROUTE_SCOPES, "/v1/models/shop", "/page/page.js", "/nothing"):
        for credentials in (b"", b"Bearer cortex-wrong", b"Bearer \xe9", b"Bearer ", token.encode()):
            answer = client.get(path, headers={b"authorization": credentials} if credentials else {})
            assert code_of(answer) == (401, "invalid_api_key"), path
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.post("/v1/completions", json=ASKED, headers=bearing(token)).status_code == 200
    assert client.get("/v1/models", headers=bearing(token)).status_code == 200


def test_a_key_that_is_revoked_or_expired_counts_no_longer(enter: Enter, keys: KeyRing) -> None:
    client = enter()
    assert client.get("/v1/models").status_code == 200
    anna, late = keys.create("anna"), keys.create("late", lifetime=timedelta(seconds=-1))
    assert client.get("/v1/models", headers=bearing(anna)).status_code == 200
    assert "late is expired" in client.get("/v1/models", headers=bearing(late)).text
    KeyRing(keys._path.parent).revoke("anna")
    answer = client.get("/v1/models", headers=bearing(anna))
    assert answer.status_code == 401
    assert "anna is revoked" in answer.text
    assert client.get("/v1/models").status_code == 401, "it does not open when the last key ends"


def test_each_scope_opens_its_routes_only(enter: Enter, keys: KeyRing) -> None:
    tokens = {scope: keys.create(scope, [scope]) for scope in ("route", "read", "admin")}
    client = enter()
    routed = {"task": "The leaked secret key"}
    for scope, statuses in CASES["scopes"].items():
        for path, status in statuses.items():
            headers = bearing(tokens[scope])
            if path in ("/v1/models", "/nothing", "/mcp"):
                answer = client.get(path, headers=headers)
            else:
                answer = client.post(path, json=routed if path == "/route" else ASKED, headers=headers)
            assert answer.status_code == status, (scope, path)
            if status == 403:
                assert code_of(answer)[1] == "insufficient_scope"


def test_every_route_is_decided_on(gateway: Gateway) -> None:
    paths = set(create_app(gateway).openapi()["paths"])
    assert len(paths) > 20
    assert ({path for path in paths if scopes_for(path) == {"admin"}}, scopes_for("/new")) == (OPEN, {"admin"})


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
        assert client.post("/v1/completions", json=ASKED | {"model": name}).status_code == status, name
    for path, body in CASES["foreign_models"].items():
        assert code_of(client.post(path, json={**body, "model": "docs"})) == (403, "model_not_allowed"), path
    assert client.get("/v1/models/docs").status_code == 403
    assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).status_code == 200
    assert code_of(client.post("/mcp", json={})) == (403, "insufficient_scope")
    assert code_of(client.get("/metrics")) == (403, "insufficient_scope")


def test_a_key_of_one_project_sees_its_adapters_in_memory(enter: Enter, keys: KeyRing) -> None:
    client = enter()
    limited, free = (bearing(keys.create(name, projects=each)) for name, each in (("one", ["shop"]), ("all", [])))
    for model in ("shop", "docs"):
        assert client.post("/v1/completions", json=ASKED | {"model": model}, headers=free).status_code == 200
    resident = [set(client.get("/load", headers=each).json()["resident"]) for each in (limited, free)]
    assert resident == [{"shop.dir"}, {"shop.dir", "docs.dir"}]


def test_host_names_of_this_machine_and_listed_ones_are_answered_and_no_others(enter: Enter) -> None:
    client = enter(hosts=["models.example"])
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1].evil", "a:b:c"):
        answer = client.post("/v1/completions", json=ASKED, headers={"host": host})
        assert code_of(answer) == (421, "unknown_host"), host
    for host in ("127.0.0.1:8008", "localhost", "LOCALHOST:80", "[::1]:8008", "models.example:443"):
        assert client.get("/v1/models", headers={"host": host}).status_code == 200, host
    assert hosts_of("0.0.0.0", tinygateway.settings()) is None
    assert hosts_of("0.0.0.0", tinygateway.settings(hosts=["a.example"])) == {"a.example"}


def test_pages_from_elsewhere_may_ask_only_where_they_are_listed(enter: Enter) -> None:
    page = {"origin": "https://tools.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in enter().options("/route", headers=page).headers
    client = enter(origins=["https://tools.example"])
    assert client.options("/route", headers=page).headers["access-control-allow-origin"] == "https://tools.example"


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
        statuses = [client.get("/v1/models", headers=bearing(token)) for _ in range(3)]
        assert [answer.status_code for answer in statuses] == [200, 200, 429]
        assert int(statuses[-1].headers["retry-after"]) >= 1
        assert code_of(statuses[-1]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("way", CASES["ways"])
def test_tokens_count_however_they_are_asked_for(enter: Enter, way: str) -> None:
    client = enter(tokens_per_minute=5)
    path, body = CASES["ways"][way]
    assert client.post(path, json=body).status_code == 200
    assert code_of(client.post(path, json=body)) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("path", ["/v1/completions", "/infill"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_full_queue_is_told_by_the_status_also_of_a_stream(enter, gateway, monkeypatch, path: str, stream) -> None:
    client = enter(waiting=1)
    state = gateway.engine.state()
    monkeypatch.setattr(gateway.engine, "state", lambda: {**state, "waiting": 1})
    monkeypatch.setattr(gateway.engine, "submit", Mock(side_effect=BusyError("1 requests wait already")))
    answer = client.post(path, json={**ASKED, "stream": stream})
    assert (code_of(answer), answer.headers["retry-after"]) == ((429, "busy"), "1")


def test_only_a_salted_hash_is_kept(keys: KeyRing) -> None:
    tokens = [keys.create("a"), keys.create("b", ["route"], ["shop"], timedelta(days=9))]
    path = keys._path
    file_text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(token in file_text or token.partition("-")[2] in file_text for token in tokens)
    first, second = json.loads(file_text)["keys"]
    assert first["salt"] != second["salt"]
    assert (second["scopes"], second["projects"], keys.find(tokens[1]).name) == (["route"], ["shop"], "b")
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
    assert code_of(client.get("/v1/models", headers=bearing(token))) == (503, "keys_unreadable")


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
    result = cortex("keys", "create", *("ci", "--scope", "complete", "--project", "shop", "--expires", "90d"))
    ring = KeyRing(project / ".cortex" / "keys")
    assert (project / ".cortex" / "keys" / FILE).exists()
    key = ring.find(result.stdout.strip())
    assert (key.name, key.scopes, key.projects) == ("ci", ("complete",), ("shop",))
    assert cortex("keys", "list").stdout.startswith("ci: valid, until ")
    assert "no key is valid now" in cortex("keys", "revoke", "ci").stderr
    assert "ci: revoked" in cortex("keys", "list").stdout
    assert "90d" in cortex("keys", "create", "b", "--expires", "soon", status=2).stderr
    result = cortex("keys", "create", "dora", "--project", "nosuch", "--model", "flask@9.9.9")
    assert "no project is called nosuch" in result.stderr
    assert "called flask" not in result.stderr
    assert "there is: ci" in cortex("keys", "revoke", "b", status=1).stderr


def test_keys_outside_of_a_project_are_said_to_be_for_exported_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    result = cortex("keys", "create", "anna")
    assert f"not in a project: these keys, in {tmp_path}" in result.stderr
    assert KeyRing(next((tmp_path / "cache").rglob("keys"))).find(result.stdout.strip()).name == "anna"


def test_serving_others_is_refused_without_a_key(project: Path) -> None:
    assert "--open lets everybody in" in cortex("serve", "--host", "0.0.0.0", status=1).stderr
    assert "go together" in cortex("serve", "--tls-cert", str(tinygateway.ROOT / "params.yaml"), status=2).stderr
    with socket.socket() as occupied:
        occupied.bind(("0.0.0.0", 0))
        occupied.listen()
        let_in = cortex("serve", "--host", "0.0.0.0", "--open", "--port", str(occupied.getsockname()[1]), status=1)
    assert "cannot be listened on" in let_in.stderr, "it got past the door"


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
SHARED_KEY = b"everybody knows this" * 2
EDWARDS = ed25519.Ed25519PrivateKey.generate()
GIVEN = CASES["GIVEN"]


def public_jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    kinds = [name for kind, name in algorithm.items() if isinstance(key, kind)] or ["EdDSA"]
    jwk = jwt.get_algorithm_by_name(kinds[0]).to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig", **more}


KEYS = [
    public_jwk(RSA, "rsa"),
    public_jwk(CURVE, "curve"),
    public_jwk(EDWARDS, "edwards"),
    public_jwk(SMALL, "small"),
    public_jwk(OTHER, "sealing", use="enc"),
    {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(SHARED_KEY).decode()},
    {"kty": "unheard of", "kid": "new"},
]


def claims(**changes: Any) -> dict[str, Any]:
    issued_at = int(time.time())
    usual = {"iss": "https://id.example", "aud": "cortex", "sub": "anna", "exp": issued_at + 60}
    claims = {**usual, "iat": issued_at, "realm_access": {"roles": ["user", "offline"]}, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": kid} if kid is not None else {})


def by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    parts = [json.dumps(part).encode() for part in (header, claims())]
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (body + b"." + base64.urlsafe_b64encode(sign(body)).rstrip(b"=")).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": KEYS}))
    return tmp_path


def provider(folder: Path, **changes: Any) -> Provider:
    return Provider(OidcSettings.model_validate(GIVEN | changes), folder)


@pytest.fixture
def client(gateway: Gateway, folder: Path) -> Iterator[TestClient]:
    with tinygateway.web_client(gateway, keys=KeyRing(folder), provider=provider(folder)) as client:
        yield client


def test_a_token_is_accepted_in_the_place_of_a_key(client: TestClient, folder: Path) -> None:
    assert client.post("/v1/completions", json=ASKED, headers=bearing(token())).status_code == 200
    assert client.get("/v1/models", headers=bearing(KeyRing(folder).create("ci"))).status_code == 200, "keys stay good"
    nothing = client.get("/v1/models")
    assert (nothing.status_code, nothing.headers["www-authenticate"]) == (401, "Bearer")
    assert "an API key or a token is needed" in nothing.text
    refused = client.get("/audit", headers=bearing(token()))
    assert refused.status_code == 403
    assert "oidc:anna lacks the scope audit" in refused.text
    nobody = client.get("/v1/models", headers=bearing(token(realm_access={"roles": ["guest"]})))
    assert (nobody.status_code, "it has none" in nobody.text) == (403, True)
    late = client.get("/v1/models", headers=bearing(token(exp=int(time.time()) - 3600)))
    assert (late.status_code, late.json()["error"]["code"]) == (401, "invalid_token")
    assert late.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_claims_say_what_may_be_asked_for_with_every_kind_of_public_key(folder: Path) -> None:
    for key in ((CURVE, "ES256", "curve"), (EDWARDS, "EdDSA", "edwards")):
        assert provider(folder).caller(token(*key)).name == "oidc:anna"
    principal = provider(folder).caller(token(realm_access={"roles": ["auditor", "user"]}))
    assert principal == Principal("oidc:anna", ROLES["auditor"] | ROLES["user"])
    mapped_provider = provider(folder, role_claim="groups", roles={"ml-team": "maintainer"})
    assert mapped_provider.caller(token(groups="ml-team staff")).scopes == ROLES["maintainer"]
    assert mapped_provider.caller(token(groups=["admin"])).scopes == frozenset(), "of no role in the list"
    limited = provider(folder, project_claim="https://cortex.example/projects")
    assert limited.caller(token(**{"https://cortex.example/projects": ["shop"]})).projects == ("shop",)
    for wrong in (None, [], {}, 7):
        with pytest.raises(TokenError, match="names no project"):
            limited.caller(token(**{"https://cortex.example/projects": wrong}))


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FORGERIES: dict[str, tuple[Callable[[], str], str]] = {
    **{name: (partial(token, **given), words) for name, (given, words) in CASES["FORGED_CLAIMS"].items()},
    "alg none": (lambda: by_hand({"alg": "none", "kid": "rsa"}, lambda _: b""), "signed by none"),
    "alg None": (lambda: by_hand({"alg": "None", "kid": "rsa"}, lambda _: b""), "signed by None"),
    "no alg": (lambda: by_hand({"kid": "rsa"}, lambda _: b""), "signed by None"),
    "HS256 with the public key": (
        lambda: by_hand({"alg": "HS256", "kid": "rsa"}, lambda b: hmac.digest(PUBLIC, b, hashlib.sha256)),
        "signed by HS256",
    ),
    "HS256 with a shared key of the set": (lambda: token(SHARED_KEY, "HS256", "shared"), "signed by HS256"),
    "expired": (lambda: token(exp=int(time.time()) - 60), "has expired"),
    "not yet": (lambda: token(nbf=int(time.time()) + 600), "not yet valid"),
    "made in the future": (lambda: token(iat=int(time.time()) + 600), "not yet valid"),
    "of somebody long": (lambda: token(sub="x" * 300), "255 characters"),
    "another key under the name": (lambda: token(OTHER, "RS256", "rsa"), "Signature"),
    "a key not for signatures": (lambda: token(OTHER, "RS256", "sealing"), "not one of the"),
    "an unknown key": (lambda: token(OTHER, "RS256", "elsewhere"), "not one of the provider"),
    "a key that is too short": (lambda: token(SMALL, "RS256", "small"), "1024 bits"),
    "a key of its own in the header": (
        lambda: jwt.encode(claims(), OTHER, "RS256", headers={"jwk": public_jwk(OTHER, "own")}),
        "not one of the provider",
    ),
    "changed afterwards": (lambda: token()[:-6] + "AAAAAA", "Signature"),
    "no token": (lambda: "a.b.c", "not valid"),
    "dots": (lambda: "..", "not valid"),
}


@pytest.mark.parametrize("forged", FORGERIES)
def test_a_forgery_is_refused_with_a_sentence(client: TestClient, folder: Path, forged: str) -> None:
    make, words = FORGERIES[forged]
    with pytest.raises(TokenError, match=words):
        provider(folder).caller(make())
    answer = client.post("/v1/completions", json=ASKED, headers=bearing(make()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")


def test_a_file_that_changes_counts_at_once_and_a_broken_one_lets_nobody_in(folder: Path, client: TestClient) -> None:
    assert client.get("/v1/models", headers=bearing(token())).status_code == 200
    (folder / "keys.json").write_text(json.dumps({"keys": [public_jwk(OTHER, "rsa")]}))
    assert client.get("/v1/models", headers=bearing(token())).status_code == 401
    assert client.get("/v1/models", headers=bearing(token(OTHER))).status_code == 200
    for broken in ("{", "[]", '{"keys": []}', '{"keys": [7]}'):
        (folder / "keys.json").write_text(broken)
        answer = client.get("/v1/models", headers=bearing(token(OTHER)))
        assert (answer.status_code, answer.json()["error"]["code"]) == ((503, "provider_unavailable")), broken


def test_keys_are_fetched_again_but_not_for_every_stranger(folder: Path) -> None:
    published: list[Any] = [{"keys": KEYS}]
    fetches: list[str] = []

    def publish(handler: BaseHTTPRequestHandler) -> None:
        fetches.append(handler.path)
        handler.send_response(200 if published[-1] else 500)
        handler.end_headers()
        handler.wfile.write(json.dumps(published[-1]).encode())

    clock_time = 1000.0
    with tinygateway.http_server(publish) as address:
        settings = OidcSettings.model_validate(GIVEN | {"jwks": f"{address}/keys"})
        verifier = Provider(settings, folder, lambda: clock_time)
        for _ in range(3):
            assert verifier.caller(token()).name == "oidc:anna"
        for number in range(50):
            with pytest.raises(TokenError, match="not one of the provider"):
                verifier.caller(token(kid=f"made-up-{number}"))
        assert len(fetches) == 1
        published.append({"keys": [*KEYS, public_jwk(OTHER, "next")]})
        clock_time += 31
        assert verifier.caller(token(OTHER, kid="next")).name == "oidc:anna", "rotated"
        assert len(fetches) == 2
        published.append(None)
        clock_time += 700
        assert verifier.caller(token()).name == "oidc:anna", "a provider that is away for a while"
        clock_time += 3600
        with pytest.raises(ProviderError, match="cannot be had"):
            verifier.caller(token())
        published.append({"keys": [public_jwk(OTHER, "next")]})
        clock_time += 31
        with pytest.raises(TokenError, match="not one of the provider"):
            verifier.caller(token())


@pytest.mark.parametrize(
    "keys", [[json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA)) | {"kid": "rsa"}], [KEYS[0] | {"kid": ["rsa"]}]]
)
def test_keys_that_no_provider_publishes_are_refused(
    folder: Path, keys: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "keys.json").write_text(json.dumps({"keys": keys}))
    with pytest.raises(ProviderError, match="cannot be had"):
        provider(folder).caller(token())
    assert "keys of keys.json" in caplog.text


def certificate_of(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begun).not_valid_after(begun + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_certificate_is_tried_before_the_model_is_loaded(tmp_path: Path) -> None:
    plain, locked = NoEncryption(), BestAvailableEncryption(b"x")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(certificate_of(RSA))
    for contents, refused in (
        (RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain), None),
        (OTHER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain), "is not the key of"),
        (RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked), "has a passphrase"),
        (b"no key", "no certificate or key in PEM"),
    ):
        key.write_bytes(contents)
        with pytest.raises(CertificateError, match=refused) if refused else nullcontext():
            require_certificate(certificate, key)


def test_keys_come_by_https_or_from_a_file() -> None:
    for location in ("http://id.example/keys", "file:///etc/keys", "ftp://a/b"):
        with pytest.raises(ValidationError, match="an address begins with https"):
            OidcSettings.model_validate(GIVEN | {"jwks": location})
    assert OidcSettings.model_validate(GIVEN | {"jwks": "https://id.example/keys"})


def test_nothing_that_is_made_depends_on_the_gateway(tmp_path: Path) -> None:
    text = parameters.whole_file()
    (tmp_path / "params.yaml").write_text(text)
    yaml_lines = "\n".join(f"    {name}: {json.dumps(value)}" for name, value in GIVEN.items())
    other = tmp_path / "with.yaml"
    other.write_text(text.replace("  oidc: null", f"  oidc:\n{yaml_lines}", 1))
    assert load_parameters(tmp_path, other).serving.oidc is not None
    before, after = resolve(tmp_path), resolve(tmp_path, other)
    changed = {
        (file, section)
        for file, sections in before.files.items()
        for section in sections
        if sections[section] != after.files[file][section]
    }
    assert changed == {(SHARED, "serving")}
    stages = yaml.safe_load((parameters.ROOT / "dvc.yaml").read_text())["stages"].values()
    depended = [entry for stage in stages for entry in stage.get("params", ())]
    depended += [entry for stage in stages for entry in stage.get("do", {}).get("params", ())]
    read = {key for entry in depended for keys in entry.values() for key in keys}
    assert "datasets" in read
    assert "serving" not in SECTIONS
    assert not {key for key in read if key.partition(".")[0] == "serving"}
