import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import polars as pl
import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.models.base_check import BaseFiles
from cortex_pipelines.models.known import known_bases
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.orchestration.planning import (
    PlannedStage,
    data_left_out,
    duration,
    estimate_new,
    plan_stages,
    stages_of,
    unused_code,
)
from cortex_pipelines.orchestration.stage_costs import Estimate, Past, ProjectSize, fitted, total
from cortex_pipelines.tracking.recorded_versions import Run, last_runs, last_seconds
from cortex_pipelines.tracking.store import database
from cortex_pipelines.versioning.project import Project, write_yaml
from cortex_pipelines_tests.versioning.toy import Workbench

TRAINED, LAST_RUN = ("code_adapter", "code_adapter_evaluation"), "its last run here"  # estimated by tokens and texts


def addresses(bench: Workbench, only: str | None = None) -> list[str]:
    return [step.address for step in plan_stages(bench.project(), only)]


def test_what_is_stale_and_what_depends_on_it_in_order(bench: Workbench) -> None:
    assert addresses(bench) == ["words@a", "words@b", "loud@a", "loud@b", "tally", "digest", "page@a", "page@b"]
    bench.repro()
    assert addresses(bench) == []
    bench.edit("params.yaml", lambda v: v["projects"]["a"].update(loudness={"suffix": "."}))
    assert (addresses(bench), addresses(bench, "b")) == (["loud@a", "tally", "digest", "page@a", "page@b"], [])
    (loud, *_) = plan_stages(bench.project())
    assert loud.rows == 2
    assert (loud.seconds, loud.cost.basis) == (None, "no run here yet")
    runs = {("loud", "b"): Run(7.0, None), ("tally", ""): Run(3.0, 250.0)}
    with mock.patch("cortex_pipelines.orchestration.planning.last_runs", return_value=runs):
        loud, tally, *_ = plan_stages(bench.project())
    around = fitted()["overhead"]
    assert (loud.seconds, loud.cost.basis) == (7.0 + around, "the last run for b")
    assert (tally.seconds, tally.cost.basis) == (3.0 + around, "its last run here")
    assert tally.cost.memory
    assert tally.cost.memory.low < tally.cost.memory.expected == 250.0 < tally.cost.memory.high


def test_durations_are_those_of_the_last_run(tmp_path: Path) -> None:
    assert last_seconds(tmp_path) == {}
    path = database(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (run_uuid, status, lifecycle_stage, start_time, end_time)")
        connection.execute("CREATE TABLE tags (run_uuid, key, value)")
        connection.execute("CREATE TABLE latest_metrics (run_uuid, key, value)")
        connection.execute("INSERT INTO latest_metrics VALUES ('2', 'observed/memory_mb', 300.0)")
        for run, start, end in (("1", 0, 9000), ("2", 10_000, 14_500), ("3", 20_000, 20_100)):
            connection.execute("INSERT INTO runs VALUES (?, 'FINISHED', 'active', ?, ?)", (run, start, end))
            connection.execute("INSERT INTO tags VALUES (?, 'asset_key', 'words')", (run,))
            connection.execute("INSERT INTO tags VALUES (?, 'partition', 'a')", (run,))
    assert last_seconds(tmp_path) == {("words", "a"): 4.5}
    assert last_runs(tmp_path)["words", "a"].memory == 300.0


def test_what_a_limit_leaves_out_is_named_with_the_key_that_lifts_it(tmp_path: Path) -> None:
    entry = {"sources": [{"directory": "x"}], "pairs": {"max_commits": 2}}
    project_settings = {"adapters": {"max_tokens": 1000}, "datasets": {"max_train": 10}}
    control = {"general": {"project": "shop"}}
    write_yaml(tmp_path / "params.yaml", {"projects": {"shop": entry | project_settings}, **control})
    project = open_project(tmp_path)
    assert list(data_left_out(project)) == []
    for name, figures in (
        ("naming_dataset", {"left_out_sample": 1234}),
        ("completion_dataset", {"left_out_sample": 0}),
        ("code_adapter", {"train_tokens": 990}),
    ):
        folder = tmp_path / "data" / name / "shop"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(figures))
    commits = tmp_path / "data" / "repository_commits" / "shop"
    commits.mkdir(parents=True)
    pl.DataFrame({"commit": ["1", "2", "3"]}).write_parquet(commits / "commits.parquet")
    history, rows, tokens = data_left_out(project)
    assert "the newest 2 of 3 commits; projects.shop.pairs.max_commits: null" in history
    assert "1,234 rows are left out of naming_dataset" in rows
    assert "training stops at 1,000 tokens; projects.shop.adapters.max_tokens" in tokens


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (6000, "1 h 40 min")])
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_code_that_is_not_used_is_named_with_what_helps(tmp_path: Path) -> None:
    sources = {"sources": [{"directory": "x"}]}
    licences = {"ingestion": {"trainable_licences": ["GPL-3.0-only"]}}  # what the sentence advises
    write_yaml(tmp_path / "params.yaml", {"projects": {"shop": sources | licences, "b": sources}})
    project = open_project(tmp_path)
    failed = ["unit_splits@shop", "unit_splits@b", "code_units@shop", "task_router"]
    assert list(unused_code(project, failed)) == []  # nothing is read yet
    folder = tmp_path / "data" / "repository_files" / "shop"
    folder.mkdir(parents=True)
    rows = [
        ("go", True, None, False),
        ("python", False, "GPL-3.0-only", False),
        ("python", False, None, False),
        ("python", False, "GPL-3.0-only", False),
        ("python", False, "MIT", True),
        ("markdown", False, "MIT", True),
    ]
    columns = ["language", "generated", "licence", "trainable"]
    pl.DataFrame(rows, columns, orient="row").write_parquet(folder / "files.parquet")
    skipped = {"path": ["big.py"], "reason": ["too_large"], "detail": ["9 bytes; the limit is 8"]}
    pl.DataFrame(skipped).write_parquet(folder / "skipped_files.parquet")
    (sentence,) = unused_code(project, failed)
    assert sentence.startswith("shop: 1 of its files are code to train on (python, javascript,")
    assert "1 generated, compiled, vendored or minified; add the source" in sentence
    assert "3 whose licence is not in ingestion.trainable_licences" in sentence
    assert "(GPL-3.0-only: 2, none stated: 1)" in sentence
    assert "projects.shop.ingestion.trainable_licences" in sentence
    assert sentence.endswith("1 too_large (such as big.py: 9 bytes; the limit is 8)")


