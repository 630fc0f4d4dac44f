import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from cortex_pipelines.config import LAYOUT, PER_PROJECT, SECTIONS, resolve
from cortex_pipelines.projects.parameter_file import origins
from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning import materialise, snapshot
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.changes import Comparison
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.parameters import CODE, FOLDER, PACKAGES, SHARED, merged, project_file, settings_in
from cortex_pipelines.versioning.project import Project, ProjectError, Stage, read_yaml, write_yaml
from cortex_pipelines_tests.parameters import ROOT, load_cases
from cortex_pipelines_tests.versioning.toy import Workbench, toy_parameters


def stale(bench: Workbench) -> set[str]:
    bench.sync()
    project = bench.project()
    staleness = bench.staleness(project)
    views = dvc_views(project)
    for view in views:
        assert staleness.stale(view.asset.name, view.partition) == view.changed
    return {project.address(view.asset, view.partition) for view in views if view.changed}


def edit_project(bench: Workbench, name: str, **values: Any) -> None:
    bench.edit("params.yaml", lambda v: v["projects"][name].update(values))


def test_a_project_comes_before_its_file_and_that_before_the_profile(bench: Workbench) -> None:
    def suffixes() -> list[Any]:
        effective = toy_parameters(bench.root)
        return [effective.section("loudness", name).suffix for name in (None, "a", "b")]

    assert suffixes() == ["!", "!", "!"]
    edit_project(bench, "a", profile="loud")
    assert suffixes() == ["!", "!", "!"], "what params.yaml says counts over any profile"
    bench.edit("params.yaml", lambda v: v.pop("loudness"))
    assert suffixes() == ["?", "!!", "?"]
    edit_project(bench, "b", loudness={"suffix": "."})
    assert suffixes() == ["?", "!!", "."]
    bench.edit("params.yaml", lambda v: v.update(profile="loud"))
    assert suffixes() == ["!!", "!!", "."]


def test_one_project_is_stale_where_it_alone_is_changed(bench: Workbench) -> None:
    bench.run_all()
    assert stale(bench) == set()
    edit_project(bench, "a", loudness={"suffix": "!"})
    assert stale(bench) == set(), "what it says held already"
    edit_project(bench, "a", loudness={"suffix": "."})
    assert stale(bench) == {"loud@a"}
    bench.edit("params.yaml", lambda v: v["loudness"].update(suffix="?"))
    assert stale(bench) == {"loud@a", "loud@b", "digest"}
    bench.edit("params.yaml", lambda v: v.update(loudness={"suffix": "!"}))
    edit_project(bench, "a", loudness=None)
    assert stale(bench) == set()


def test_a_title_says_where_a_source_is_and_a_section_does_not(bench: Workbench) -> None:
    bench.run_all()
    edit_project(bench, "a", loudness={"suffix": "."})
    assert "words@a" not in stale(bench)
    edit_project(bench, "a", title="other")
    assert "words@a" in stale(bench)


def test_repro_after_an_edit_needs_no_further_step(bench: Workbench) -> None:
    bench.repro()
    assert bench.dvc("status", "--json") == "{}"
    bench.edit("profiles/standard.yaml", lambda v: v["pages"].update(width=2))
    bench.edit("params.yaml", lambda v: v.pop("pages"))
    edit_project(bench, "b", loudness={"suffix": "."})
    assert set(json.loads(bench.dvc("status", "--json"))) == {"parameters"}
    bench.repro()
    assert bench.dvc("status", "--json") == "{}"
    lock = bench.lock()
    assert lock["loud@b"]["params"][project_file("b")]["loudness"] == {"suffix": "."}
    assert lock["page@a"]["params"][SHARED]["pages"] == {"width": 2}
    assert stale(bench) == set()


def test_an_experiment_may_add_a_key_for_one_project(bench: Workbench) -> None:
    bench.repro()
    bench.commit()
    bench.experiment("quiet", "+projects.a.loudness.suffix=.")
    assert bench.lock()["loud@a"]["params"][project_file("a")]["loudness"] == {"suffix": "."}
    assert bench.dvc("status", "--json") == "{}"
    assert stale(bench) == set()


def test_a_stage_run_alone_under_dvc_does_not_read_old_values(bench: Workbench) -> None:
    bench.repro()
    edit_project(bench, "a", loudness={"suffix": "."})
    with pytest.raises(Exception, match="failed to reproduce") as refused, bench.dvc_here() as repo:
        repo.reproduce(["loud@a"], single_item=True, force=True)
    assert "run `dvc repro` without --single-item" in str(refused.value.__cause__)


def test_an_edit_as_a_run_begins_asks_for_another_run(bench: Workbench) -> None:
    """Not for a command of DVC, which a run of Dagster or `cortex run` does not need."""
    write = dvc_store.write_parameters

    def edited_then(project: Project) -> None:
        write(project)
        edit_project(bench, "a", loudness={"suffix": "."})

    bench.make("words", "a")
    with (
        mock.patch.object(dvc_store, "write_parameters", edited_then),
        pytest.raises(materialise.InputMovedError, match="loudness changed as this began; run it again"),
    ):
        bench.make("loud", "a")
    bench.make("loud", "a")


def test_files_follow_the_projects(bench: Workbench) -> None:
    folder = bench.root / FOLDER
    assert sorted(path.name for path in folder.rglob("*.json")) == ["a.json", "b.json", "packages.json", "shared.json"]
    bench.edit("params.yaml", lambda v: v["projects"].pop("b"))
    stages.write(bench.project())
    assert sorted(path.name for path in folder.rglob("*")) == ["a.json", "packages.json", "projects", "shared.json"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert not bench.project().effective.write(bench.root)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}


class Inner(Settings):
    one: int
    two: dict[str, int]


