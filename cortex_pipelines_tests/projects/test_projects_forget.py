import json
import shutil
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from cortex_pipelines.cli.project import forget as forget_command
from cortex_pipelines.config import load_parameters
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.ingestion.connectors.snapshot import snapshot_file
from cortex_pipelines.ingestion.files.commits import repository_commits
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.privacy import pseudonyms
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects import certificate, erase, forget
from cortex_pipelines.projects.create import add_project, create_project
from cortex_pipelines.projects.forget import add_tombstones, create_tombstones, mark_models, models_trained_on, purge
from cortex_pipelines.projects.update_pins import add_author_tombstones
from cortex_pipelines.release.ledger import ReleasedModel, ledger
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.serving.engines.engine import CACHE
from cortex_pipelines.serving.reviews import FILE, PendingReview
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import verify_file
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import ProjectError, Stage, read_yaml
from cortex_pipelines_tests.integration.miniproject import git
from cortex_pipelines_tests.messages import missing, refusal
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import Workbench

CASES = load_cases(__file__)
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def test_an_author_has_a_tombstone_in_each_project_and_no_name(root: Path) -> None:
    privacy = load_parameters(root).privacy
    *stones, later, user = create_tombstones(root, "Ada@Acme.org")
    assert (later.author, later.project) == (user.user, None)
    assert user.user == pseudonyms.author_pseudonym("ada@acme.org", pseudonyms.logs_key(privacy))
    assert (user.author, user.project) == (None, None)
    assert [user] == create_tombstones(root, user="ada@acme.org")
    assert [stone.project for stone in stones] == sorted(load_parameters(root).projects)
    assert create_tombstones(root, "Ada Lovelace <ada@acme.org>") == [*stones, later, user]
    with pytest.raises(ProjectError, match="takes a mail address, not 'Ada'"):
        create_tombstones(root, "Ada")
    key = pseudonyms.project_key(str(stones[0].project), privacy)
    assert stones[0].author == pseudonyms.author_pseudonym("ada@acme.org", key)
    assert len({stone.author for stone in stones}) == len(stones)
    assert add_tombstones(root, [*stones, later, user]) == [*stones, later, user]
    text = (root / "params.yaml").read_text()
    assert "acme" not in text.lower()
    assert load_parameters(root).privacy.forgotten == (*stones, later, user)
    (author, only) = create_tombstones(root, "ada@acme.org", project=str(stones[0].project))
    assert (author, only.user) == (stones[0], user.user)


def test_who_was_deleted_from_every_project_is_left_out_of_later_ones(tmp_path: Path) -> None:
    workspace, shop = tmp_path / "here", tmp_path / "shop"
    shop.mkdir()
    git(shop, "init", "-q", "-b", "main")
    for author in ("jane", "bob"):
        (shop / f"{author}.py").write_text(f"def {author}():\n    return 1\n")
        git(shop, "add", "-A")
        git(shop, "commit", "-q", "-m", "more", f"--author=K <{author}@example.org>")
    logs = "profile: standard\nprojects: {}\ncoordination: {logs: logs, sample: false}\n"
    list(create_project(workspace, logs))
    add_tombstones(workspace, create_tombstones(workspace, "Jane@example.org"))
    add_project(workspace, "shop", str(shop))
    parameters = load_parameters(workspace)
    pins = tuple(read_yaml(workspace / "sources.lock")["projects"]["shop"])
    source = ProjectSource(parameters.projects["shop"], pins)
    cache = RowCache(workspace / "rows", "now")
    commits = repository_commits(source, "shop", workspace, parameters.privacy, cache)["commits"]
    assert commits["paths"].to_list() == [["bob.py"]]
    assert "jane" not in (workspace / "params.yaml").read_text().lower()
    assert add_author_tombstones(workspace) == []


