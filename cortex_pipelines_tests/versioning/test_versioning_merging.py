import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.projects import doctor
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.dvc.repair import find_undeclared, take_out_undeclared
from cortex_pipelines.versioning.dvc.yaml_files import read_yaml, write_yaml, yaml_text
from cortex_pipelines.versioning.merging import git_merge
from cortex_pipelines.versioning.merging.conflicts import (
    ConflictError,
    Versions,
    find_conflicts,
    require_no_conflicts,
    split_versions,
)
from cortex_pipelines.versioning.merging.git_merge import join_dvc_locks, resolve
from cortex_pipelines.versioning.merging.pin_locks import join_releases_locks, join_sources_locks
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import Workbench, recomputed

CASES = load_cases(__file__)
Values = dict[str, Any]


def run_all(bench: Workbench) -> None:
    for name, partition in bench.all_stages():
        bench.make(name, partition)


def note(bench: Workbench, project: str, *words: str) -> None:
    bench.edit("sources.lock", lambda lock: lock["projects"].update({project: list(words)}))


SECOND: dict[str, Callable[[Workbench], object]] = {
    "elsewhere": lambda bench: note(bench, "b", "four"),
    "alike": lambda bench: note(bench, "a", "four"),
    "same": lambda bench: note(bench, "a", "three"),
    "code": lambda bench: (bench.root / "toy" / "loud.py").write_text("x"),
}
"""What the second branch does."""
Branches = Callable[[str], Workbench]