def test_a_project_without_a_control_is_told_before_it_is_trained(tmp_path: Path) -> None:
    write_yaml(tmp_path / "params.yaml", {"projects": {"shop": {"sources": [{"directory": "x"}]}}})
    (sentence,) = data_left_out(open_project(tmp_path))
    assert sentence.startswith("shop: no project is the control for other code")
    assert "`cortex add --control other pypi:flask==3.1.3`" in sentence


def all_steps(project: Project, only: str | None = None) -> dict[str, PlannedStage]:
    stale = [
        SimpleNamespace(asset=asset, partition=partition, changed=True)
        for asset in project.graph.order
        for partition in project.partitions_of(asset)
    ]
    with mock.patch("cortex_pipelines.orchestration.planning.dvc_views", return_value=stale):
        return {step.address: step for step in plan_stages(project, only)}


def _completions(root: Path, name: str, completion: str) -> None:
    folder = root / "data" / "completion_dataset" / name
    folder.mkdir(parents=True)
    rows = pl.DataFrame({"prompt": ["1234567"] * 10, "completion": [completion] * 10})
    rows.write_parquet(folder / "train.parquet")


def test_a_training_takes_as_long_as_its_data_and_no_longer_than_the_limit(tmp_path: Path) -> None:
    projects: dict[str, Any] = {name: {"sources": [{"directory": "x"}]} for name in ("some", "much", "none")}
    projects["much"]["adapters"] = {"search": {"trials": 3}}
    adapters = {"max_tokens": 5000, "search": {"trials": 0, "max_tokens": 3000}}
    write_yaml(tmp_path / "params.yaml", {"projects": projects, "adapters": adapters})
    _completions(tmp_path, "some", "1234567890")
    _completions(tmp_path, "much", "1234567890" * 1000)
    (tmp_path / "x").mkdir()
    with mock.patch("cortex_pipelines.orchestration.planning.project_size", return_value=(340, 0)):
        steps = all_steps(open_project(tmp_path))
    limited = steps["code_adapter@some"]
    assert (limited.seconds, limited.cost.basis) == (50 / 230, "some 50 tokens at 230/s")
    much = steps["code_adapter@much"]
    assert much.cost.basis == "at most 5,000 tokens and 15,000 in the search for settings at 230/s"
    assert much.seconds == 20_000 / 230
    assert steps["code_adapter@none"].cost.basis == "some 100 tokens at 230/s"
    for name in ("some", "much"):
        metrics = tmp_path / "data" / "code_adapter" / name / "metrics.json"
        metrics.parent.mkdir(parents=True)
        write_json(metrics, {"train_tokens": 45})
    runs = {(name, part): Run(9.0, None) for name in TRAINED for part in ("some", "much")}
    with (
        mock.patch("cortex_pipelines.orchestration.planning.project_size", return_value=(340, 0)),
        mock.patch("cortex_pipelines.orchestration.planning.last_runs", return_value=runs),
    ):
        steps = all_steps(open_project(tmp_path))
    assert steps["code_adapter@some"].cost.basis == steps["code_adapter_evaluation@some"].cost.basis == LAST_RUN
    assert steps["code_adapter@much"].seconds == much.seconds  # its last run took 45 tokens
    assert steps["code_adapter@none"].cost.basis == "some 100 tokens at 230/s"  # and that of others says nothing
    assert "texts at" in steps["code_adapter_evaluation@none"].cost.basis
    cut_off = tmp_path / "data" / "tests_dataset" / "some" / "test.parquet"
    cut_off.parent.mkdir(parents=True)
    cut_off.write_bytes(b"PAR1")  # of an interrupted copy
    steps = all_steps(open_project(tmp_path))  # sources without a pin cannot be listed
    assert steps["code_adapter@none"].seconds is None
    (known,) = (base for base in known_bases() if base.name == "Qwen/Qwen2.5-Coder-1.5B")
    base = BaseFiles(known.family, known.config, known.shape, frozenset(), True, "", None)
    with (
        mock.patch("cortex_pipelines.orchestration.planning._base", return_value=base),
        mock.patch("cortex_pipelines.orchestration.planning.this_machine", return_value=Machine(2, 2e10, 0, True)),
    ):
        steps = all_steps(open_project(tmp_path))
    larger = steps["code_adapter@some"].cost
    assert larger.basis == "some 50 tokens at 20/s"
    assert larger.memory is not None
    assert 6000 < larger.memory.expected < 7500
    assert steps["code_adapter_evaluation@some"].cost.basis.endswith("texts at 0.3/s")


