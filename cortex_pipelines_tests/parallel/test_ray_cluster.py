import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from cortex_pipelines.parallel import ordered
from cortex_pipelines.parallel.backends import BackendError
from cortex_pipelines.parallel.ordered import executing
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines_tests.adapters.tinymodel import write_tiny_base
from cortex_pipelines_tests.parallel import work

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")
RAY = ExecutionSettings(backend="ray", workers=None, memory=None)
NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")
VETH = ("ip", "link", "add", "one", "type", "veth", "peer", "name", "other")


def test_no_cluster_at_an_address(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ordered, "_SECONDS_ALONE", -1)
    with executing(RAY), pytest.raises(BackendError, match="no Ray cluster answers at"):
        list(ordered.ordered_map(work.squares, [1, 2], lambda _: 1, "numbers"))


@pytest.fixture
def namespaces():
    if shutil.which("ip") is None or subprocess.run([*NAMESPACES, *VETH], capture_output=True).returncode:
        pytest.skip("this machine allows no network namespaces")


@pytest.mark.long
def test_two_nodes_that_share_nothing_and_one_that_is_killed(namespaces) -> None:
    with tempfile.TemporaryDirectory() as name:  # a path short enough for Ray's sockets
        folder = Path(name)
        write_tiny_base(folder / "weights")
        script, driver = Path(__file__).with_name("two_nodes.sh"), (sys.executable, "-m", f"{__package__}.two_nodes")
        command = [*NAMESPACES, "--mount-proc", "bash", str(script), name, *driver, name]
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["values"] == list(range(100))
    assert "a worker ended" in done.stderr
    # both nodes computed, and only the driver's has the project
    assert found["folders"] == [[False, True], [True, True]]
    assert found["nodes"] == [1, 2]
    assert found["there"] == found["here"]
    assert len(set(found["here"])) == 4
    assert found["same_evaluation"]
    assert found["evaluated_on"] in (1, 2)
    skipped = found["hung"].pop(work.DEADLY)
    assert skipped.startswith("ended 3 workers (")
    assert found["hung"] == [number for number in range(100) if number != work.DEADLY]
    assert not found["computing"]
