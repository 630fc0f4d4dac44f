import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.observe import observe
from dvc.repo import Repo

from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.dagster_assets import _check_specs, _figure_results, build_assets
from cortex_pipelines.versioning.dvc.reconcile import _reasons
from cortex_pipelines.versioning.parameters import FILE, FOLDER, SHARED
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines_tests.versioning.toy import NoTracker, Workbench


def test_three_doors_give_one_version(tmp_path: Path) -> None:
    by_dagster, by_dvc, by_hand = (Workbench.create(tmp_path / door) for door in ("dagster", "dvc", "hand"))
    by_dagster.run_all()
    by_dvc.repro()
    for name, partition in by_hand.all_stages():
        by_hand.make(name, partition)
    assert by_dagster.lock() == by_dvc.lock() == by_hand.lock()
    assert len(by_dagster.lock()) == 8
    for entry in by_dagster.lock().values():
        for item in [*entry["deps"], *entry["outs"]]:
            assert content_md5(by_dagster.root / item["path"]) == item["md5"]
    assert by_dagster.sync() == 0, "a run by Dagster needs no sync"
    assert by_dvc.sync() == 12  # eight outputs, two notes and the loudness of two projects
    staleness = by_dvc.staleness()
    assert ({staleness.status(*stage)[0] for stage in by_dvc.all_stages()}, by_dvc.sync()) == ({"FRESH"}, 0)


def test_a_pin_observed_in_the_ui_has_the_version_that_a_run_reports(bench: Workbench) -> None:
    note = build_assets(bench.project(), NoTracker())[0]
    assert isinstance(note, dg.SourceAsset)
    assert observe([note], instance=bench.instance(), partition_key="a").success
    bench.run(["words", "loud"], "a")
    bench.run(["words", "loud"], "b")
    assert bench.sync() == 0, "all pins are known by now"


def test_an_unchanged_asset_materialised_again_keeps_its_run(tmp_path: Path) -> None:
    class Numbered(NoTracker):
        runs = 0

        def record(self, *given: object) -> str:
            self.runs += 1
            return f"{self.runs:032d}"

    bench, tracker = Workbench.create(tmp_path / "p"), Numbered()
    assets = build_assets(bench.project(), tracker)
    for _ in range(2):
        result = dg.materialize(assets, selection=["words"], partition_key="a", instance=bench.instance())
        (event,) = result.asset_materializations_for_node("words")
        assert event.metadata["mlflow/run_id"].value == f"{1:032d}"
    assert tracker.runs == 1


@pytest.mark.parametrize("alarms", [0, 2])
def test_an_alarm_is_a_check_that_warns(bench: Workbench, alarms: int) -> None:
    project = bench.project()
    folder = project.output("digest", None)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"alarms": alarms, "others": 7}))
    asset = replace(project.graph.assets["digest"], alarm="alarms")
    assert [spec.name for spec in _check_specs(asset)] == ["alarms"]
    (result,) = _figure_results(Stage(project, asset, None), lambda name: f"http://mlflow/{name}")
    assert (result.passed, result.severity) == (alarms == 0, dg.AssetCheckSeverity.WARN)
    assert result.metadata["alarms"].value == alarms
    assert result.metadata["report"].value == "http://mlflow/report.html", "a page that a browser opens"


PARAMETER_EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "nothing": lambda values: None,
    "a value": lambda values: values["loudness"].update(suffix="?"),
    "a type": lambda values: values["pages"].update(width=True),
    "a key more": lambda values: values["pages"].update(height=2),
    "a section gone": lambda values: values.pop("pages"),
    "null": lambda values: values.update(pages=None),
}


def test_parameters_are_compared_as_dvc_compares_them(bench: Workbench) -> None:
    bench.repro(["page@a"])
    path = bench.root / SHARED
    parameters = path.read_text()
    for name, edit in PARAMETER_EDITS.items():
        values = json.loads(parameters)
        edit(values)
        path.write_text(json.dumps(values))
        cached_reasons: dict[tuple[str, str | None], list[str]] = {}
        with Repo(str(bench.root)) as repo, repo.lock:
            for stage in repo.index.stages:
                reasons = _reasons(bench.root, stage, cached_reasons)
                expected = [re.sub(rf"^{FOLDER}/[\w/]+\.json", FILE, words) for words in dvc_reasons(stage)]
                assert reasons == expected, (name, stage)
                assert bool(reasons) == stage.changed(), (name, stage)
        path.write_text(parameters)


def dvc_reasons(stage: Any) -> list[str]:
    """What DVC itself says of a stage, every file parsed again."""
    reasons = ["command changed"] if stage.changed_stage() else []
    for entry in [*stage.deps, *stage.outs]:
        for state_or_keys in entry.status().values():
            if isinstance(state_or_keys, dict):
                reasons += [f"{entry.def_path}:{key} {state}" for key, state in sorted(state_or_keys.items())]
            else:
                reasons.append(f"{entry.def_path} {state_or_keys}")
    return reasons
