"""The gateway killed at any moment: no acknowledged event is lost, and it starts again by itself.

CORTEX_KILLS_SEED chooses other moments for the long form (`pytest -m attack`).
"""

import json
import os
import random
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.feedback.store import FILE, EventLog
from cortex_pipelines.serving.security.audit import FILE as AUDIT
from cortex_pipelines.serving.security.audit import verify
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_process import started

COUNT = 40
LONGEST_DELAY = 3.0
ASKED = {"model": "shop", "prompt": "def f():\n", "max_tokens": 8, "temperature": 0}


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        loaded: dict[str, Any] = json.load(answer)
    return loaded


def until_it_ends(act: Callable[[int], object]) -> threading.Thread:
    def repeat() -> None:
        for number in range(10**6):
            try:
                act(number)
            except (OSError, HTTPException, urllib.error.URLError, ValueError):
                return

    thread = threading.Thread(target=repeat)
    thread.start()
    return thread


def kill_at_any_moment(home: Path, delay: float, run: int) -> set[str]:
    """Kill a gateway under load; the names of the events that it has acknowledged."""
    acknowledged: set[str] = set()
    with started(home) as (url, process):

        def feedback(number: int) -> None:
            name = f"run-{run}-{number}"
            post(f"{url}/feedback", {"completion_id": name, "vote": "up"})
            acknowledged.add(name)

        threads = [until_it_ends(feedback), until_it_ends(lambda number: post(f"{url}/v1/completions", ASKED))]
        time.sleep(delay)
        process.kill()
        for thread in threads:
            thread.join()
    return acknowledged


def events(text: str) -> Iterator[str]:
    """Completions that whole lines are about; a kill may leave a part of one, told to nobody."""
    for line in text.splitlines():
        with suppress(ValueError):
            yield str(json.loads(line)["completion_id"])


def attack(home: Path, count: int, seed: int) -> None:
    dice = random.Random(seed)
    with started(home) as (url, _):
        expected = post(f"{url}/v1/completions", ASKED)
    acknowledged: set[str] = set()
    for run in range(count):
        acknowledged |= kill_at_any_moment(home, dice.uniform(0.0, LONGEST_DELAY), run)
    with started(home) as (url, _):
        again = post(f"{url}/v1/completions", ASKED)
    for key in ("model", "system_fingerprint", "usage"):
        assert again[key] == expected[key]
    assert again["choices"] == expected["choices"]
    path = home / "state" / FILE
    assert acknowledged <= (set(events(path.read_text())) if path.exists() else set())
    remaining_files = {path.name for path in (home / "state").iterdir()}
    assert remaining_files - {FILE} == {AUDIT}
    assert FILE in remaining_files or not acknowledged
    chain = verify(home / "state" / AUDIT)
    assert not chain.problem
    assert chain.entries >= len(acknowledged)


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    home = tinygateway.write(tmp_path / "served")
    shutil.rmtree(home / "state", ignore_errors=True)
    return home


def test_a_killed_gateway_keeps_what_it_acknowledged(own_home: Path) -> None:
    attack(own_home, 1, 0)


@pytest.mark.attack
def test_a_gateway_killed_many_times_keeps_what_it_acknowledged(own_home: Path) -> None:
    attack(own_home, COUNT, int(os.environ.get("CORTEX_KILLS_SEED", "0")))


def test_an_unfinished_line_does_not_swallow_the_next_event(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.add({"completion_id": "a"})
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"completion_id": "tor')
    log.add({"completion_id": "b"})
    first, torn, last = path.read_text().splitlines()
    assert (json.loads(first)["completion_id"], json.loads(last)["completion_id"]) == ("a", "b")
    assert torn == '{"completion_id": "tor'
