"""Canaries: who is answered by one and what follows; processes that are killed meanwhile, and far too many requests."""

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.release.gates import Analysis
from cortex_pipelines.serving import catalogue
from cortex_pipelines.serving.catalogue import Catalogue, Split
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.engines.llama_engine import LlamaEngine
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.http.server import run
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_process import await_answer, free_port

RULES = {"least_answers": 4, "most_answers": 64, "margin": 0.9}
PLAN = {"strategy": "canary", "share": 0.5, "analysis": RULES}
SPLIT = Split("shop", "docs.dir", PLAN, "2026-01-02T03:04:05+00:00")


class Ledger:
    def __init__(self, home: Path, split: Split = SPLIT, broken: bool = False) -> None:
        self._home, self._split, self._broken = home, split, broken
        self.written: list[tuple[str, str, Analysis]] = []

    def conclude(self, project: str, version: str, analysis: Analysis) -> None:
        self.written.append((project, version, analysis))

    def catalogue(self) -> Catalogue:
        served = tinygateway.catalogue(self._home)
        if self.written:
            return served
        files = tinygateway.files(self._home, "docs")
        if self._broken:
            files = AdapterFiles("broken.dir", Mock(side_effect=LookupError("the canary's files are gone")))
        docs = served.models["docs"]
        release = replace(docs.release, way="adapter", index=None)
        canary = replace(docs, name="shop@canary", release=release, adapter=lambda _: files, examples=None)
        shop = replace(served.models["shop"], split=self._split)
        return replace(served, models={**served.models, "shop": shop, "shop@canary": canary})


@pytest.fixture
def serve(home: Path, tmp_path: Path) -> Callable[..., tuple[TestClient, Rollouts]]:
    def open_gateway(ledger: Ledger) -> tuple[TestClient, Rollouts]:
        rollouts = Rollouts(tmp_path / ROLLOUTS, ledger.conclude)
        source = partial(ledger.catalogue)
        gateway = tinygateway.open_tiny(home, tmp_path, source, lambda: len(ledger.written), rollouts)
        return tinygateway.web_client(gateway), rollouts

    return open_gateway


def ask(client: TestClient, user: str, header: bool = True, **changes: Any) -> Any:
    body = {"model": "shop", "prompt": "def f():\n", "max_tokens": 2, **changes}
    headers = {"x-cortex-user": user} if header else {}
    body |= {} if header else {"user": user}
    answer = client.post("/v1/completions", json=body, headers=headers)
    assert answer.status_code == 200
    return answer


def test_a_user_keeps_a_variant_and_the_share_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_CHANCE", random.Random(20))
    split = replace(SPLIT, plan={**PLAN, "share": 0.2})
    users = [f"user-{number}" for number in range(10_000)]
    first = [split.variant(name) for name in users]
    assert first == [split.variant(name) for name in users]
    # four standard deviations of the binomial
    assert abs(first.count("canary") - 2_000) < 4 * (10_000 * 0.2 * 0.8) ** 0.5
    assert abs([split.variant("") for _ in users].count("canary") - 2_000) < 160
    again = replace(split, started_at="2026-02-02T03:04:05+00:00")
    assert [again.variant(name) for name in users] != first
    more = replace(split, plan={**PLAN, "share": 0.6})
    stable_users = [more.variant(name) for name, was in zip(users, first, strict=True) if was == "canary"]
    assert set(stable_users) == {"canary"}, "a larger share takes nobody's canary away"


def test_a_good_canary_becomes_champion(home: Path, serve: Any) -> None:
    ledger = Ledger(home)
    client, _ = serve(ledger)
    with client:
        variants_by_user: dict[str, set[str]] = {}
        for number in range(40):
            name = f"user-{number % 12}"
            answer = ask(client, name, header=number % 2 == 0, prompt=f"x = {number}\n")
            if ledger.written:
                break  # this answer may be the new champion's
            variants_by_user.setdefault(name, set()).add(answer.headers["x-cortex-version"])
        assert all(len(versions) == 1 for versions in variants_by_user.values())
        assert set().union(*variants_by_user.values()) == {"shop.dir", "docs.dir"}
        tinygateway.wait_until(lambda: ledger.written)
        ((project, version, analysis),) = ledger.written
        assert (project, version, analysis.conclusion) == ("shop", "docs.dir", "success")
        assert ask(client, "user-1").headers["x-cortex-version"] == "shop.dir"
        assert 'outcome="answered",project="shop",variant="canary"' in client.get("/metrics").text