@pytest.fixture(scope="module")
def _begun(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    bench = Workbench.create(tmp_path_factory.mktemp("begun") / "p")
    git_merge.write_attributes(bench.root)
    run_all(bench)
    bench.commit()
    bench.git("checkout", "-q", "-b", "other")
    note(bench, "a", "three")
    run_all(bench)
    bench.commit()
    bench.checkout("main")
    return bench


@pytest.fixture
def bench(_begun: Workbench, tmp_path: Path) -> Workbench:
    return copied(_begun, tmp_path / "p")


@pytest.fixture(scope="module")
def _branched(_begun: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Branches:
    @cache
    def make(second: str) -> Workbench:
        bench = copied(_begun, tmp_path_factory.mktemp("branched") / "p")
        SECOND[second](bench)
        run_all(bench)
        bench.commit()
        return bench

    return make


@pytest.fixture
def branched(_branched: Branches, tmp_path: Path) -> Branches:
    return lambda second: copied(_branched(second), tmp_path / "branched")


def copied(bench: Workbench, root: Path) -> Workbench:
    shutil.copytree(bench.root, root, symlinks=True)
    return Workbench(root)


def attempt(bench: Workbench, *words: str) -> None:
    subprocess.run(["git", *words], cwd=bench.root, check=False, capture_output=True)


def require_right_outputs(bench: Workbench, scratch: Path) -> None:
    """What is stale is run, and then everything is as if made from nothing."""
    run_all(bench)
    views = dvc_views(bench.project())
    assert [view.asset.name for view in views if view.changed] == []
    for view in views:
        assert view.version == recomputed(bench, view.asset.name, view.partition, scratch)


GIT = {"merge": ("merge", "--no-edit", "other"), "rebase": ("rebase", "other"), "cherry-pick": ("cherry-pick", "other")}


@pytest.mark.parametrize(
    ("how", "second"),
    [("merge", "elsewhere"), ("merge", "alike"), ("merge", "same"), ("rebase", "code"), ("cherry-pick", "elsewhere")],
)
def test_the_driver_joins_what_both_branches_ran(branched: Branches, tmp_path: Path, how: str, second: str) -> None:
    bench = branched(second)
    assert git_merge.set_driver(bench.root)
    bench.git(*GIT[how])
    assert find_conflicts(bench.root) == []
    assert bench.git("status", "--porcelain", "-uno") == ""
    require_right_outputs(bench, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("style", "from_index"), [("merge", True), ("merge", False), ("diff3", False), ("zdiff3", False)]
)
def test_resolve_joins_afterwards_what_git_left_in_conflict(branched, tmp_path, style: str, from_index: bool) -> None:
    bench = branched("alike")
    bench.git("config", "merge.conflictStyle", style)
    attempt(bench, *GIT["merge"])
    assert {conflict.file for conflict in find_conflicts(bench.root)} >= {"dvc.lock"}
    with pytest.raises(ConflictError, match=r"dvc.lock line \d+: .*`cortex resolve`"):
        dvc_views(bench.project())
    if not from_index:  # markers that somebody committed
        bench.commit()
    resolution = resolve(bench.root, lambda: stages.write(bench.project()))
    assert "dvc.lock" in resolution.files
    assert (resolution.remaining, resolution.staged) == ((), resolution.files if from_index else ())
    assert bench.git("ls-files", "--unmerged") == ""
    require_right_outputs(bench, tmp_path / "scratch")


def test_resolve_takes_the_entry_that_fits_the_merged_inputs(branched: Branches) -> None:
    bench = branched("alike")
    path = bench.root / ".cortex" / "shown.yaml"
    path.write_text(bench.git("show", "other:dvc.lock") + "\n")
    theirs = read_yaml(path)["stages"]["words@a"]
    attempt(bench, *GIT["merge"])
    bench.git("checkout", "--theirs", "sources.lock")
    bench.git("add", "sources.lock")
    resolve(bench.root, lambda: stages.write(bench.project()))
    assert bench.lock()["words@a"] == theirs


def test_params_in_conflict_are_left_to_a_person(bench: Workbench) -> None:
    bench.git("checkout", "-q", "-b", "else")
    bench.edit("params.yaml", lambda params: params["loudness"].update(suffix="a"))
    bench.commit()
    bench.git("checkout", "-q", "main")
    bench.edit("params.yaml", lambda params: params["loudness"].update(suffix="b"))
    bench.commit()
    attempt(bench, "merge", "else")
    before = (bench.root / "params.yaml").read_bytes()
    (conflict,) = resolve(bench.root, lambda: stages.write(bench.project())).remaining
    assert str(conflict).startswith("params.yaml line 7: conflict markers of a git merge; edit it")
    assert (bench.root / "params.yaml").read_bytes() == before


def test_a_driver_whose_program_is_gone_is_set_up_again(bench: Workbench) -> None:
    assert git_merge.set_driver(bench.root)
    assert not git_merge.set_driver(bench.root)
    bench.git("config", "merge.cortex.driver", "/gone/cortex merge-driver %O %A %B %P")
    assert git_merge.set_driver(bench.root)
    assert "/gone/" not in bench.git("config", "merge.cortex.driver")


def test_a_driver_that_cannot_run_leaves_the_markers_of_git(branched: Branches) -> None:
    """Otherwise git would keep ours without a word."""
    bench = branched("alike")
    assert git_merge.set_driver(bench.root)
    command = bench.git("config", "merge.cortex.driver").partition(" ||")[2]
    bench.git("config", "merge.cortex.driver", f"/gone/cortex ||{command}")
    attempt(bench, *GIT["merge"])
    assert "dvc.lock" in {conflict.file for conflict in find_conflicts(bench.root)}


CONFLICT = "a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> other\n"


@pytest.mark.parametrize(("file", "text", "line"), CASES["MARKERS"])
def test_markers_are_found_by_file_and_line(tmp_path: Path, file: str, text: str, line: int | None) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(text.encode())
    locations = [(conflict.file, conflict.line) for conflict in find_conflicts(tmp_path)]
    assert locations == ([(file, line)] if line else [])
    if line:
        with pytest.raises(ConflictError, match=f"{file} line {line}: conflict markers"):
            require_no_conflicts(tmp_path)


@pytest.mark.parametrize("command", ["status", "summary", "run", "update", "sync", "retrain"])
def test_every_command_names_the_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text("projects: {}\n")
    (tmp_path / "dvc.lock").write_text(CONFLICT)
    output = cortex(command, status=1).output
    assert "dvc.lock line 2: conflict markers of a git merge; `cortex resolve` joins" in output
    (check,) = (row for row in doctor.check_stores(tmp_path) if row.what == "whole: dvc.lock")
    assert (check.good, check.detail) == (False, "holds a merge conflict, with markers from line 2")


def test_reading_a_file_in_conflict_says_so(tmp_path: Path) -> None:
    (tmp_path / "sources.lock").write_text(CONFLICT)
    with pytest.raises(ProjectError, match=r"sources.lock .*line 2: conflict .*`cortex resolve`"):
        read_yaml(tmp_path / "sources.lock")


@pytest.mark.parametrize(("text", "versions"), CASES["VERSIONS"])
def test_a_text_with_markers_is_its_versions(text: str, versions: list[Any]) -> None:
    assert split_versions(text) == Versions(*versions)


@pytest.mark.parametrize(
    ("text", "words"), [("a\n>>>>>>> t\n", "line 2: .* without the one"), ("<<<<<<< o\n1\n", "line 1: .* not end")]
)
def test_markers_that_do_not_belong_together_are_named(text: str, words: str) -> None:
    with pytest.raises(ConflictError, match=words):
        split_versions(text)


def stage(md5: str, read: Mapping[str, str] | None = None, out: str = "data/x") -> Values:
    deps = [{"path": path, "md5": dep_md5} for path, dep_md5 in (read or {}).items()]
    return {"cmd": "run", "deps": deps, "outs": [{"path": out, "md5": md5}]}


def lock(**entries: Values) -> Values:
    return {"schema": "2.0", "stages": entries}


OLD, NEW, NEWER = stage("1"), stage("2"), stage("3")


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (lock(x=OLD), lock(x=OLD), lock(x=NEW), lock(x=NEW)),
        (lock(x=OLD), lock(x=NEW), lock(x=OLD), lock(x=NEW)),
        (lock(), lock(x=NEW), lock(y=OLD), lock(x=NEW, y=OLD)),
        (lock(x=OLD, y=OLD), lock(x=OLD), lock(x=OLD, y=OLD), lock(x=OLD)),  # removed
        (lock(x=OLD), lock(), lock(x=NEW), lock(x=NEW)),  # removed here, run there
        (None, lock(x=NEW), lock(y=OLD), lock(x=NEW, y=OLD)),
        (lock(x=OLD), lock(x=NEW), lock(x=NEWER), lock(x=NEW)),
    ],
)
def test_stages_are_joined_by_what_each_side_ran(base, ours: Values, theirs: Values, expected: Values) -> None:
    assert join_dvc_locks(base, ours, theirs)[0] == expected