def test_tombstones_are_written_once_and_what_is_asked_for_has_to_be_there(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    stones = create_tombstones(root, None, "src/**", "git:.", None)
    assert (add_tombstones(root, stones), add_tombstones(root, stones)) == (stones, [])
    more = create_tombstones(root, None, "docs", None, sorted(load_parameters(root).projects)[0])
    assert add_tombstones(root, more) == more
    after = (root / "params.yaml").read_text()
    assert [line.split("#")[1:] for line in before.splitlines() if "#" in line] == [
        line.split("#")[1:] for line in after.splitlines() if "#" in line
    ]
    assert len(load_parameters(root).privacy.forgotten) == 2
    refused = refusal(ProjectError, create_tombstones, root, None, "a", None, "nothing")
    assert "has no project nothing; there is: cortex" in refused
    assert "say what to forget" in refusal(ProjectError, create_tombstones, root, None, None, None, None)


def record(bench: Workbench, name: str, partition: str | None) -> str:
    version = bench.make(name, partition)
    project = bench.project()
    recorded = Version(version.value, version.made_from, True)
    asset = project.graph.assets[name]
    return MlflowTracker().record(Stage(project, asset, partition), recorded, "dagster-1")


@pytest.mark.slow
def test_models_are_named_marked_and_former_versions_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "SOURCE_READERS", ("words",))
    bench = Workbench.create(tmp_path / "p")
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "secret"]))
    for stage in bench.all_stages()[:-1]:  # one by Dagster, with its events
        bench.make(*stage)
    assert bench.run(["page"], "b")
    assert bench.run(["loud"], "a")
    runs = {stage: record(bench, *stage) for stage in bench.all_stages()}
    client = open_client(bench.root)
    weights: list[Path] = []
    for partition in ("a", "b"):
        md5 = bench.lock()[f"page@{partition}"]["outs"][0]["md5"]
        name = f"page-{partition}"
        client.create_registered_model(name)
        run = runs["page", partition]
        tags = {"dvc_md5": md5, "model_asset": "page", "partition": partition}
        experiment = client.get_run(run).info.experiment_id
        logged = client.create_logged_model(experiment, name=name, source_run_id=run)
        client.log_model_artifacts(logged.model_id, str(bench.root / "data" / "page" / partition))
        weights.append(Path(url2pathname(urlsplit(logged.artifact_location).path)))
        client.create_model_version(name, logged.artifact_location, run_id=run, tags=tags, model_id=logged.model_id)
    assert all(any(folder.iterdir()) for folder in weights)

    models = models_trained_on(bench.project(), ["a"])
    # page@b reads the sum over all projects, so it was made from a as well
    assert [(m.name, m.number, m.projects) for m in models] == [("page-a", "1", ("a",)), ("page-b", "1", ("a",))]
    assert models_trained_on(bench.project(), ["nothing"]) == []
    monkeypatch.setattr(forget, "FEEDBACK", "words")
    assert models_trained_on(bench.project(), [], ["a"]) == models, "a user's feedback in the lineage"
    client.log_metric(runs["words", "a"], "rows_train", 0.0)
    assert models_trained_on(bench.project(), [], ["a"]) == [], "a data set without any"
    mark_models(bench.project(), models, "tester", "2030-01-01T00:00:00+00:00", "asked for")
    stone = Tombstone(project="a", source=None, path="x/**", author=None)
    name = certificate.record_deletion(bench.project(), [stone], {"events": 2, "keys": 0}, models, "tester")
    page, current_time = ReleasedModel("page", "a"), datetime.now(UTC)
    assert certificate.deletion_requested_since(bench.project(), page, current_time - timedelta(days=1))
    assert not certificate.deletion_requested_since(bench.project(), page, current_time + timedelta(days=1))
    assert not certificate.deletion_requested_since(bench.project(), ReleasedModel("page", "c"), None)
    paper = tmp_path / "certificate.json"
    early = certificate.certify(bench.project(), paper)
    assert (early["forgotten"], early["removed"]) == ([{"project": "a", "path": "x/**"}], {"events": 2})
    assert {row["output"] for row in early["outputs"]} >= {"words@a", "loud@a", "page@a"}
    assert "words@b" not in {row["output"] for row in early["outputs"]}
    assert client.get_model_version("page-a", "1").tags["forgotten"] == "a"
    entries = [(entry.action, entry.model, entry.why) for entry in ledger(bench.root)]
    assert entries == [("forget", name, "1: asked for") for name in ("page-a", "page-b")]

    old = bench.lock()["loud@a"]["outs"][0]["md5"]
    cache = bench.root / ".dvc" / "cache" / "files" / "md5"
    assert (cache / old[:2] / old[2:]).exists()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one"]))
    undone = certificate.certify(bench.project(), paper, name)
    assert not any(row["rebuilt"] for row in undone["outputs"] + undone["models"])
    assert "words@a: not rebuilt without it yet; `cortex run`" in undone["outstanding"]
    assert "page-a/1: not rebuilt without it yet; `cortex run`" in undone["outstanding"]
    assert {"words@a", "loud@a"} <= set(certificate.not_rebuilt(bench.project()))
    for stage in bench.all_stages():
        bench.make(*stage)
    assert certificate.not_rebuilt(bench.project()) == []
    assert not certificate.deletion_requested_since(bench.project(), page, None), "another version is there"
    built = certificate.certify(bench.project(), paper)
    assert all(row["rebuilt"] and row["now"] != row["before"] for row in built["models"])
    assert f"loud@a: version {old} is in DVC's cache; `cortex forget --purge`" in built["outstanding"]
    assert any("weights are kept" in sentence for sentence in built["outstanding"])
    rows = bench.root / ".cortex" / "cache" / "rows" / "words"
    rows.mkdir(parents=True, exist_ok=True)
    converted = bench.root / CACHE / "adapter"
    converted.mkdir(parents=True)
    opened = bench.root / ".cortex" / "models" / old
    opened.mkdir(parents=True)
    checks = bench.root / ".cortex" / "data_docs" / "loud@a"  # the values of a former version
    checks.mkdir(parents=True)

    with Repo(bench.root) as repo, repo.config.edit("local") as config:
        config["remote"]["shared"] = {"url": "https://me:secret@store.example.org/dvc"}
    purged = purge(bench.project(), bench.instance(), weights=True)
    assert not any(folder.exists() for folder in weights)
    assert purged.weights == ("page-a/1", "page-b/1")
    assert client.get_model_version("page-a", "1").tags["weights"] == "deleted"
    assert purge(bench.project(), bench.instance(), weights=True).weights == ()
    assert [name for name, _ in purged.remotes] == ["shared"]
    assert purged.dvc_bytes > 0
    assert ((cache / old[:2] / old[2:]).exists(), rows.exists()) == (False, False)
    assert (converted.exists(), opened.exists(), checks.exists()) == (False, False, False)
    new = bench.lock()["loud@a"]["outs"][0]["md5"]
    assert (cache / new[:2] / new[2:]).exists()
    # runs of what is as it was stay, and those that carry a registered model
    assert purged.mlflow_runs >= 3
    assert client.get_run(runs["loud", "a"]).info.lifecycle_stage == "deleted"
    assert client.get_run(runs["loud", "b"]).info.lifecycle_stage == "active"
    assert client.get_run(runs["page", "a"]).info.lifecycle_stage == "active"
    assert purged.dagster_runs > 0
    assert bench.instance().get_latest_materialization_event(dg.AssetKey("loud")) is None
    bench.sync()
    certificate.record_purge(bench.project(), {"row caches": purged.row_caches})
    last = certificate.certify(bench.project(), paper)
    assert (last["outstanding"], [row["weights"] for row in last["models"]]) == ([], ["deleted"] * 2)
    assert "DVC remote shared: https://store.example.org/dvc" in last["copies_may_remain"]
    assert json.loads(verify_file(bench.root, paper)) == last
    for change in (b'"rebuilt": true', b'"id": "'), (b"page-b", b"page-c"):
        was = paper.read_bytes()
        paper.write_bytes(was.replace(*change))
        assert "it was modified" in refusal(UntrustedModelError, verify_file, bench.root, paper)
        paper.write_bytes(was)
    with pytest.raises(ProjectError, match=f"no deletion 1; deletions: {name}"):
        certificate.certify(bench.project(), paper, "1")
    staleness = bench.staleness()
    assert not [stage for stage in bench.all_stages() if staleness.stale(*stage)]


