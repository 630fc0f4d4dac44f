"""Adapters are let go where memory is short, the least recently used first."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest
from starlette.testclient import TestClient

from cortex_pipelines.serving.engines import queued
from cortex_pipelines.serving.engines.engine import Engine, Event, Job, Sampling, open_engine
from cortex_pipelines.serving.engines.memory import is_short
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.tinygateway import NEEDS_LLAMA

MIB = 2**20
SECONDS = 60


def ask(engine: Engine, home: Path, project: str | None) -> str:
    adapter = engine.load(tinygateway.files(home, project)) if project else None
    events: SimpleQueue[Event] = SimpleQueue()
    engine.submit(Job(adapter, engine.prompt("def add(a, b):\n    "), Sampling(8)), events.put)
    text = ""
    while (event := events.get(timeout=SECONDS)) is not None:
        if isinstance(event, BaseException):
            raise event
        text += event.text
    return text


def resident_until(engine: Engine, until: Callable[[list[str]], bool]) -> list[list[str]]:
    """The adapters in memory, each time that they change, until they are as they should be."""
    states, end = [list(engine.state()["resident"])], time.monotonic() + SECONDS
    while not until(states[-1]):
        assert time.monotonic() < end, states
        time.sleep(0.005)
        if (now := list(engine.state()["resident"])) != states[-1]:
            states.append(now)
    return states


def answer_under_a_limit(home: Path) -> None:
    """In a process of its own: a limit of its address space comes while two adapters are in memory, and goes again."""
    settings = tinygateway.settings(free_mib=64)
    engine = open_engine(tinygateway.base_in(home), settings, home / "llama")
    texts = {name: ask(engine, home, name) for name in (None, "shop", "docs", "shop")}
    before = list(engine.state()["resident"])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 32 * MIB, hard))
    states = resident_until(engine, lambda resident: not resident)
    base = ask(engine, home, None) == texts[None]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    again = ask(engine, home, "shop") == texts["shop"]
    time.sleep(2 * queued._MEMORY_SECONDS)
    result = {"before": before, "states": states, "base": base, "again": again, "after": engine.state()["resident"]}
    print(json.dumps(result))
    engine.close()


def test_a_process_near_its_limit_lets_go_and_goes_on_answering(home: Path) -> None:
    module = "cortex_pipelines_tests.serving.test_serving_memory"
    script = f"import sys, pathlib, {module} as test; test.answer_under_a_limit(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(home)]
    done = subprocess.run(command, cwd=tinygateway.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "before": ["docs.dir", "shop.dir"],
        "states": [["docs.dir", "shop.dir"], ["shop.dir"], []],
        "base": True,
        "again": True,
        "after": ["shop.dir"],
    }


@pytest.mark.parametrize("name", ["torch", pytest.param("llama", marks=NEEDS_LLAMA)])
def test_each_engine_lets_go_of_the_least_recently_used(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = []
    monkeypatch.setattr(queued, "is_short", lambda reserve: reserve == MIB and bool(short))
    monkeypatch.setattr(queued, "_MEMORY_SECONDS", 0.2)
    settings = tinygateway.settings(engine=name, free_mib=1)
    engine = open_engine(tinygateway.base_in(home), settings, home / "llama")
    texts = [ask(engine, home, project) for project in ("shop", "docs", "shop")]
    short.append(True)
    states = resident_until(engine, lambda resident: not resident)
    short.clear()
    assert states == [["docs.dir", "shop.dir"], ["shop.dir"], []]
    assert ask(engine, home, "shop") == texts[0] == texts[2]
    assert engine.state()["resident"] == ["shop.dir"]
    engine.close()


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_container_of_any_level_limits_what_is_free(tmp_path: Path) -> None:
    limited = {
        "memory.max": f"{100 * MIB}\n",
        "memory.current": f"{90 * MIB}\n",
        "memory.stat": f"inactive_file {20 * MIB}\n",
    }
    files = {"proc/self/cgroup": "0::/pod/task\n", "sys/fs/cgroup/pod/task/memory.max": "max\n"}
    files |= {f"sys/fs/cgroup/pod/{name}": text for name, text in limited.items()}
    root = system(tmp_path, files)
    assert not is_short(29 * MIB, root)  # the cache of files is given back
    assert is_short(31 * MIB, root)


@pytest.mark.parametrize("where", ["proc/pressure/memory", "sys/fs/cgroup/memory.pressure"])
def test_tasks_that_wait_for_memory_make_it_short(tmp_path: Path, where: str) -> None:
    text = "some avg10={} avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    files = {"proc/self/cgroup": "0::/\n"}
    assert not is_short(0, system(tmp_path, files | {where: text.format("9.99")}))
    assert is_short(0, system(tmp_path, files | {where: text.format("10.01")}))
    assert not is_short(0, tmp_path / "nothing")


def test_the_adapter_of_a_session_s_project_is_loaded_before_it_is_asked_for(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = tinygateway.open_tiny(home, tmp_path, free_mib=1)
    short = [True]
    monkeypatch.setattr("cortex_pipelines.serving.gateway.is_short", lambda _: short.pop())
    services = ProjectServices(search=lambda *_: {"results": []})
    with TestClient(create_app(gateway, services), base_url="http://127.0.0.1") as client:

        def search(project: str) -> None:
            assert client.post("/search", json={"query": "x", "project": project}).status_code == 200

        search("unknown")
        search("shop")
        while short:  # too little memory: nothing is loaded
            time.sleep(0.01)
        assert gateway.engine.state()["resident"] == []
        end = time.monotonic() + SECONDS
        while gateway.engine.state()["resident"] != ["shop.dir"] and time.monotonic() < end:
            short[:] = [False]
            search("shop")
        assert gateway.engine.state()["resident"] == ["shop.dir"]
