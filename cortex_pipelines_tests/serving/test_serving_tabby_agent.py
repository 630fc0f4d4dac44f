"""Tabby's own agent, as its editors start it: completions, and what becomes of them."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.feedback.store import FILE
from cortex_pipelines_tests.serving.test_serving_process import started

AGENT = "tabby-agent@1.5.0"
TEXT = "def total(a, b):\n    "

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # the agent is another's program
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine"),
]


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
        request = [self._number, {"func": name, "args": arguments}]
        stdin.write(json.dumps(request) + "\n")
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
    program = tmp_path / "node_modules" / "tabby-agent" / "dist" / "cli.js"
    agent = Agent(program, tmp_path / "home")
    yield agent
    agent.process.kill()
    agent.process.wait()


def test_the_agent_completes_and_reports(home: Path, agent: Agent) -> None:
    with started(home) as (url, _):
        server = {"endpoint": url, "token": "none"}
        properties = {"user": {}, "session": {"client": "a test"}}
        silent = {"disable": True}
        agent.call(
            "initialize",
            {"config": {"server": server, "anonymousUsageTracking": silent}, "clientProperties": properties},
        )
        assert agent.call("getStatus") == "ready"
        assert agent.call("getServerHealthState")["model"] == "base"
        cursor = {"filepath": "total.py", "language": "python", "text": TEXT, "position": len(TEXT)}
        answer = agent.call("provideCompletions", {**cursor, "manually": True})
        assert answer["choices"][0]["text"]
        view_event = {"type": "view", "completion_id": answer["id"], "choice_index": 0}
        agent.call("postEvent", view_event)
        log = home / "state" / FILE
        while not (events := events_of(log, answer["id"])).issuperset({"offered", "view"}):
            assert events <= {"offered", "view"}
            time.sleep(0.05)


def events_of(log: Path, completion: str) -> set[str]:
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return {event["type"] for event in events if event["completion_id"] == completion}
