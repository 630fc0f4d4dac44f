import os
import sqlite3
from contextlib import closing
from pathlib import Path

from cortex_pipelines.versioning.dagster.instance import has_own_databases, open_instance


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
