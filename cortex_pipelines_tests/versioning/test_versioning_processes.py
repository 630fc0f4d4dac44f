import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cortex_pipelines.versioning.dvc import reconcile
from cortex_pipelines_tests.versioning.toy import Workbench, recomputed

ROOT = Path(__file__).parents[2]


def start(bench: Workbench, name: str, partition: str, moment: str = "-") -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "cortex_pipelines_tests.versioning.toy"]
    return subprocess.Popen(
        [*words, str(bench.root), name, partition, moment], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


def test_twelve_at_once_lose_no_commit(tmp_path: Path) -> None:
    projects = tuple(f"p{number}" for number in range(12))
    bench = Workbench.create(tmp_path / "p", projects)
    running = [start(bench, "words", name) for name in projects]
    assert [process.wait() for process in running] == [0] * 12
    assert set(bench.lock()) - {"parameters"} == {f"words@{name}" for name in projects}
    assert not [v for v in reconcile.dvc_views(bench.project()) if v.asset.name == "words" and v.changed]


@pytest.mark.parametrize("moment", ["computing", "publishing", "committing"])
def test_a_killed_run_leaves_no_half_version_and_the_next_completes(bench, tmp_path: Path, moment: str) -> None:
    bench.run_all()
    before = bench.lock()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    killed = start(bench, "words", "a", moment)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert bench.lock() == before, "no version of what was not finished"
    bench.sync()
    assert bench.staleness().status("words", "a")[0] == "STALE"
    assert start(bench, "words", "a").wait() == 0
    assert bench.lock()["words@a"]["outs"][0]["md5"] == recomputed(bench, "words", "a", tmp_path / "scratch")
    assert not list((bench.root / ".cortex" / "tmp").iterdir()), "what the dead left is swept"
