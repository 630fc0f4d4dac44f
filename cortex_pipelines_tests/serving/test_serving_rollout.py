"""Canaries: who is answered by one, what is counted, and what follows from it."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.release.gates import Analysis
from cortex_pipelines.serving import catalogue
from cortex_pipelines.serving.catalogue import Catalogue, Split
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.rollout import ROLLOUTS, Rollouts
from cortex_pipelines_tests.serving import tinygateway

RULES = {"least_answers": 4, "most_answers": 64, "margin": 0.9}
PLAN = {"strategy": "canary", "share": 0.5, "analysis": RULES}
SPLIT = Split("shop", "docs.dir", PLAN, "2026-01-02T03:04:05+00:00")


def missing() -> Path:
    raise LookupError("the canary's files are gone")


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
            files = AdapterFiles("broken.dir", missing)
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


def waited(ledger: Ledger) -> None:
    end = time.monotonic() + 20
    while not ledger.written and time.monotonic() < end:
        time.sleep(0.01)


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
        waited(ledger)
        ((project, version, analysis),) = ledger.written
        assert (project, version, analysis.conclusion) == ("shop", "docs.dir", "success")
        assert ask(client, "user-1").headers["x-cortex-version"] == "shop.dir"
        page = client.get("/metrics").text
        assert 'outcome="answered",project="shop",variant="canary"' in page


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
        waited(ledger)
    assert [analysis.conclusion for _, _, analysis in ledger.written] == ["failure"]


def test_a_shadow_answers_in_the_background(home: Path, serve: Any) -> None:
    split = replace(SPLIT, plan={"strategy": "shadow", "analysis": RULES})
    ledger = Ledger(home, split)
    client, rollouts = serve(ledger)
    with client:
        for number in range(8):
            answer = ask(client, f"user-{number}", prompt=f"z = {number}\n")
            assert answer.headers["x-cortex-version"] == "shop.dir"
            end = time.monotonic() + 20
            while "canary" not in rollouts.counts(split) and time.monotonic() < end:
                time.sleep(0.01)
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