def test_a_canary_that_cannot_answer_is_withdrawn(home: Path, serve: Any) -> None:
    ledger = Ledger(home, replace(SPLIT, plan={**PLAN, "analysis": {**RULES, "margin": 0.05}}), True)
    client, _ = serve(ledger)
    with client:
        for number in range(60):
            answer = ask(client, f"user-{number}", prompt=f"y = {number}\n")
            ways = {"shop.dir": "adapter"}
            assert answer.headers["x-cortex-way"] == ways.get(answer.headers["x-cortex-version"], "base")
            if ledger.written:
                break
        tinygateway.wait_until(lambda: ledger.written)
    assert [analysis.conclusion for _, _, analysis in ledger.written] == ["failure"]


def test_a_shadow_answers_in_the_background(home: Path, serve: Any) -> None:
    split = replace(SPLIT, plan={"strategy": "shadow", "analysis": RULES})
    ledger = Ledger(home, split)
    client, rollouts = serve(ledger)
    with client:
        for number in range(8):
            assert ask(client, f"user-{number}", prompt=f"z = {number}\n").headers["x-cortex-version"] == "shop.dir"
            tinygateway.wait_until(lambda: "canary" in rollouts.counts(split))
        counts = rollouts.counts(split)
        assert counts["champion"]["answered"] == 8
        assert counts["canary"]["answered"] >= 1
        rows = {row["name"]: row for row in client.get("/overview").json()["models"]}
        assert rows["shop"]["trial"]["champion"]["answered"] == 8
    assert not ledger.written


def test_a_plan_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / ROLLOUTS
    ends: list[Analysis] = []

    def unreachable(*_: Any) -> None:
        ends.append(_[2])
        raise OSError("the disk is full")

    killed = Rollouts(path, unreachable)
    for number in range(8):
        killed._written = 0.0  # as if a second had passed
        killed.add(SPLIT, "canary" if number % 2 else "champion", failed=False)
        if number == 6:
            assert killed.counts(SPLIT)["canary"]["answered"] == 3
    for end in list(killed._ending.values()):
        end.join()
    assert [end.conclusion for end in ends] == ["success"], "and the ledger could not be written"
    analyses: list[Analysis] = []
    again = Rollouts(path, lambda _project, _version, analysis: analyses.append(analysis))
    assert again.counts(SPLIT)["canary"] == {"answered": 4, "failed": 0}
    again.add(SPLIT, "canary", failed=False)
    again.close()
    assert [end.conclusion for end in analyses] == ["success"]
    Rollouts(path, unreachable).add(SPLIT, "canary", failed=False)
    assert len(ends) == 1, "what ended is not judged again"


def test_votes_count_against_the_variant(tmp_path: Path) -> None:
    rollouts = Rollouts(tmp_path / ROLLOUTS, lambda *_: None)
    rollouts.add(SPLIT, "canary", failed=False)
    for _ in range(3):
        rollouts.vote_down(SPLIT, "docs.dir")
    assert rollouts.counts(SPLIT)["canary"] == {"answered": 1, "failed": 1}


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
        assert statuses[503] <= KILLS * tinygateway.settings().slots, "so many are written when a process is killed"
        again = client.post("/v1/completions", json=request_body(0))
        assert (again.status_code, again.json()["choices"][0]["text"]) == (200, text)
        assert again.headers["x-cortex-way"] == "adapter"


def test_ten_times_the_load_is_told_to_come_back(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # slower than 30 clients on any machine
    monkeypatch.setattr(TokenSampler, "_scored", tinygateway.slowly(0.005))
    with tinygateway.web_client(tinygateway.open_tiny(home, tmp_path, waiting=2)) as client:

        def ask(number: int) -> Any:
            return client.post("/v1/completions", json=request_body(number, max_tokens=32, stream=number % 3 == 0))

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


def started(home: Path, state: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", __name__, str(home), str(state), str(port)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(tinygateway.ROOT)}, cwd=tinygateway.ROOT)
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
    home, state = Path(sys.argv[1]), Path(sys.argv[2])
    ledger = FiledLedger(home, state / CONCLUSIONS)
    rollouts = Rollouts(state / ROLLOUTS, ledger.conclude)
    run(tinygateway.open_tiny(home, state, ledger.catalogue, lambda: 0, rollouts), "127.0.0.1", int(sys.argv[3]))
