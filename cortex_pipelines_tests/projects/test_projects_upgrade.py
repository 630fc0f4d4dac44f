"""From the form before profiles to today's: nothing that was made is lost."""

from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.config import LAYOUT, resolve
from cortex_pipelines.projects.upgrade import migrate_lock, shorten_parameters, upgrade
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.parameters import FILE, FOLDER
from cortex_pipelines.versioning.project import ProjectError, read_yaml, write_yaml
from cortex_pipelines_tests.parameters import STANDARD, sections
from cortex_pipelines_tests.versioning.toy import Workbench

PROJECTS = """# ours
projects:
  shop: # the web shop
    sources:
      - directory: src # flat
"""


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench.create(tmp_path / "p")


def as_before(bench: Workbench) -> None:
    """``dvc.lock`` in the form of stages that read params.yaml itself."""
    values = read_yaml(bench.root / "dvc.lock")
    projects = read_yaml(bench.root / FILE)["projects"]
    del values["stages"]["parameters"]
    for address, stage in values["stages"].items():
        old: dict[str, Any] = {}
        for file in [name for name in stage.get("params", {}) if name.startswith(FOLDER)]:
            old |= stage["params"].pop(file)
        if "project" in old:
            del old["project"]
            name = address.partition("@")[2]
            old[f"projects.{name}"] = projects[name]
        if old:
            stage["params"][FILE] = old
    write_yaml(bench.root / "dvc.lock", values)


def changed(bench: Workbench) -> set[str]:
    project = bench.project()
    views = dvc_views(project)
    return {project.address(view.asset, view.partition) for view in views if view.changed}


def test_what_was_made_stays(bench: Workbench) -> None:
    bench.repro()
    before = bench.lock()
    as_before(bench)
    assert changed(bench) == set(before) - {"tally", "parameters"}
    assert migrate_lock(bench.project()) == 7
    assert bench.lock() == before
    assert changed(bench) == set()
    assert bench.dvc("status", "--json") == "{}"
    assert migrate_lock(bench.project()) == 0


def test_a_value_that_is_another_one_by_now_makes_its_stages_stale(bench: Workbench) -> None:
    bench.repro()
    as_before(bench)
    bench.edit(FILE, lambda v: v["loudness"].update(suffix="."))
    migrate_lock(bench.project())
    assert changed(bench) == {"loud@a", "loud@b", "digest"}


def test_only_what_differs_is_left_and_its_comments_stay(tmp_path: Path) -> None:
    text = STANDARD.read_text().replace("max_nesting: 32 #", "max_nesting: 30 # less,", 1)
    path = tmp_path / FILE
    path.write_text(PROJECTS + text)
    before = resolve(tmp_path).files
    assert shorten_parameters(tmp_path, LAYOUT) == ("standard", 1)
    after = path.read_text()
    assert resolve(tmp_path).files == before
    assert read_yaml(path).keys() == {"profile", "projects", "extraction"}
    assert read_yaml(path)["extraction"] == {"max_nesting": 30}
    for comment in ("# ours", "# the web shop", "# flat", "# less, each level"):
        assert comment in after


def test_a_file_with_the_demos_values_becomes_the_demo(tmp_path: Path) -> None:
    write_yaml(tmp_path / FILE, {"projects": {"a": {"sources": [{"directory": "x"}]}}} | sections())
    write_yaml(tmp_path / FILE, read_yaml(tmp_path / FILE) | {"general": {"project": "a"}})
    before = resolve(tmp_path).files
    assert shorten_parameters(tmp_path, LAYOUT) == ("demo", 1)
    assert resolve(tmp_path).files == before


def test_a_key_that_is_no_more_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(PROJECTS + "annotation: {max_thoughts: 3}\n")
    with pytest.raises(ProjectError, match=r"line 6: annotation\.max_thoughts: .* \(found 3\)"):
        list(upgrade(tmp_path))
