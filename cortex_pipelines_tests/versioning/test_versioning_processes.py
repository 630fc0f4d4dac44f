import signal
from pathlib import Path

import pytest

from cortex_pipelines.versioning.dvc import reconcile
from cortex_pipelines_tests.versioning.toy import Workbench, recomputed


def test_six_at_once_lose_no_commit(tmp_path: Path) -> None:
    projects = tuple(f"p{number}" for number in range(6))
    bench = Workbench.create(tmp_path / "p", projects)
    running = [bench.start("words", name) for name in projects]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * len(projects)
    assert set(bench.lock()) - {"parameters"} == {f"words@{name}" for name in projects}
    assert not [v for v in reconcile.dvc_views(bench.project()) if v.asset.name == "words" and v.changed]


@pytest.mark.parametrize("moment", ["computing", "publishing", "committing"])
def test_a_killed_run_leaves_no_half_version_and_the_next_completes(bench, tmp_path: Path, moment: str) -> None:
    bench.run_all()
    before = bench.lock()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    killed = bench.start("words", "a", moment)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert bench.lock() == before, "no version of what was not finished"
    bench.sync()
    assert bench.staleness().status("words", "a")[0] == "STALE"
    again = bench.start("words", "a")
    again.join()
    assert again.exitcode == 0
    assert bench.lock()["words@a"]["outs"][0]["md5"] == recomputed(bench, "words", "a", tmp_path / "scratch")
    assert not list((bench.root / ".cortex" / "tmp").iterdir()), "what the dead left is swept"
