import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.observe import observe

from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dagster.dagster_assets import _check_specs, _figure_results, build_assets
from cortex_pipelines.versioning.parameters import SHARED
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines_tests.versioning.toy import CODE, NoTracker, Workbench, begin_made, reasons


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
    assert told_of_digest(by_dvc) == told_of_digest(by_dagster), "code and inputs, too"


def told_of_digest(bench: Workbench) -> dict[str, str]:
    """Tags of the latest event by name; pointers to other events are those of one instance."""
    tags = bench.instance().get_latest_materialization_event(dg.AssetKey("digest")).asset_materialization.tags
    versions = {name: value for name, value in tags.items() if "event_pointer" not in name}
    assert {name.partition("/input_data_version/")[0] for name in versions} >= {"dagster", "dagster/code_version"}
    return versions


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
        own, of_dvc = reasons(bench)
        assert own == of_dvc, name
        path.write_text(parameters)


def test_files_are_compared_as_dvc_compares_them(tmp_path: Path) -> None:
    bench = begin_made(tmp_path / "p", ("a", "b"))
    data = bench.root / "data"
    (cached,) = (bench.root / ".dvc" / "cache").rglob(str(content_md5(data / "words" / "a" / "words.parquet"))[2:])
    assert not any(reasons(bench)[0].values())

    def rename_command(lock: dict[str, Any]) -> None:
        lock["stages"]["page@a"]["cmd"] += " "

    def forget(lock: dict[str, Any]) -> None:
        del lock["stages"]["loud@b"], lock["stages"]["page@b"]["params"], lock["stages"]["digest"]["deps"][0]

    def damage() -> None:
        cached.chmod(0o644)  # of what is protected, DVC checks no hash
        cached.write_bytes(b"damaged")

    edits: dict[str, Callable[[], object]] = {
        "an output damaged in the cache": damage,
        "an output edited": lambda: (data / "words" / "b" / "words.parquet").write_bytes(b""),
        "a file more in an output": lambda: (data / "loud" / "b" / "more.txt").write_text("more"),
        "an output deleted": lambda: shutil.rmtree(data / "words" / "a"),
        "code edited": lambda: (bench.root / "toy" / f"{CODE[0]}.py").write_text("edited"),
        "a parameter file deleted": (bench.root / SHARED).unlink,
        "a lock deleted": (bench.root / "sources.lock").unlink,
        "another command": lambda: bench.edit("dvc.lock", rename_command),
        "entries gone from dvc.lock": lambda: bench.edit("dvc.lock", forget),
    }
    seen = [reasons(bench)[0]]
    for name, edit in edits.items():
        edit()
        own, of_dvc = reasons(bench)
        assert own == of_dvc, name
        seen.append(own)
    assert [name for name, (before, after) in zip(edits, pairwise(seen), strict=True) if before == after] == []
