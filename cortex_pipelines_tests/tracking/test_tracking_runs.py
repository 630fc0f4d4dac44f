import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel
from cortex_pipelines.release.ledger import record as ledger_record
from cortex_pipelines.serving import pyfunc
from cortex_pipelines.tracking import registry
from cortex_pipelines.tracking.commits import git_commit
from cortex_pipelines.tracking.experiments import find_run
from cortex_pipelines.tracking.lineage import LineageNode, lineage, render
from cortex_pipelines.tracking.model_versions import (
    SIGNATURES,
    ModelMetadata,
    enter_version,
    read_metadata,
    write_model_file,
)
from cortex_pipelines.tracking.recorded_versions import known_versions, last_seconds
from cortex_pipelines.tracking.runs import MlflowTracker, processor_type
from cortex_pipelines.tracking.store import database_uri, open_client
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.materialise import ContractCheck, Version
from cortex_pipelines.versioning.project import Project, Stage
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import Workbench


@pytest.fixture(scope="module")
def tracked_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, dict[Any, str]]:
    bench = Workbench.create(tmp_path_factory.mktemp("tracked") / "p")
    return bench, {stage: record(bench, *stage) for stage in bench.all_stages()}


def record(
    bench: Workbench,
    name: str,
    partition: str | None,
    metrics: str | None = None,
    file: str = "metrics.json",
    **changes: Any,
) -> str:
    version = bench.make(name, partition)
    project = bench.project()
    if metrics:  # as a model's folder holds them
        (project.output(name, partition) / file).write_text(metrics)
    version = Version(version.value, version.made_from, True, **changes)
    return MlflowTracker().record(Stage(project, project.graph.assets[name], partition), version, "dagster-1")


def output_digest(root: Path, run_id: str) -> str | None:
    inputs = open_client(root).get_run(run_id).inputs.dataset_inputs
    outputs = [each.dataset.digest for each in inputs if any(tag.value == "output" for tag in each.tags)]
    return outputs[0] if outputs else None


def test_tags_name_run_asset_versions_and_inputs(tracked_runs: tuple[Workbench, dict[Any, str]]) -> None:
    bench, runs = tracked_runs
    lock = {address: stage["outs"][0]["md5"] for address, stage in bench.lock().items()}
    tags = open_client(bench.root).get_run(runs["page", "a"]).data.tags
    assert tags["dagster_run_id"] == "dagster-1"
    assert (tags["asset_key"], tags["partition"]) == ("page", "a")
    assert (tags["git_commit"], tags["dvc_md5"]) == (bench.git("rev-parse", "HEAD"), lock["page@a"])
    assert (tags["input.words"], tags["input.digest"]) == (lock["words@a"], lock["digest"])
    fan_in = open_client(bench.root).get_run(runs["tally", None]).data.tags
    assert (fan_in["input.loud/a"], fan_in["input.loud/b"]) == (lock["loud@a"], lock["loud@b"])
    assert json.loads(open_client(bench.root).get_run(runs["words", "b"]).data.tags["pin.note"]) == ["one", "two"]


def test_a_version_made_without_a_run_is_of_the_commit_that_locked_it(bench: Workbench) -> None:
    commits = []
    for names in ("ab", "a"):
        for name in names:
            bench.edit("sources.lock", lambda v, name=name, names=names: v["projects"].update({name: [names]}))
            bench.make("words", name)
        bench.commit()
        commits.append(bench.git("rev-parse", "HEAD"))
    bench.commit()
    for name, commit in zip(("b", "a"), commits, strict=True):
        run = open_client(bench.root).get_run(record(bench, "words", name))
        assert (run.data.tags["git_commit"], run.data.tags["processor"]) == (commit, "")
        time = 1000 * int(bench.git("show", "-s", "--format=%ct", commit))
        assert (run.info.start_time, run.info.end_time) == (time, time)
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["third"]))  # and not committed
    tags = open_client(bench.root).get_run(record(bench, "words", "a")).data.tags
    assert (tags["git_commit"], tags["processor"]) == (bench.git("rev-parse", "HEAD"), processor_type())
    assert last_seconds(bench.root).keys() <= {("words", "a")}