def test_an_evaluation_is_bounded_by_what_a_small_project_can_hold_out(tmp_path: Path) -> None:
    sources = {"sources": [{"directory": "x"}]}
    write_yaml(tmp_path / "params.yaml", {"projects": {"small": sources, "large": sources}})
    project = open_project(tmp_path)
    sizes = {"small": (1_500, 1), "large": (2_000_000, 1)}
    with mock.patch("cortex_pipelines.orchestration.planning.project_size", side_effect=lambda _, name: sizes[name]):
        small, large = (estimate_new(project, name, sizes[name][0]) for name in ("small", "large"))
    assert small["units"] == "some 3 functions, classes and methods"
    assert large["units"] == "some 4,000 functions, classes and methods"
    assert "14 s to evaluate (at most 47 texts" in small["takes"]
    assert "35 min to evaluate" in large["takes"]


def test_every_asset_is_estimated_before_it_ever_ran() -> None:
    project = open_project(Path(__file__).parents[2])
    small, large = ProjectSize(1e5, 100, 50), ProjectSize(2e6, 3000, 3000)
    nothing = Past({}, lambda _: small)
    for asset in project.graph.order:
        if asset.name not in TRAINED and not asset.on_request:
            cost = nothing.cost(asset.name, "p" if asset.partitioned else None)
            assert cost.seconds, asset.name
            assert 0 < cost.seconds.low <= cost.seconds.expected <= cost.seconds.high, asset.name
            assert cost.disk
    sizes = {"p": small, "q": large}
    slow = Past({("code_units", "p"): Run(100.0, None)}, lambda name: sizes.get(str(name)))
    seconds = [past.cost("code_graph", "q").seconds for past in (Past({}, lambda _: large), slow)]
    assert seconds[0]
    assert seconds[1]
    assert seconds[1].expected > 10 * seconds[0].expected  # this machine took that much longer for the other one
    assert nothing.cost("code_graph", "p").memory
    assert total([Estimate(3, 2, 6), Estimate(5, 5, 9)]) == Estimate(8, 7, 13)


def test_runs_of_a_project_without_code_say_nothing_of_the_machine() -> None:
    sizes = {"prose": ProjectSize(0, 1, 0), "shop": ProjectSize(1e5, 100, 50)}
    runs = {(asset, "prose"): Run(1.0, None) for asset in ("augmented_units", "unit_splits")}
    after, before = (Past(runs, lambda name: sizes.get(str(name))) for runs in (runs, {}))
    for asset in ("code_units", "unit_splits"):
        assert after.cost(asset, "shop").seconds == before.cost(asset, "shop").seconds, asset


def test_a_run_for_one_project_makes_what_its_control_needs(tmp_path: Path) -> None:
    projects = {name: {"sources": [{"directory": "x"}]} for name in ("shop", "other", "third")}
    write_yaml(tmp_path / "params.yaml", {"projects": projects, "general": {"project": "other"}})
    project = open_project(tmp_path)
    stages = stages_of(project, "shop")
    assert {partition for _, partition in stages} == {None, "shop", "other"}
    assert ("completion_dataset", "other") in stages
    assert ("code_adapter", "other") not in stages
    assert ("code_units", "other") in stages_of(project, "shop", {"code_units", "general_code"})
    assert ("code_units", "other") not in stages_of(project, "shop", {"code_units"})
    assert {partition for _, partition in stages_of(project, "other")} == {None, "other"}
    assert ("code_adapter", "third") in stages_of(project, None)
    assert not any(address.endswith("@third") for address in all_steps(project, "shop"))
