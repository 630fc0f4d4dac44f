"""The gateway as a process, driven by OpenAI's own client."""

import contextlib
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from cortex_pipelines.serving.http.server import PortError, require_free
from cortex_pipelines_tests.serving.tinygateway import PAUSE, ROOT

MODULE = "cortex_pipelines_tests.serving.tinygateway"
Served = tuple[str, "subprocess.Popen[bytes]"]
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
    """Wait until a gateway answers; fails if its process ends before, or after ten minutes."""
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
def started(home: Path) -> Iterator[Served]:
    """The gateway as a process that answers, a token in 5 ms."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), PAUSE: "0.005"}
    command = [sys.executable, "-m", MODULE, str(home), str(port)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        await_answer(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    with started(home) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served[0]}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openai_s_client_gets_whole_and_streamed_answers(client: openai.OpenAI) -> None:
    assert "shop@1.2.0" in [model.id for model in client.models.list()]
    completion = client.completions.create(model="shop", prompt="def f():\n", max_tokens=20)
    assert completion.system_fingerprint == "shop.dir"
    chunks = client.completions.create(model="shop", prompt="def f():\n", max_tokens=20, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == completion.choices[0].text
    answer = client.chat.completions.create(
        model="base", messages=[{"role": "user", "content": "Why?"}], max_tokens=6, logprobs=True
    )
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert scores.content is not None
    assert "".join(token.token for token in scores.content) == answer.choices[0].message.content


def test_openai_s_client_knows_the_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="the nearest is shop"):
        client.completions.create(model="shpo", prompt="x")
    with pytest.raises(openai.BadRequestError, match="less than or equal to 8"):
        client.completions.create(model="shop", prompt="x", n=1000)


ASKED = {
    "model": "docs", "prompt": "def f():\n", "max_tokens": 128, "n": 8, "temperature": 1.0
}  # fmt: skip


@pytest.mark.parametrize("manner", ["streamed", "whole"])
def test_an_answer_is_not_written_on_when_its_reader_has_gone(
    served: Served, client: openai.OpenAI, manner: str
) -> None:
    def generated_tokens() -> int:
        return int(json.load(urllib.request.urlopen(f"{served[0]}/load"))["written"])

    before = generated_tokens()
    if manner == "streamed":
        stream = client.completions.create(**ASKED, stream=True)
        next(iter(stream))
        stream.close()
    else:
        body = json.dumps(ASKED).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        host, port = served[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(head.encode() + body)
            while generated_tokens() == before:
                time.sleep(0.01)
    # one engine: the next answer comes after whatever is still being written
    client.completions.create(model="base", prompt="x", max_tokens=1)
    assert generated_tokens() - before < 500, "of 8 answers with 128 tokens each"


def test_a_port_in_use_is_told_before_anything_is_loaded(served: Served) -> None:
    with pytest.raises(PortError, match="cannot be listened on"):
        require_free("127.0.0.1", int(served[0].rpartition(":")[2]))


def test_it_ends_when_it_is_asked_to(home: Path) -> None:
    with started(home) as (_, process):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) in (0, -signal.SIGINT, 130)
