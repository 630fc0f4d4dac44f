"""Forgetting: tombstones, the models that are named, and what is deleted."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from cortex_pipelines.cli.forget import forget
from cortex_pipelines.config import load_parameters
from cortex_pipelines.operations.projects import forgetting
from cortex_pipelines.operations.projects.forgetting import (
    bury,
    mark,
    purge,
    tombstones,
    trained_on,
)
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, project_key
from cortex_pipelines.release.ledger import ledger
from cortex_pipelines.serving.engines.opening import CACHE
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines_tests.versioning.toy import Workbench

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def test_an_author_has_a_tombstone_in_each_project_and_no_name(root: Path) -> None:
    privacy = load_parameters(root).privacy
    stones = tombstones(root, "Ada@Acme.org", None, None, None)
    assert [stone.project for stone in stones] == sorted(load_parameters(root).projects)
    key = project_key(str(stones[0].project), privacy)
    assert stones[0].author == author_pseudonym("ada@acme.org", key)
    assert len({stone.author for stone in stones}) == len(stones)
    assert bury(root, stones) == stones
    text = (root / "params.yaml").read_text()
    assert "acme" not in text.lower()
    assert load_parameters(root).privacy.forgotten == tuple(stones)


def test_tombstones_are_written_once_and_comments_stay(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    stones = tombstones(root, None, "src/**", "git:.", None)
    assert bury(root, stones) == stones
    assert bury(root, stones) == []
    more = tombstones(root, None, "docs", None, sorted(load_parameters(root).projects)[0])
    assert bury(root, more) == more
    after = (root / "params.yaml").read_text()
    assert [line.split("#")[1:] for line in before.splitlines() if "#" in line] == [
        line.split("#")[1:] for line in after.splitlines() if "#" in line
    ]
    assert len(load_parameters(root).privacy.forgotten) == 2


def test_what_is_asked_for_has_to_be_there(root: Path) -> None:
    with pytest.raises(ProjectError, match="no project nothing; projects"):
        tombstones(root, None, "a", None, "nothing")
    with pytest.raises(ProjectError, match="say what to forget"):
        tombstones(root, None, None, None, None)


def record(bench: Workbench, name: str, partition: str | None) -> str:
    version = bench.make(name, partition)
    project = bench.project()
    made = Version(version.value, version.made_from, True)
    asset = project.graph.assets[name]
    return MlflowTracker().record(project, asset, partition, made, "dagster-1")


@pytest.mark.slow
def test_models_are_named_marked_and_former_versions_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "INGESTED", ("words",))
    bench = Workbench.create(tmp_path / "p")
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "secret"]))
    for stage in bench.all_stages()[:-1]:  # one by Dagster, with its events
        bench.make(*stage)
    assert bench.run(["page"], "b")
    assert bench.run(["loud"], "a")
    runs = {stage: record(bench, *stage) for stage in bench.all_stages()}
    client = open_client(bench.root)
    for partition in ("a", "b"):
        md5 = bench.lock()[f"page@{partition}"]["outs"][0]["md5"]
        name = f"page-{partition}"
        client.create_registered_model(name)
        run = runs["page", partition]
        tags = {"dvc_md5": md5, "model_asset": "page", "partition": partition}
        client.create_model_version(name, f"runs:/{run}/model", run_id=run, tags=tags)

    models = trained_on(bench.project(), ["a"])
    # page@b reads the sum over all projects, so it was made from a as well
    assert [(m.name, m.number, m.projects) for m in models] == [
        ("page-a", "1", ("a",)),
        ("page-b", "1", ("a",)),
    ]
    assert trained_on(bench.project(), ["nothing"]) == []
    mark(bench.project(), models, "tester", "2030-01-01T00:00:00+00:00", "asked for")
    assert client.get_model_version("page-a", "1").tags["forgotten"] == "a"
    assert [(e.action, e.model, e.why) for e in ledger(bench.root)] == [
        ("forget", "page-a", "1: asked for"),
        ("forget", "page-b", "1: asked for"),
    ]

    old = bench.lock()["loud@a"]["outs"][0]["md5"]
    cache = bench.root / ".dvc" / "cache" / "files" / "md5"
    assert (cache / old[:2] / old[2:]).exists()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one"]))
    for stage in bench.all_stages():
        bench.make(*stage)
    rows = bench.root / ".cortex" / "cache" / "rows" / "words"
    rows.mkdir(parents=True, exist_ok=True)
    converted = bench.root / CACHE / "adapter"
    converted.mkdir(parents=True)

    with Repo(bench.root) as repo, repo.config.edit("local") as config:
        config["remote"]["shared"] = {"url": str(bench.root / "elsewhere")}
    done = purge(bench.project(), bench.instance())
    assert done.remotes == (("shared", str(bench.root / "elsewhere")),)
    assert done.dvc_bytes > 0
    assert not (cache / old[:2] / old[2:]).exists()
    assert not rows.exists()
    assert not converted.exists()
    new = bench.lock()["loud@a"]["outs"][0]["md5"]
    assert (cache / new[:2] / new[2:]).exists()
    # runs of what is as it was stay, and those that carry a registered model
    assert done.mlflow_runs >= 3
    assert client.get_run(runs["loud", "a"]).info.lifecycle_stage == "deleted"
    assert client.get_run(runs["loud", "b"]).info.lifecycle_stage == "active"
    assert client.get_run(runs["page", "a"]).info.lifecycle_stage == "active"
    assert done.dagster_runs > 0
    assert bench.instance().get_latest_materialization_event(dg.AssetKey("loud")) is None
    bench.sync()
    staleness = bench.staleness()
    assert not [stage for stage in bench.all_stages() if staleness.stale(*stage)]


def test_the_command_writes_names_and_says_what_comes_next(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(REPOSITORY / "sources.lock", root)
    monkeypatch.chdir(root)
    done = CliRunner().invoke(forget, ["--path", "src/legacy/**", "--project", "flask"])
    assert done.exit_code == 0, done.output
    assert "1 tombstones written" in done.stderr
    assert "`cortex run`" in done.stderr
    (stone,) = load_parameters(root).privacy.forgotten
    assert (stone.project, stone.path) == ("flask", "src/legacy/**")