def test_a_release_that_came_by_git_is_reproduced_from_the_files_of_its_commit(bench: Workbench) -> None:
    versions = {name: bench.make("words", name).value for name in ("a", "b")}
    # of the two, only one was released before the pins moved on
    bench.edit("dvc.lock", lambda v: v["stages"].update({"words_release@a": {"cmd": "cortex run words_release"}}))
    bench.commit()
    released = (bench.root / "sources.lock").read_text()
    bench.edit("sources.lock", lambda v: v["projects"].update(c=["moved on"]))
    bench.commit()
    current = (bench.root / "sources.lock").read_text()
    for name, expected in (("a", released), ("b", current)):
        run = record(bench, "words", name)
        number = enter_version(bench.project(), ReleasedModel("words", name), versions[name], run)
        assert registry.locks_of(bench.project(), f"words-{name}", number)["sources.lock"].strip() == expected.strip()


def test_digests_and_runs_are_found_by_version(
    tracked_runs: tuple[Workbench, dict[Any, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, runs = tracked_runs
    version = bench.lock()["loud@b"]["outs"][0]["md5"]
    assert output_digest(bench.root, runs["loud", "b"]) == version
    assert find_run(bench.root, "loud", "b", version)[0] == runs["loud", "b"]
    assert find_run(bench.root, "loud", "b", "0" * 32) is None
    assert find_run(bench.root, "nothing", None, version) is None
    run = runs["loud", "b"]
    experiment = open_client(bench.root).get_run(run).info.experiment_id
    monkeypatch.setattr("cortex_pipelines.tracking.runs._EXPERIMENTS", {})  # as if another process had opened it
    for uri in (database_uri(bench.root), f"{database_uri(bench.root)}?timeout=30"):  # its own, and as of a server
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        address = MlflowTracker().link(bench.root, run).partition("?")[0]
        assert address.endswith(f"/experiments/{experiment}/runs/{run}")


def test_metrics_rows_observations_and_parameters_are_kept(bench: Workbench) -> None:
    bench.edit("params.yaml", lambda v: v["loudness"].update(suffix="!" * 7000))
    bench.make("words", "a")
    run_id = record(
        bench,
        "loud",
        "a",
        '{"score": 0.5, "unknown": null}',
        checks=(ContractCheck("words", 2),),
        observations={"seconds": 2.0},
    )
    data = open_client(bench.root).get_run(run_id).data
    assert data.metrics == {"score": 0.5, "rows/words": 2.0, "observed/seconds": 2.0}
    assert data.params == {"loudness.suffix": "!" * 6000}


def test_outside_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == ""


def test_processes_that_come_first_together_find_one_database(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from cortex_pipelines.tracking.experiments import experiment_id;"
        "print(experiment_id(Path(sys.argv[1]), 'words'))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert len({words.strip() for words, _ in outputs}) == 1
    assert database_uri(tmp_path).startswith("sqlite:////")


def enter(bench: Workbench, version: str, run_id: str, name: str = "words-a") -> str:
    client = open_client(bench.root)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    tags = {"dvc_md5": version, "model_asset": "page", "partition": "a"}
    entry = client.create_model_version(name, f"runs:/{run_id}/m", run_id, tags=tags)
    client.set_registered_model_alias(name, "challenger", str(entry.version))
    return str(entry.version)


def test_aliases_and_tags_are_what_the_ledger_says(tracked_runs: tuple[Workbench, dict[Any, str]]) -> None:
    bench, runs = tracked_runs
    project, model = bench.project(), ReleasedModel("words", "a")
    assert registry.follow_ledger(project, ReleasedModel("nobody", None)) == 0
    version = bench.lock()["page@a"]["outs"][0]["md5"]
    number = enter(bench, version, runs["page", "a"])
    assert registry.resolve(project, "words-a")[1] == number  # no champion: the challenger
    write_course(bench, model, "promote", version, "1.0.0", ChampionPin(version, None))
    assert (registry.follow_ledger(project, model), registry.follow_ledger(project, model)) == (1, 0)
    other = enter(bench, "1" * 32, runs["page", "a"])
    assert registry.resolve(project, "words-a@challenger")[1] == other
    assert registry.resolve(project, "words-a")[1] == number
    write_course(bench, model, "canary", "1" * 32, "1.1.0", ChampionPin(version, None))
    assert registry.follow_ledger(project, model) == 1
    assert registry.registered(project, "words-a") == {
        "challenger_number": other,
        "canary_number": other,
        "champion_number": number,
    }
    assert (stage(project, number), stage(project, other)) == (("champion", "1.0.0"), ("canary", "1.1.0"))
    write_course(bench, model, "promote", "1" * 32, "1.1.0", ChampionPin("1" * 32, version))
    assert registry.follow_ledger(project, model) == 2, "the canary's alias goes"
    assert (stage(project, number), stage(project, other)) == (("archived", "1.0.0"), ("champion", "1.1.0"))
    write_course(bench, model, "rollback", None, None, ChampionPin(None, None))
    assert registry.follow_ledger(project, model) == 1
    assert stage(project, other) == ("archived", "1.1.0")
    with pytest.raises(LookupError, match="no version named champion"):
        registry.resolve(project, "words-a@champion")


def write_course(
    bench: Workbench, model: ReleasedModel, action: str, version: str | None, number: str | None, pin: ChampionPin
) -> None:
    line = LedgerEntry("now", "someone", action, model.name, version, None, "", number)
    ledger_record(bench.root, model, pin, line)


def stage(project: Project, number: str) -> tuple[str, str]:
    tags = registry.resolve(project, f"words-a/{number}")[2]
    return tags["stage"], tags["semantic_version"]


def test_a_lineage_shows_each_version_once(tracked_runs: tuple[Workbench, dict[Any, str]]) -> None:
    bench, runs = tracked_runs
    version = bench.lock()["page@a"]["outs"][0]["md5"]
    number = enter(bench, version, runs["page", "a"], "lineage-a")
    tree = lineage(bench.project(), f"lineage-a/{number}")
    (page,) = tree.made_from
    assert {(node.name, node.partition) for node in page.made_from} == {("words", "a"), ("digest", None)}
    lines = render(tree).splitlines()
    assert lines[:2] == [f"lineage-a version {number}  {version[:8]}", f"└─ page of a  {version[:8]}"]
    assert [line.strip("│ ") for line in lines if "note of a" in line] == ["└─ note of a  one, two"]
    assert sum("words of a" in line for line in lines) == 2
    assert lines[-1].endswith("as above"), "met twice, opened once"


def test_a_warm_start_leads_to_its_parent(bench: Workbench) -> None:
    parent = bench.make("words", "a").value
    first = record(bench, "words", "a", json.dumps({"parent": None}), "training.json")
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    second = record(bench, "words", "a", json.dumps({"parent": parent}), "training.json")
    client = open_client(bench.root)
    assert "parent" not in client.get_run(first).data.tags
    assert client.get_run(second).data.tags["parent"] == parent
    number = enter(bench, bench.lock()["words@a"]["outs"][0]["md5"], second)
    client.set_model_version_tag("words-a", number, "model_asset", "words")
    (child,) = lineage(bench.project(), "words-a").made_from
    (node_found,) = [node for node in child.made_from if node.name == "words"]
    assert (node_found.partition, node_found.version, node_found.run_id) == ("a", parent, first)


def test_what_no_run_made_ends_the_branch(tracked_runs: tuple[Workbench, dict[Any, str]]) -> None:
    bench, runs = tracked_runs
    number = enter(bench, "2" * 32, runs["page", "a"], "strange-a")
    assert lineage(bench.project(), f"strange-a/{number}").made_from == [LineageNode("page", "a", "2" * 32)]


def test_the_course_of_a_training_is_shown_step_by_step(bench: Workbench) -> None:
    bench.make("words", "a")
    bench.make("loud", "a")
    steps = [{"step": n, "loss": 1 / n, "tokens": 10 * n} for n in range(1, 700)]
    course = {"base": {"step": 1}, "tasks": ["naming"], "steps": steps, "partial": None}
    course["validation"] = [{"step": 0, "loss": 2.5}, {"step": 699, "loss": 0.5}]
    run = record(bench, "loud", "a", json.dumps(course), "training.json")
    client = open_client(bench.root)
    assert set(client.get_run(run).data.metrics) >= {"steps/loss", "steps/tokens"}
    points = [(point.step, point.value) for point in client.get_metric_history(run, "validation/loss")]
    assert points == [(0, 2.5), (699, 0.5)]
    assert len(client.get_metric_history(run, "steps/loss")) == 699


def test_trials_of_a_search_are_nested_runs_with_a_picture(bench: Workbench) -> None:
    bench.make("words", "a")
    bench.make("loud", "a")
    parent = record(bench, "loud", "a", json.dumps(load_cases(__file__)["TRIALS"]), "trials.json")
    client = open_client(bench.root)
    assert {"trials.json", "importance.png"} <= {file.path for file in client.list_artifacts(parent)}
    experiment = client.get_run(parent).info.experiment_id
    nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    runs = {run.data.tags["trial"]: run for run in nested}
    assert [runs[number].info.status for number in "012"] == ["FINISHED", "KILLED", "FAILED"]
    assert (runs["0"].data.params, runs["0"].data.metrics) == ({"rate": "0.1", "decay": "1"}, {"value": 0.25})
    history = client.get_metric_history(runs["0"].info.run_id, "value")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert [runs[number].data.tags["best"] for number in "012"] == ["true", "false", "false"]
    assert runs["2"].data.metrics == {}


@pytest.mark.parametrize("asset", sorted(SIGNATURES))
def test_mlflow_knows_what_a_model_takes_and_gives(tmp_path: Path, asset: str) -> None:
    from mlflow.models import Model

    write_model_file(ModelMetadata(asset, f"{asset}-a", "2" * 32, "1" * 32), tmp_path)
    model = Model.load(str(tmp_path))
    assert read_metadata(tmp_path) == (asset, f"{asset}-a", "2" * 32)
    assert model.flavors["python_function"]["loader_module"] == pyfunc.__name__
    assert model.signature.inputs.input_names() == list(SIGNATURES[asset].inputs)
    assert model.signature.outputs.input_names() == list(SIGNATURES[asset].outputs)
    assert model.load_input_example(str(tmp_path)) == SIGNATURES[asset].example
    module, _, name = SIGNATURES[asset].loads.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_a_model_that_nobody_described_has_no_model_file(tmp_path: Path) -> None:
    write_model_file(ModelMetadata("words", "words", "2" * 32, "1" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_reading_gives_what_the_client_gives(tracked_runs: tuple[Workbench, dict[Any, str]]) -> None:
    bench, _ = tracked_runs
    record(bench, "page", "a")  # a second run of the same version: the newer one counts
    recorded = known_versions(bench.root)
    for name, partition in bench.all_stages():
        version = bench.lock()[f"{name}@{partition}" if partition else name]["outs"][0]["md5"]
        run_found = find_run(bench.root, name, partition, version)
        assert run_found is not None
        run, digest = recorded[name, partition or "", version]
        assert (run, digest) == (run_found[0], output_digest(bench.root, run_found[0]))
        assert digest == version


def test_the_client_is_asked_where_runs_are_kept_elsewhere(tracked_runs, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _ = tracked_runs
    local = known_versions(bench.root)
    other_uri = f"{database_uri(bench.root)}?timeout=30"  # the same runs by another address
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other_uri)
    assert known_versions(bench.root) == local


def test_without_a_database_nothing_is_known_and_none_is_made(tmp_path: Path) -> None:
    assert known_versions(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