class Either(Settings):
    wheel: str | None = None
    folder: str | None = None


class Outer(Settings):
    inner: Inner
    model: Either
    names: list[str]


def test_sections_are_merged_and_all_else_is_taken_whole() -> None:
    base = {"inner": {"one": 1, "two": {"a": 1}}, "model": {"wheel": "w"}, "names": ["x"]}
    change = {"inner": {"two": {"b": 2}}, "model": {"folder": "f"}, "names": []}
    assert merged(base, change, Outer) == {"inner": {"one": 1, "two": {"b": 2}}, "model": {"folder": "f"}, "names": []}
    assert base["inner"] == {"one": 1, "two": {"a": 1}}
    assert merged(base, {"inner": None}, Outer)["inner"] is None


# --- the profiles of the package


def params(root: Path, **values: Any) -> Path:
    root.mkdir(exist_ok=True)
    write_yaml(root / "params.yaml", {"projects": {"a": {"sources": [{"directory": "x"}]}}} | values)
    return root


@pytest.mark.parametrize("profile", ["standard", "demo", "thorough"])
def test_a_profile_is_all_that_is_needed(tmp_path: Path, profile: str) -> None:
    effective = resolve(params(tmp_path, profile=profile))
    assert profile in LAYOUT.profile_names(ROOT)
    for name, model in SECTIONS.items():
        assert model.model_validate(json.loads(json.dumps(effective.files[SHARED][name]))) == effective.section(name)


def test_profiles_say_only_what_they_change() -> None:
    standard = read_yaml(ROOT / LAYOUT.profiles / "standard.yaml")
    for name in ("demo", "thorough"):
        change = read_yaml(ROOT / LAYOUT.profiles / f"{name}.yaml")
        assert repeated(standard, change, LAYOUT.model) == [], name
        assert merged(standard, change, LAYOUT.model) != standard, name


def repeated(base: Any, change: Any, model: Any) -> list[str]:
    """What a profile says once more, where sections are merged by key and all else is replaced."""
    if model is None or not (isinstance(base, dict) and isinstance(change, dict)):
        return ["is the same"] if base == change else []
    return [
        f"{key} {words}" for key in change for words in repeated(base.get(key), change[key], settings_in(model, key))
    ]


def test_what_may_differ_by_project_is_read_by_assets_of_a_project() -> None:
    from cortex_pipelines.catalog import open_project

    graph = open_project(ROOT).graph
    read = {name for asset in graph.assets.values() if asset.partitioned for name in asset.parameters}
    of_all = {"privacy", "general", "retrieval", "routing"}
    """What is forgotten is forgotten everywhere; general code is one for all, and so are the
    encoders that queries and texts are compared by."""
    assert (read & SECTIONS.keys()) - of_all == PER_PROJECT


@pytest.mark.parametrize("case", load_cases(__file__)["WRONG"], ids=lambda case: case["words"][:40])
def test_what_is_wrong_in_a_project_is_named_with_its_line(tmp_path: Path, case: dict[str, Any]) -> None:
    values = read_yaml(params(tmp_path) / "params.yaml") | case.get("top", {})
    values["projects"]["a"] |= case.get("a", {})
    write_yaml(tmp_path / "params.yaml", values)
    with pytest.raises(ProjectError, match=f"^params.yaml: {case['words']}"):
        resolve(tmp_path)


def test_each_value_says_where_it_is_written_and_what_it_means(tmp_path: Path) -> None:
    root = params(
        tmp_path,
        profile="demo",
        projects={
            "a": {"sources": [{"directory": "x"}], "datasets": {"max_train": 7}},
            "b": {"sources": [{"directory": "y"}], "profile": "standard"},
        },
        datasets={"max_test": 5},
    )
    effective = resolve(root)

    def source(key: str, project: str | None) -> tuple[str, str]:
        (origin,) = [candidate for candidate in origins(root, effective, "datasets", project) if candidate.key == key]
        assert origin.meaning
        return origin.value, origin.source

    lines = (root / "params.yaml").read_text().splitlines()
    line_numbers = {text.strip(): number for number, text in enumerate(lines, 1)}
    assert source("max_train", "a") == ("7", f"project a, params.yaml:{line_numbers['max_train: 7']}")
    assert source("max_test", "a") == ("5", f"params.yaml:{line_numbers['max_test: 5']}")
    assert source("max_train", None) == ("400", "profile demo")
    assert (source("max_train", "b"), source("seed", "a")[1]) == (("null", "profile standard"), "profile standard")


def test_a_change_has_the_name_of_what_a_person_edits_or_installs(tmp_path: Path) -> None:
    names = {CODE: "code", PACKAGES: "packages", f"{FOLDER}/shared.json": "params.yaml", "sources.lock": "sources.lock"}
    for file in names:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('{"pages": 2}')
    body = {"cmd": "make", "params": [{file: ["pages"]} for file in names], "outs": []}
    entry = {"cmd": "make", "params": {file: {"pages": 1} for file in names}}
    repo = SimpleNamespace(root_dir=tmp_path, cache=SimpleNamespace(local=None))
    assert list(Comparison(repo).changes(body, entry)) == [f"{name}:pages modified" for name in names.values()]


def test_rows_that_were_kept_belong_to_the_sections_of_their_project(bench: Workbench) -> None:
    def versions() -> dict[str, str]:
        project = bench.project()
        dvc_store.write_parameters(project)
        loud = [Stage(project, project.graph.assets["loud"], name) for name in ("a", "b")]
        return {str(stage.partition): materialise.rows_version(stage, snapshot.take(stage)) for stage in loud}

    before = versions()
    edit_project(bench, "a", loudness={"suffix": "?!"})
    after = versions()
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]
