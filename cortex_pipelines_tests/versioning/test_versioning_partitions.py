import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from cortex_pipelines.versioning.dagster.instance import NAME, follow_projects, has_own_databases, open_instance
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines_tests.versioning.toy import Workbench, begin_made


def test_a_loaded_location_sees_projects_come_and_go(tmp_path: Path) -> None:
    bench = begin_made(tmp_path / "p", ("a", "b"))
    bench.sync()
    loaded = bench.project()
    assert bench.ui_status(loaded)("tally", None) == "FRESH"
    bench.edit("sources.lock", lambda v: v["projects"].update(c=["three"]))
    bench.edit("params.yaml", lambda v: v["projects"].update(c={"title": "c"}))
    bench.sync()
    assert bench.ui_status(loaded)("words", "c") == "MISSING"
    assert bench.run(["words", "loud"], "c")
    assert bench.ui_status(loaded)("tally", None) == "STALE"
    assert bench.run(["tally"], None)
    assert bench.ui_status(loaded)("tally", None) == "FRESH"
    bench.edit("params.yaml", lambda v: v["projects"].pop("a"))
    bench.edit("sources.lock", lambda v: v["projects"].pop("a"))
    bench.sync()
    assert set(bench.instance().get_dynamic_partitions(NAME)) == {"b", "c"}
    assert bench.ui_status(loaded)("tally", None) == "STALE"


def test_partitions_follow_once(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p", ("b", "a"))
    instance, project = bench.instance(), bench.project()
    instance.add_dynamic_partitions(NAME, ["gone"])
    assert (follow_projects(instance, project), follow_projects(instance, project)) == (1, 0)
    assert set(instance.get_dynamic_partitions(NAME)) == {"a", "b"}


def test_stages_that_were_never_made(tmp_path: Path) -> None:
    bench = begin_made(tmp_path / "p", ("a", "b"))
    bench.edit("params.yaml", lambda v: v["projects"].update(c=v["projects"]["a"]))
    bench.edit("sources.lock", lambda v: v["projects"].update(c=["three"]))
    views = dvc_views(bench.project())
    new = {view.partition for view in views if view.reasons == ("never made",)}
    assert new == {"c"}
    assert all(view.changed and view.version is None for view in views if view.partition == "c")
    # an output that nothing is known of
    shutil.copytree(bench.root / "data" / "words" / "a", bench.root / "data" / "words" / "c")
    (view,) = (view for view in dvc_views(bench.project()) if (view.asset.name, view.partition) == ("words", "c"))
    assert view.changed
    assert view.version is not None
    assert view.locked is None


_SYNCHRONOUS = """
import sys
from pathlib import Path
from sqlalchemy import create_engine
from cortex_pipelines.versioning.dagster.instance import open_instance
root = Path(sys.argv[1])
with open_instance(root).event_log_storage.index_connection() as connection:
    print(connection.exec_driver_sql("PRAGMA synchronous").scalar())
with create_engine(f"sqlite:///{root}/mlflow.db").connect() as connection:
    print(connection.exec_driver_sql("PRAGMA synchronous").scalar())
"""


def test_only_dagsters_own_databases_are_written_without_waiting_for_the_disk(tmp_path: Path) -> None:
    # not in this process, where no database waits
    done = subprocess.run([sys.executable, "-c", _SYNCHRONOUS, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "2"]


def test_another_storage_is_made_ready_as_the_first_was(tmp_path: Path) -> None:
    open_instance(tmp_path)
    assert has_own_databases(tmp_path)
    home, other_folder = tmp_path / ".dagster", tmp_path / "elsewhere"
    ready, settings = home / ".initialised", home / "dagster.yaml"
    os.utime(ready, (1, 1))
    with settings.open("a") as file:
        file.write(f"storage:\n  sqlite:\n    base_dir: {other_folder}\n")
    open_instance(tmp_path)
    assert not has_own_databases(tmp_path)
    assert ready.stat().st_mtime_ns >= settings.stat().st_mtime_ns, "said only once it is made"
    with closing(sqlite3.connect(other_folder / "schedules" / "schedules.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