def test_of_two_entries_the_one_is_taken_whose_inputs_the_joined_lock_has() -> None:
    base = lock(x=OLD, y=stage("a", {"data/x": "1"}, "data/y"))
    ours = lock(x=OLD, y=stage("b", {"data/x": "1", "code": "new"}, "data/y"))
    theirs = lock(x=NEW, y=stage("c", {"data/x": "2"}, "data/y"))
    merged, notes = join_dvc_locks(base, ours, theirs)
    assert merged == theirs
    assert notes == ["y: both branches ran it; the entry of the other branch is taken"]


def test_an_entry_of_inputs_that_neither_side_has_is_taken_out() -> None:
    """Each branch added a project, and ran what reads the folder of all projects."""

    def project_entry(project: str, total: str) -> Values:
        return {
            f"x@{project}": stage("1", out=f"data/x/{project}"),
            "sum": stage(total, {"data/x": f"{total}.dir"}, "data/sum"),
        }

    merged, notes = join_dvc_locks(lock(), lock(**project_entry("a", "5")), lock(**project_entry("b", "6")))
    assert set(merged["stages"]) == {"x@a", "x@b"}
    assert notes == ["sum: both branches ran it, on inputs that neither has now; it is run again"]


def git_pin(revision: str, commits: int) -> Values:
    return {"git": "../shop", "ref": "main", "revision": revision, "commits": commits}


A, B = "data/parameters/projects/a.json", "data/parameters/projects/b.json"


def made_with(md5: str, file: str = A, **parameters: Any) -> Values:
    return stage(md5) | {"params": {file: parameters}}


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "taken"),
    [
        (lock(x=made_with("0", size=3)), {"size": 3}, {"size": 2}, "2"),
        (lock(y=made_with("0", size=3)), {"size": 3}, {"size": 2}, "2"),
        (lock(y=made_with("0", B, size=3)), {"size": 3}, {"size": 2}, "2"),
        (lock(x=made_with("0", size=3)), {"size": 4}, {"size": 2}, "1"),
        (lock(x=made_with("0", size=3, depth=1)), {"size": 4, "depth": 1}, {"size": 3, "depth": 2}, None),
    ],
)
def test_of_two_entries_the_one_is_taken_that_has_the_joined_parameters(base, ours, theirs, taken: str | None) -> None:
    rest = {name: entry for name, entry in base["stages"].items() if name != "x"}
    merged, _ = join_dvc_locks(base, lock(**rest, x=made_with("1", **ours)), lock(**rest, x=made_with("2", **theirs)))
    entry = merged["stages"].get("x")
    assert (entry and entry["outs"][0]["md5"]) == taken


