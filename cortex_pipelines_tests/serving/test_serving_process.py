"""The gateway as a process with a certificate and a key, driven by OpenAI's own client and by Tabby's agent."""

import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import openai
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cortex_pipelines.feedback.store import FILE as EVENTS
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.http import server
from cortex_pipelines.serving.security.audit import FILE, verify
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines_tests.serving.tinygateway import PAUSE, ROOT, open_tiny, running, settings, slowly, wait_until

MODULE = "cortex_pipelines_tests.serving.tinygateway"
_tried = itertools.count()


def free_port() -> int:
    """A port that the kernel gives to nobody by itself, and that no other worker asks for."""
    for number in _tried:
        port = 10_000 + (os.getpid() * 16 + number) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def await_answer(url: str, process: "subprocess.Popen[bytes]", context: ssl.SSLContext | None = None) -> None:
    until = time.monotonic() + 600
    while True:
        try:
            urllib.request.urlopen(f"{url}/healthz", context=context)
        except OSError:
            assert process.poll() is None, "the gateway ended"
            assert time.monotonic() < until, "the gateway does not answer"
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def started(
    home: Path, pair: tuple[Path, ...] = (), trusted: ssl.SSLContext | None = None
) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """The gateway as a process that answers, a token in 5 ms; with certificate and key over TLS."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PAUSE: "0.005"}
    command = [sys.executable, "-m", MODULE, str(home), str(port), *map(str, pair)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    url = f"http{'s' if pair else ''}://127.0.0.1:{port}"
    try:
        await_answer(url, process, trusted)
        yield url, process
    finally:
        process.kill()
        process.wait()


def certificate(folder: Path) -> tuple[Path, Path]:
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


@dataclass(frozen=True)
class Served:
    url: str
    process: "subprocess.Popen[bytes]"
    home: Path
    trusted: ssl.SSLContext
    token: str


@pytest.fixture(scope="module")
def served(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server_home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(home, server_home, ignore=shutil.ignore_patterns("state"))
    token = KeyRing(server_home / "keys").create("anna")
    pair = certificate(server_home)
    trusted = ssl.create_default_context(cafile=pair[0])
    with started(server_home, pair, trusted) as (url, process):
        yield Served(url, process, server_home, trusted, token)


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(verify=served.trusted)
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.token, max_retries=0, http_client=http) as client:
        yield client


def test_openai_s_client_gets_whole_and_streamed_answers_and_knows_the_errors(client: openai.OpenAI) -> None:
    assert "shop@1.2.0" in [model.id for model in client.models.list()]
    completion = client.completions.create(model="shop", prompt="def f():\n", max_tokens=20)
    assert completion.system_fingerprint == "shop.dir"
    chunks = client.completions.create(model="shop", prompt="def f():\n", max_tokens=20, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == completion.choices[0].text
    answer = client.chat.completions.create(
        model="base", messages=[{"role": "user", "content": "Why?"}], max_tokens=6, logprobs=True
    )
    scores = answer.choices[0].logprobs
    assert scores.content is not None
    assert "".join(token.token for token in scores.content) == answer.choices[0].message.content
    with pytest.raises(openai.NotFoundError, match="the nearest is shop"):
        client.completions.create(model="shpo", prompt="x")
    with pytest.raises(openai.BadRequestError, match="less than or equal to 8"):
        client.completions.create(model="shop", prompt="x", n=1000)


ASKED = {"model": "docs", "prompt": "def f():\n", "max_tokens": 128, "n": 8, "temperature": 1.0}


@pytest.mark.parametrize("manner", ["streamed", "whole"])
def test_an_answer_is_not_written_on_when_its_reader_has_gone(served, client: openai.OpenAI, manner: str) -> None:
    def generated_tokens() -> int:
        request = urllib.request.Request(f"{served.url}/load", headers={"authorization": f"Bearer {served.token}"})
        return int(json.load(urllib.request.urlopen(request, context=served.trusted))["written"])

    before = generated_tokens()
    if manner == "streamed":
        stream = client.completions.create(**ASKED, stream=True)
        next(iter(stream))
        stream.close()
    else:
        body = json.dumps(ASKED).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {served.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        plain = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])))
        with served.trusted.wrap_socket(plain, server_hostname="127.0.0.1") as caller:
            caller.sendall(head.encode() + body)
            while generated_tokens() == before:
                time.sleep(0.01)
    # one engine: the next answer comes after whatever is still being written
    client.completions.create(model="base", prompt="x", max_tokens=1)
    assert generated_tokens() - before < 500, "of 8 answers with 128 tokens each"


def test_a_gateway_with_a_certificate_asks_for_the_key_and_writes_down_who_asked(served: Served) -> None:
    body = json.dumps({"model": "shop", "prompt": "x", "max_tokens": 1}).encode()

    def ask(headers: dict[str, str]) -> int:
        json_type = {"content-type": "application/json"}
        request = urllib.request.Request(f"{served.url}/v1/completions", body, json_type | headers)
        try:
            return int(urllib.request.urlopen(request, context=served.trusted).status)
        except urllib.error.HTTPError as error:
            return error.code

    key = {"authorization": f"Bearer {served.token}"}
    assert [ask({}), ask(key), ask(key | {"host": "evil.example"})] == [401, 200, 421]
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(served.url, context=ssl.create_default_context())
    log = served.home / "state" / FILE
    entries = [json.loads(line) for line in log.read_text().splitlines()[-3:]]
    assert [(row["key"], row["status"]) for row in entries] == [("", 401), ("anna", 200), ("", 421)]
    assert not verify(log).problem


AGENT = "tabby-agent@1.5.0"
TEXT = "def total(a, b):\n    "


class Agent:
    """The agent as a process; requests and answers are lines of JSON, ``[number, content]``."""

    def __init__(self, program: Path, home: Path) -> None:
        home.mkdir()
        self.process = subprocess.Popen(
            ["node", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(home)},
        )
        self._number = 0

    def call(self, name: str, *arguments: Any) -> Any:
        self._number += 1
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([self._number, {"func": name, "args": arguments}]) + "\n")
        stdin.flush()
        for line in stdout:
            number, content = json.loads(line)
            if number == self._number:
                return content
        raise AssertionError("the agent ended")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", AGENT]
    (tmp_path / "package.json").write_text("{}")
    try:
        subprocess.run(install, cwd=tmp_path, check=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"{AGENT} cannot be had from npm")
    agent = Agent(tmp_path / "node_modules" / "tabby-agent" / "dist" / "cli.js", tmp_path / "home")
    yield agent
    agent.process.kill()
    agent.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the agent is another's program
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
def test_the_agent_completes_and_reports(home: Path, agent: Agent) -> None:
    with started(home) as (url, _):
        server = {"endpoint": url, "token": "none"}
        properties = {"user": {}, "session": {"client": "a test"}}
        agent.call(
            "initialize",
            {"config": {"server": server, "anonymousUsageTracking": {"disable": True}}, "clientProperties": properties},
        )
        assert (agent.call("getStatus"), agent.call("getServerHealthState")["model"]) == ("ready", "base")
        cursor = {"filepath": "total.py", "language": "python", "text": TEXT, "position": len(TEXT)}
        answer = agent.call("provideCompletions", {**cursor, "manually": True})
        assert answer["choices"][0]["text"]
        agent.call("postEvent", {"type": "view", "completion_id": answer["id"], "choice_index": 0})
        log = home / "state" / EVENTS
        while not (events := events_of(log, answer["id"])).issuperset({"offered", "view"}):
            assert events <= {"offered", "view"}
            time.sleep(0.05)


def events_of(log: Path, completion: str) -> set[str]:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return {event["type"] for event in events if event["completion_id"] == completion}


def test_it_ends_when_it_is_asked_to(served: Served) -> None:
    """The last of the module, which ends the process of the others."""
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=300) in (0, -signal.SIGINT, 130)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_finished_in_time_says_so(home: Path, tmp_path: Path, monkeypatch, stream: bool) -> None:
    monkeypatch.setattr(server, "DRAIN", 0)
    monkeypatch.setattr(TokenSampler, "_scored", slowly(0.05))
    gateway = open_tiny(home, tmp_path)
    config = uvicorn.Config(server.create_app(gateway), port=0, log_level="warning", timeout_graceful_shutdown=60)
    body = {"model": "base", "prompt": "x", "max_tokens": 300, "stream": stream}
    with ThreadPoolExecutor() as pool:
        with running(server.draining_server(config, gateway.engine.close)) as url:
            answer = pool.submit(httpx.post, f"{url}/v1/completions", json=body, timeout=60)
            wait_until(lambda: gateway.engine._busy)
        assert answer.result().status_code == (200 if stream else 503)
        assert "ask again" in answer.result().text
        assert "[DONE]" not in answer.result().text


def test_who_asks_twice_to_stop_is_not_made_to_wait(home, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(TokenSampler, "_scored", slowly(0.05))
    gateway = open_tiny(home, tmp_path)
    config = uvicorn.Config(server.create_app(gateway), port=0, log_level="warning", timeout_graceful_shutdown=60)
    draining = server.draining_server(config, gateway.engine.close)
    body = {"model": "base", "prompt": "x", "max_tokens": 300, "stream": True}
    with ThreadPoolExecutor() as pool, running(draining) as url:
        answer = pool.submit(httpx.post, f"{url}/v1/completions", json=body, timeout=60)
        wait_until(lambda: gateway.engine._busy)
        draining.handle_exit(signal.SIGINT, None)
        assert "finishing 1 requests" in capsys.readouterr().err
        draining.handle_exit(signal.SIGINT, None)
        assert "ask again" in answer.result().text
    assert not draining.force_exit


def test_as_many_connections_are_served_as_the_system_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(uvicorn, "Config", Mock())
    serve = Mock(side_effect=lambda: limits.append(resource.getrlimit(resource.RLIMIT_NOFILE)))
    monkeypatch.setattr(server, "draining_server", lambda *_: Mock(run=serve))
    monkeypatch.setattr(server, "create_app", Mock())
    monkeypatch.setattr(signal, "signal", Mock())
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    try:
        server.run(Mock(settings=settings(), state=tmp_path / ".cortex" / "serving"), "127.0.0.1", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limits == [(hard, hard)]
