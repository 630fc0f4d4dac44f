"""Processes that are killed while they serve, and ten times more requests than can be answered."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.serving.engines.llama_engine import LlamaEngine
from cortex_pipelines.serving.engines.torch_engine import TorchEngine
from cortex_pipelines.serving.http.server import run
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_process import await_answer, free_port
from cortex_pipelines_tests.serving.test_serving_rollout import Ledger

KILLS, CLIENTS, EACH = 3, 4, 20
CONCLUSIONS = "conclusions.jsonl"


def request_body(number: int, **changes: Any) -> dict[str, Any]:
    return {"model": "shop", "prompt": f"x{number} =", "max_tokens": 8, **changes}


@tinygateway.NEEDS_LLAMA
def test_a_killed_engine_is_back_with_the_next_request(home: Path, tmp_path: Path) -> None:
    gateway = tinygateway.open_tiny(home, tmp_path, engine="llama")
    engine = gateway.engine
    assert isinstance(engine, LlamaEngine)
    with tinygateway.web_client(gateway) as client:
        text = client.post("/v1/completions", json=request_body(0)).json()["choices"][0]["text"]

        def ask(number: int) -> Counter[int]:
            numbers = range(number * EACH, (number + 1) * EACH)
            return Counter(
                client.post("/v1/completions", json=request_body(digit, max_tokens=64)).status_code for digit in numbers
            )

        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, number) for number in range(CLIENTS)]
            for _ in range(KILLS):
                generated = engine.state()["written"]
                while engine.state()["written"] < generated + 40 and not asking[0].done():
                    time.sleep(0.001)
                killed = engine._processes["shop.dir"]
                killed._process.kill()  # which signals nobody if it has been waited for
                while engine._processes["shop.dir"] is killed and not asking[0].done():
                    time.sleep(0.001)  # what is counted next is written by another process
            statuses = sum((digit.result() for digit in asking), Counter[int]())
        assert set(statuses) <= {200, 503}
        assert statuses.total() == CLIENTS * EACH
        assert statuses[503] <= KILLS, "one is written at a time, so digit a kill can be lost"
        again = client.post("/v1/completions", json=request_body(0))
        assert (again.status_code, again.json()["choices"][0]["text"]) == (200, text)
        assert again.headers["x-cortex-way"] == "adapter"


def test_ten_times_the_load_is_told_to_come_back(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # slower than 30 clients on any machine
    monkeypatch.setattr(TorchEngine, "_scored", tinygateway.slowly(0.005))
    gateway = tinygateway.open_tiny(home, tmp_path, waiting=2)
    with tinygateway.web_client(gateway) as client:

        def ask(number: int) -> Any:
            body = request_body(number, max_tokens=32, stream=number % 3 == 0)
            return client.post("/v1/completions", json=body)

        with ThreadPoolExecutor(30) as pool:  # one is written, and two may wait
            answers = list(pool.map(ask, range(90)))
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert all("requests wait already" in answer.json()["error"]["message"] for answer in refused)
        assert client.post("/v1/completions", json=request_body(91)).status_code == 200
        assert client.get("/load").json()["waiting"] == 0


class FiledLedger(Ledger):
    def __init__(self, home: Path, path: Path) -> None:
        super().__init__(home)
        self._path = path

    def conclude(self, project: str, version: str, analysis: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([project, version, analysis.conclusion]) + "\n")


def serve_rollout(home: Path, state: Path, port: int) -> None:
    ledger = FiledLedger(home, state / CONCLUSIONS)
    rollouts = Rollouts(state / ROLLOUTS, ledger.conclude)
    gateway = tinygateway.open_tiny(home, state, ledger.catalogue, lambda: 0, rollouts)
    run(gateway, "127.0.0.1", port)


def started(home: Path, state: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", __name__, str(home), str(state), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(tinygateway.ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=tinygateway.ROOT)
    await_answer(f"http://127.0.0.1:{port}", process)
    return process


def concluded(state: Path) -> list[Any]:
    """Conclusions that were written down to their end; the gateway may be at the next one."""
    path = state / CONCLUSIONS
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def count_answers(state: Path) -> dict[str, Any]:
    (counts,) = json.loads((state / ROLLOUTS).read_text()).values()
    return dict(counts)


@pytest.mark.attack
def test_a_killed_gateway_goes_on_with_the_plan_and_its_counts(home: Path, tmp_path: Path) -> None:
    port = free_port()

    def ask(number: int) -> None:
        body = json.dumps(request_body(number, user=f"user-{number}", max_tokens=2)).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions", body, {"content-type": "application/json"}
        )
        urllib.request.urlopen(request).read()

    first = started(home, tmp_path, port)
    ask(0)  # the first answer is written down at once, and others after a second
    time.sleep(1.1)
    ask(1)
    with ThreadPoolExecutor(2) as pool:
        pool.map(ask, (2, 3))  # under way, and what becomes of them is not looked at
        first.kill()
        first.wait()
    before = count_answers(tmp_path)
    answered = sum(before[name]["answered"] for name in ("canary", "champion") if name in before)
    assert 2 <= answered <= 4
    assert not concluded(tmp_path)

    second = started(home, tmp_path, port)
    try:
        number = 4
        while not concluded(tmp_path) and number < 60:
            ask(number)
            number += 1
        after = count_answers(tmp_path)
    finally:
        second.kill()
        second.wait()
    total = sum(after[name]["answered"] for name in ("canary", "champion"))
    assert answered + number - 4 - 1 <= total <= answered + number - 4
    assert concluded(tmp_path) == [["shop", "docs.dir", "success"]]


if __name__ == "__main__":
    serve_rollout(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