def test_of_two_entries_the_one_is_taken_that_has_the_joined_pin() -> None:
    sides = [made_with(str(n), "sources.lock", **{"projects.a": [git_pin(f"r{n}", n)]}) for n in (1, 2, 3)]
    assert join_dvc_locks(*(lock(x=entry) for entry in sides))[0] == lock(x=sides[2])


@pytest.mark.parametrize("swapped", [False, True])
def test_pins_are_joined_by_project_and_source(swapped: bool) -> None:
    folder = {"directory": "../docs", "sha256": "1"}
    base = {"projects": {"shop": [git_pin("r1", 1), folder]}, "coordination": None}
    ours = {"projects": {"shop": [git_pin("r2", 2), folder], "ours": []}, "coordination": None}
    theirs = {
        "projects": {"shop": [git_pin("r3", 3), {**folder, "sha256": "2"}], "theirs": []},
        "coordination": {"files": []},
    }
    merged, notes = join_sources_locks(base, *((theirs, ours) if swapped else (ours, theirs)))
    assert merged == {
        "projects": {"ours": [], "shop": [git_pin("r3", 3), {**folder, "sha256": "2"}], "theirs": []},
        "coordination": {"files": []},
    }
    (words,) = notes
    assert "projects.shop git:../shop: both branches moved this pin; the later one" in words


def promotion(at: str, version: str, number: str) -> Values:
    model = {"by": "ann", "action": "promote", "model": "task_router"}
    return {"at": at, **model, "version": version, "previous": "v0", "why": "", "number": number}


@pytest.mark.parametrize("swapped", [False, True])
def test_the_later_decision_is_champion_and_the_ledger_has_both(swapped: bool) -> None:
    champion = {"champion": "v0", "previous": None}
    start = promotion("2026-01-01T00:00:00+00:00", "v0", "1.0.0")
    base = {"champions": {"task_router": champion, "code_adapter": {"a": None}}, "ledger": [start]}
    versions = []
    for at, version in (("2026-01-03T00:00:00+00:00", "v2"), ("2026-01-02T09:00:00+02:00", "v1")):
        champions: Values = {"task_router": {"champion": version, "previous": "v0"}}
        line = promotion(at, version, "1.1.0")
        adapters: Values = {"code_adapter": {"a": None, version: None}}
        versions.append({"champions": {**champions, **adapters}, "ledger": [start, line]})
    ours, theirs = reversed(versions) if swapped else versions
    merged, notes = join_releases_locks(base, ours, theirs)
    assert merged["champions"]["task_router"] == {"champion": "v2", "previous": "v0"}
    assert set(merged["champions"]["code_adapter"]) == {"a", "v1", "v2"}
    assert [(line["action"], line["version"], line.get("number")) for line in merged["ledger"]] == [
        ("promote", "v0", "1.0.0"),
        ("promote", "v1", "1.1.0"),
        ("promote", "v2", "1.1.1"),  # a number names one version
        ("merge", "v2", None),
    ]
    assert notes[0].startswith("task_router: two branches decided; the later decision stands")


def test_stages_and_pins_that_nothing_declares_are_taken_out(bench: Workbench) -> None:
    bench.edit("params.yaml", lambda params: params["projects"].pop("a"))
    undeclared = find_undeclared(bench.project())
    assert (undeclared.stages, undeclared.pins) == (("words@a", "loud@a", "page@a"), {"sources.lock": ("projects.a",)})
    untouched = {name: entry for name, entry in bench.lock().items() if "@a" not in name}
    sentence = take_out_undeclared(bench.project())
    assert sentence.endswith("dvc.lock: words@a, loud@a, page@a; sources.lock: projects.a")
    assert bench.lock() == untouched
    assert set(read_yaml(bench.root / "sources.lock")["projects"]) == {"b"}
    assert take_out_undeclared(bench.project()) is None


def test_what_another_process_adds_meanwhile_is_declared(bench: Workbench) -> None:
    params = read_yaml(bench.root / "params.yaml")
    bench.edit("params.yaml", lambda params: params["projects"].pop("a"))
    project = bench.project()
    assert project.partitions == ("b",)
    write_yaml(bench.root / "params.yaml", params)
    assert not find_undeclared(project)


def test_a_joined_lock_is_written_as_dvc_writes_it(branched: Branches) -> None:
    bench = branched("elsewhere")
    assert git_merge.set_driver(bench.root)
    bench.git(*GIT["merge"])
    assert (bench.root / "dvc.lock").read_text() == yaml_text(read_yaml(bench.root / "dvc.lock"))
