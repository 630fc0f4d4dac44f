"""The gateway as a process of its own, with a certificate and a key."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cortex_pipelines.serving.security.audit import FILE, verify
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines_tests.serving.test_serving_process import MODULE, await_answer, free_port
from cortex_pipelines_tests.serving.tinygateway import ROOT


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    issued_at = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(issued_at - timedelta(days=1))
        .not_valid_after(issued_at + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def served(home: Path, tmp_path: Path) -> Iterator[tuple[str, Path, ssl.SSLContext, str]]:
    server_home = tmp_path / "home"
    shutil.copytree(home, server_home, ignore=shutil.ignore_patterns("state"))
    token = KeyRing(server_home / "keys").create("anna")
    pair = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=pair[0])
    port = free_port()
    command = [sys.executable, "-m", MODULE, str(server_home), str(port), *map(str, pair)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    url = f"https://127.0.0.1:{port}"
    try:
        await_answer(url, process, trusted)
        yield url, server_home, trusted, token
    finally:
        process.kill()
        process.wait()


def test_a_gateway_with_a_certificate_asks_for_the_key_and_writes_down_who_asked(
    served: tuple[str, Path, ssl.SSLContext, str],
) -> None:
    url, home, trusted, token = served
    body = json.dumps({"model": "shop", "prompt": "x", "max_tokens": 1}).encode()

    def ask(headers: dict[str, str]) -> int:
        json_type = {"content-type": "application/json"}
        request = urllib.request.Request(f"{url}/v1/completions", body, json_type | headers)
        try:
            return int(urllib.request.urlopen(request, context=trusted).status)
        except urllib.error.HTTPError as error:
            return error.code

    key = {"authorization": f"Bearer {token}"}
    assert [ask({}), ask(key), ask(key | {"host": "evil.example"})] == [401, 200, 421]
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(url, context=ssl.create_default_context())
    log = home / "state" / FILE
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["key"], row["status"]) for row in entries] == [("", 401), ("anna", 200), ("", 421)]
    assert not verify(log).problem