def test_versions_that_no_release_has_entered_are_nobodys_to_forget(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p")
    client = open_client(bench.root)
    client.create_registered_model("others")
    begun = {"dvc_md5": "1" * 32, "model_asset": "page"}  # killed while it was entered
    tag_sets: list[dict[str, str]] = [{}, {"partition": "a"}, begun]
    for tags in tag_sets:
        client.create_model_version("others", "file:///srv/others", tags=tags)
    (bench.root / ".cortex" / "models" / ("2" * 32)).mkdir(parents=True)
    assert models_trained_on(bench.project(), ["a"], ["a"]) == []
    purge(bench.project(), bench.instance())
    assert not (bench.root / ".cortex" / "models" / ("2" * 32)).exists()


def test_a_cache_that_others_may_use_is_not_purged(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p")
    theirs = tmp_path / "shared" / "files" / "md5" / "ab" / ("c" * 30)
    theirs.parent.mkdir(parents=True)
    theirs.write_text("of another repository")
    subprocess.run(["dvc", "config", "--local", "cache.dir", str(tmp_path / "shared")], cwd=bench.root, check=True)
    with pytest.raises(ProjectError, match="other repositories may keep files that a purge would delete"):
        purge(bench.project(), bench.instance())
    assert theirs.exists()


def test_a_certificate_finds_a_version_by_its_hash_or_says_that_its_record_is_gone(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p")
    version, paper = "1" * 32, tmp_path / "certificate.json"
    model = forget.TrainedModel("page-a", "1", "page", "a", ("a",), version)
    stone = Tombstone(project="a", source=None, path="x/**", author=None)
    certificate.record_deletion(bench.project(), [stone], {}, [model], "tester")
    content = certificate.certify(bench.project(), paper)
    (row,) = content["models"]
    assert (row["number"], row["before"]) == (None, version)
    assert row["weights"] == "its record is gone from the registry"
    assert any(sentence.startswith(f"page-a/{version}: its record is gone") for sentence in content["outstanding"])
    client = open_client(bench.root)
    client.create_registered_model("page-a")
    deleted = {"dvc_md5": "2" * 32, "weights": "deleted"}
    for tags in (deleted, {"dvc_md5": version}):  # entered again in another order
        client.create_model_version("page-a", "file:///srv/page", tags=tags)
    content = certificate.certify(bench.project(), paper)
    assert [(row["number"], row["weights"]) for row in content["models"]] == [("2", "kept")]
    assert any(sentence.startswith("page-a/2: its weights are") for sentence in content["outstanding"])


def test_a_certificate_names_pinned_rows_of_trackers_and_tasks_that_wait_for_a_person(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p")
    stone = Tombstone(project="a", source=None, path="issues/tickets/7.md", author=None)
    certificate.record_deletion(bench.project(), [stone], {}, [], "tester")

    def copies(words: str) -> list[str]:
        content = certificate.certify(bench.project(), tmp_path / "certificate.json")
        return [copy for copy in content["copies_may_remain"] if words in copy]

    assert (copies(".cortex/snapshots"), copies("`cortex review`")) == ([], [])
    row = snapshot_file(bench.root, "1" * 64)
    row.parent.mkdir(parents=True)
    row.write_text("{}\n")
    (copy,) = copies(".cortex/snapshots")
    assert "delete them in the tracker, then `cortex update`" in copy
    task = PendingReview("0a1b2c3d4e", "mend it", "2025-01-01T00:00:00+00:00", None, (), "1", 1.0, 0.0)
    waiting = gateway_log(bench.root).parent / FILE
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_text(json.dumps(asdict(task)) + "\n")
    (copy,) = copies("`cortex review`")
    assert copy.startswith("the task that waits for a person's decision")


def test_the_command_writes_names_and_says_what_comes_next(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(REPOSITORY / "sources.lock", root)
    monkeypatch.chdir(root)
    result = CliRunner().invoke(forget_command, ["--path", "src/legacy/**", "--project", "flask"])
    assert result.exit_code == 0, result.output
    assert missing(result.stderr, "1 tombstones written", "`cortex run`") == []
    (stone,) = load_parameters(root).privacy.forgotten
    assert (stone.project, stone.path) == ("flask", "src/legacy/**")


def test_the_command_says_that_nothing_read_so_far_is_covered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(REPOSITORY / "sources.lock", root)
    monkeypatch.chdir(root)
    files = root / "data" / "repository_files" / "flask" / "files.parquet"
    files.parent.mkdir(parents=True)
    pl.DataFrame({"source": "git:shop", "path": ["src/a.py"], "author": "0123"}).write_parquet(files)
    for pattern, covers_nothing in (("src/legacy/**", True), ("src/*.py", False)):
        result = CliRunner().invoke(forget_command, ["--path", pattern])
        assert ("no file and no commit that was read so far is of it" in result.stderr) is covers_nothing


def test_what_tombstones_cover_of_events(root: Path) -> None:
    (user,) = create_tombstones(root, user="anna")
    (path,) = create_tombstones(root, path="vault/**", project="flask", source="pypi:flask==3.1.3")
    (repository,) = create_tombstones(root, source="git:.")
    author = create_tombstones(root, "ada@acme.org")[0]
    add_tombstones(root, [path, repository, author, user])
    privacy = load_parameters(root).privacy
    assert pseudonyms.is_forgotten_event(privacy, None, None, user.user)
    assert pseudonyms.is_forgotten_event(privacy, "flask", "vault/a/b.py", None)
    for project, path_in_project, unit in (
        ("other", "vault/a.py", None),
        (None, "vault/a.py", None),
        ("flask", "a.py", "somebody"),
        (author.project, None, author.author),
        ("flask", None, None),
    ):
        assert not pseudonyms.is_forgotten_event(privacy, project, path_in_project, unit)
    assert not pseudonyms.is_forgotten(privacy, "flask", "pypi:flask==3.1.3"), "a user's covers no source"
    assert erase.emptied_projects(load_parameters(root)) == {"cortex"}


@pytest.mark.parametrize(("words", "sentence"), CASES["what_is_asked_wrongly_gets_a_sentence"])
def test_mistakes_are_told(root: Path, words: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    result = CliRunner().invoke(forget_command, list(words))
    assert sentence in result.output + str(result.exception)
