"""Tokens of an OpenID Connect provider: what is accepted, and every forgery that is not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from pydantic import ValidationError

from cortex_pipelines.config import SECTIONS, load_parameters, resolve
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.security.access import ROLES, Principal
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.serving.security.oidc import Provider, ProviderError, TokenError
from cortex_pipelines.serving.settings import OidcSettings
from cortex_pipelines.versioning.parameters import SHARED
from cortex_pipelines_tests import parameters
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.tinygateway import bearing

CASES = load_cases(__file__)
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
SHARED_KEY = b"everybody knows this" * 2
EDWARDS = ed25519.Ed25519PrivateKey.generate()
GIVEN = CASES["GIVEN"]
ASKED = {"model": "shop", "prompt": "x", "max_tokens": 1}


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
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(claims(**changes), key, algorithm, headers=headers)


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
    response = client.post("/v1/completions", json=ASKED, headers=bearing(token()))
    assert response.status_code == 200
    key = KeyRing(folder).create("ci")
    assert client.get("/version", headers=bearing(key)).status_code == 200, "keys stay good"
    nothing = client.get("/version")
    assert (nothing.status_code, nothing.headers["www-authenticate"]) == (401, "Bearer")
    assert "an API key or a token is needed" in nothing.text
    refused = client.get("/audit", headers=bearing(token()))
    assert refused.status_code == 403
    assert "oidc:anna lacks the scope audit" in refused.text
    nobody = client.get("/version", headers=bearing(token(realm_access={"roles": ["guest"]})))
    assert (nobody.status_code, "it has none" in nobody.text) == (403, True)
    late = client.get("/version", headers=bearing(token(exp=int(time.time()) - 3600)))
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
    project_claims = {"https://cortex.example/projects": ["shop"]}
    assert limited.caller(token(**project_claims)).projects == ("shop",)
    for wrong in (None, [], {}, 7):
        with pytest.raises(TokenError, match="names no project"):
            limited.caller(token(**{"https://cortex.example/projects": wrong}))


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FORGERIES: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (lambda: by_hand({"alg": "none", "kid": "rsa"}, lambda _: b""), "signed by none"),
    "alg None": (lambda: by_hand({"alg": "None", "kid": "rsa"}, lambda _: b""), "signed by None"),
    "no alg": (lambda: by_hand({"kid": "rsa"}, lambda _: b""), "signed by None"),
    "HS256 with the public key": (
        lambda: by_hand({"alg": "HS256", "kid": "rsa"}, lambda b: hmac.digest(PUBLIC, b, hashlib.sha256)),
        "signed by HS256",
    ),
    "HS256 with a shared key of the set": (lambda: token(SHARED_KEY, "HS256", "shared"), "signed by HS256"),
    "another audience": (lambda: token(aud="other"), "another audience"),
    "no audience": (lambda: token(aud=None), "aud"),
    "another issuer": (lambda: token(iss="https://id.example.evil"), "another issuer"),
    "no issuer": (lambda: token(iss=None), "iss"),
    "expired": (lambda: token(exp=int(time.time()) - 60), "has expired"),
    "without an end": (lambda: token(exp=None), "exp"),
    "not yet": (lambda: token(nbf=int(time.time()) + 600), "not yet valid"),
    "made in the future": (lambda: token(iat=int(time.time()) + 600), "not yet valid"),
    "of nobody": (lambda: token(sub=None), "sub"),
    "of somebody long": (lambda: token(sub="x" * 300), "255 characters"),
    "the name of another key": (lambda: token(RSA, "RS256", "curve"), "algorithm"),
    "another key under the name": (lambda: token(OTHER, "RS256", "rsa"), "Signature"),
    "a key not for signatures": (lambda: token(OTHER, "RS256", "sealing"), "not one of the"),
    "an unknown key": (lambda: token(OTHER, "RS256", "elsewhere"), "not one of the provider"),
    "no key id": (lambda: token(RSA, "RS256", None), "not one of the provider"),
    "a path as the name of a key": (lambda: token(kid="../../dev/null"), "not one of the provider"),
    "another algorithm of the family": (lambda: token(RSA, "PS256"), "algorithm"),
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
    assert client.get("/version", headers=bearing(token())).status_code == 200
    (folder / "keys.json").write_text(json.dumps({"keys": [public_jwk(OTHER, "rsa")]}))
    assert client.get("/version", headers=bearing(token())).status_code == 401
    assert client.get("/version", headers=bearing(token(OTHER))).status_code == 200
    for broken in ("{", "[]", '{"keys": []}', '{"keys": [7]}'):
        (folder / "keys.json").write_text(broken)
        answer = client.get("/version", headers=bearing(token(OTHER)))
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
