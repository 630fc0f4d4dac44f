import json
from typing import Any

import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.release.ledger import ReleasedModel, ledger
from cortex_pipelines.release.promote import promote_passed
from cortex_pipelines.serving.latency import too_slow
from cortex_pipelines.tracking.registry import evolution
from cortex_pipelines.tracking.store import open_client, tracking_uri
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.integration.miniproject import MiniProject, git
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
pytestmark = pytest.mark.slow


def champion(mini: MiniProject) -> dict[str, Any] | None:
    pin = read_yaml(mini.root / "releases.lock")["champions"]["task_router"]
    return dict(pin) if pin else None


def aliases(mini: MiniProject, name: str) -> dict[str, str]:
    numbers = open_client(mini.root).get_registered_model(name).aliases
    return {alias: str(number) for alias, number in numbers.items()}


def verdict(mini: MiniProject) -> bytes:
    return (mini.root / "data" / "task_router_release" / "verdict.json").read_bytes()


def test_all_that_passed_are_promoted_and_the_verdict_stays(finished_copy: MiniProject) -> None:
    version, before = finished_copy.version("task_router"), verdict(finished_copy)
    assert aliases(finished_copy, "task_router") == {"challenger": "1"}
    output = finished_copy.cortex("promote", "--why", "first release").stderr
    assert output == f"task_router 1.0.0: {version} is champion\n"
    assert champion(finished_copy) == {"champion": version, "previous": None}
    assert aliases(finished_copy, "task_router") == {"challenger": "1", "champion": "1"}
    assert aliases(finished_copy, "code_adapter-alpha") == {"challenger": "1"}
    (entry,) = ledger(finished_copy.root)
    assert (entry.action, entry.model, entry.version) == ("promote", "task_router", version)
    assert (entry.previous, entry.why) == (None, "first release")
    assert entry.by
    assert entry.at.endswith("+00:00")
    # the gate and what watches the champion know its name
    assert "2 made" in finished_copy.cortex("run").stderr
    assert (verdict(finished_copy), finished_copy.version("task_router")) == (before, version)
    assert all(row["fresh"] for row in finished_copy.status())
    assert finished_copy.cortex("promote").stderr == "nothing to promote\n"
    assert finished_copy.cortex("promote", "task_router").stderr == "nothing to promote\n"
    assert len(ledger(finished_copy.root)) == 1


def test_a_rollback_gives_the_baseline_back_and_a_nightly_does_not_undo_it(finished_copy: MiniProject) -> None:
    version = finished_copy.version("task_router")
    finished_copy.cortex("promote", "task_router", "--why", "by name")
    output = finished_copy.cortex("rollback", "task_router", "--why", "slow").stderr
    assert output == "task_router: the baseline is champion again\n"
    assert champion(finished_copy) == {"champion": None, "previous": None}
    assert aliases(finished_copy, "task_router") == {"challenger": "1"}
    assert [(e.action, e.version, e.previous, e.why) for e in ledger(finished_copy.root)] == [
        ("promote", version, None, "by name"),
        ("rollback", None, version, "slow"),
    ]
    assert promote_passed(open_project(finished_copy.root), "nightly run", too_slow) == ()
    assert champion(finished_copy) == {"champion": None, "previous": None}
    output = finished_copy.cortex("rollback", "task_router").stderr
    assert output == "task_router: rolled back already; `--to VERSION` goes further\n"
    output = finished_copy.cortex("rollback", "task_router", "--to", "1.0.0", status=1).stderr
    assert "no champion to roll back" in output
    assert len(ledger(finished_copy.root)) == 2
    # by name it is, and it gets its number back
    output = finished_copy.cortex("promote", "task_router", "--why", "on second thoughts").stderr
    assert output.startswith("task_router 1.0.0: ")
    assert champion(finished_copy) == {"champion": version, "previous": None}


def test_a_canary_makes_nothing_stale_and_goes_on_or_back(finished_copy: MiniProject) -> None:
    version = finished_copy.version("task_router")
    assert "promoted it would be 1.0.0 (the first release)" in finished_copy.cortex("releases").stdout
    words = ("promote", "task_router", "--strategy", "canary", "--share", "0.2")
    output = finished_copy.cortex(*words, "--target", "edge").stderr
    assert output == (f"task_router 1.0.0: {version} is canary, for 20% of the requests; the champion stays\n")
    assert finished_copy.cortex(*words, "--target", "edge").stderr == "nothing to promote\n"
    assert champion(finished_copy) is None
    assert aliases(finished_copy, "task_router") == {"challenger": "1", "canary": "1"}
    assert all(row["fresh"] for row in finished_copy.status()), "a plan is not an input of any asset"
    assert finished_copy.dvc_status() == {}
    finished_copy.edit_params(lambda values: values["deployment"].update(share=0.3))
    assert all(row["fresh"] for row in finished_copy.status())
    listing = finished_copy.cortex("releases").stdout
    assert f"  canary 1.0.0 {version}, version 1 in the registry" in listing
    assert "  plan canary on edge, 20% of the requests" in listing
    output = finished_copy.cortex("rollback", "task_router", "--why", "errors").stderr
    assert output == "task_router: the baseline is champion again\n"
    assert aliases(finished_copy, "task_router") == {"challenger": "1"}
    assert promote_passed(open_project(finished_copy.root), "nightly run", too_slow) == ()
    assert "share" in finished_copy.cortex("promote", "--share", "1", status=2).stderr
    output = finished_copy.cortex("promote", "--strategy", "immediate", "--share", "0.1", status=2).stderr
    assert "--share requires --strategy canary" in output


def test_neither_uncommitted_code_nor_what_did_not_pass_is_promoted(finished_copy: MiniProject) -> None:
    code = finished_copy.root / "cortex_pipelines" / "routing" / "train.py"
    code.write_text(code.read_text() + "\n# not committed\n")
    before = (finished_copy.root / "releases.lock").read_bytes()
    words = "its code is not committed: cortex_pipelines/routing/train.py; commit it"
    assert words in finished_copy.cortex("promote", "task_router", status=1).stderr
    output = finished_copy.cortex("promote").stderr
    assert output.startswith("not promoted: task_router: its code is not committed")
    assert output.endswith("nothing to promote\n")
    assert (finished_copy.root / "releases.lock").read_bytes() == before
    before = (finished_copy.root / "releases.lock").read_bytes()
    output = finished_copy.cortex("promote", "code_adapter-alpha", status=1).stderr
    assert missing(output, "code_adapter-alpha: the gate's verdict is kept", "100000 are needed") == []
    assert "the champion stays" in output
    assert (finished_copy.root / "releases.lock").read_bytes() == before
    assert aliases(finished_copy, "code_adapter-alpha") == {"challenger": "1"}


def test_the_registry_holds_the_model_and_what_reproduces_it(finished: MiniProject) -> None:
    client = open_client(finished.root)
    (entry,) = client.search_model_versions("name = 'task_router'")
    assert (entry.tags["dvc_md5"], entry.tags["verdict"]) == (finished.version("task_router"), "promoted")
    assert entry.tags["release_md5"] == finished.version("task_router_release")
    artifacts = {file.path for file in client.list_artifacts(entry.run_id)}
    assert {"params.yaml", "sources.lock", "dvc.lock", "verdict.json"} <= artifacts
    model = {
        file.path
        for file in client.list_logged_model_artifacts(
            client.get_run(entry.run_id).outputs.model_outputs[0].model_id, "files"
        )
    }
    assert {"files/weights.safetensors", "files/config.json"} <= model
    gain = f"{entry.tags['improvement']} ({entry.tags['improvement_low']} to "
    assert float(entry.tags["improvement_low"]) <= float(entry.tags["improvement"])
    (version,) = evolution(finished.open()[0], ReleasedModel("task_router", None))
    assert (version[0], version[3].startswith(gain), version[2:5:2]) == ("task_router/1", True, ("–", "promoted"))
    locked = client.download_artifacts(entry.run_id, "dvc.lock")
    with open(locked) as file:  # noqa: PTH123 - MLflow gives a string
        assert entry.tags["dvc_md5"] in file.read()


def test_the_champion_is_loaded_through_mlflow(finished_copy: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    finished_copy.cortex("promote", "task_router")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(finished_copy.root))
    monkeypatch.chdir(finished_copy.root)
    task = "Rotate the leaked API key"
    model = mlflow.pyfunc.load_model("models:/task_router@champion")
    (master,) = model.predict([task])["master"]
    assert master == json.loads(finished_copy.cortex("route", task).stdout)["master"]
    adapter = mlflow.pyfunc.load_model("models:/code_adapter-alpha@challenger", model_config={"max_new_tokens": 4})
    assert len(adapter.predict(["def read_lines(path):\n    "])) == 1


def test_sync_makes_the_aliases_say_what_releases_lock_says(finished_copy: MiniProject) -> None:
    before = git(finished_copy.root, "rev-parse", "HEAD")
    finished_copy.cortex("promote", "task_router")
    finished_copy.commit("promoted")
    git(finished_copy.root, "checkout", "-q", before, "--", "releases.lock")
    assert finished_copy.cortex("sync").stderr.endswith("aliases moved: 1\n")
    assert aliases(finished_copy, "task_router") == {"challenger": "1"}
    git(finished_copy.root, "checkout", "-q", "HEAD", "--", "releases.lock")
    finished_copy.cortex("sync")
    assert aliases(finished_copy, "task_router") == {"challenger": "1", "champion": "1"}


def test_lineage_walks_from_the_router_to_commits_and_logs(finished_copy: MiniProject) -> None:
    finished_copy.cortex("promote", "task_router")
    tree = json.loads(finished_copy.cortex("lineage", "task_router@champion", "--json").stdout)
    assert (tree["name"], tree["version"]) == ("task_router version 1", finished_copy.version("task_router"))
    assert finished_copy.cortex("lineage", "task_router/1", "--json").stdout == (
        finished_copy.cortex("lineage", "task_router", "--json").stdout
    )
    nodes = {(node["name"], node["partition"]): node for node in flat(tree)}
    lock = read_yaml(finished_copy.root / "sources.lock")
    (pin,) = nodes["project_source", "alpha"]["version"]
    assert pin["revision"] == git(finished_copy.root / "sources" / "alpha", "rev-parse", "HEAD")
    assert nodes["project_source", "beta"]["version"] == lock["projects"]["beta"]
    assert nodes["coordination_source", None]["version"] == lock["coordination"]
    assert nodes["sentence_encoder", None]["version"] == lock["models"]["encoder"]
    assert nodes["repository_commits", "beta"]["version"] == finished_copy.version("repository_commits@beta")
    first = git(finished_copy.root, "rev-list", "--max-parents=0", "HEAD")
    assert nodes["routing_dataset", None]["git_commit"] == first
    output = finished_copy.cortex("lineage", "task_router@champion").stdout
    assert f"project_source of alpha  sources/alpha at {pin['revision'][:8]}" in output
    assert f"repository_commits of alpha  {finished_copy.version('repository_commits@alpha')[:8]}" in output


def test_lineage_walks_from_an_adapter_to_its_commits_and_base(finished: MiniProject) -> None:
    output = finished.cortex("lineage", "code_adapter-alpha@challenger", "--json").stdout
    # a version that is met again is shown without its branch, so the first one counts
    nodes = {node["name"]: node for node in reversed(flat(json.loads(output)))}
    for name in ("code_adapter", "completion_dataset", "naming_dataset", "augmented_units"):
        assert nodes[name]["version"] == finished.version(f"{name}@alpha")
    assert nodes["repository_files"]["made_from"][0]["version"][0]["git"] == "sources/alpha"
    assert nodes["base_model"]["version"]["directory"] == "models/base"


@pytest.mark.parametrize(("reference", "words"), CASES["a_lineage_of_what_is_not_there"])
def test_a_lineage_of_what_is_not_there(finished: MiniProject, reference: str, words: str) -> None:
    assert words in finished.cortex("lineage", reference, status=1).stderr


def test_releases_shows_verdicts_that_promotions_need(finished_copy: MiniProject, begun: MiniProject) -> None:
    assert "no verdict yet" in begun.cortex("releases").stdout
    finished_copy.cortex("promote", "task_router")
    rows = {row["model"]: row for row in json.loads(finished_copy.cortex("releases", "--json").stdout)}
    assert rows["task_router"]["champion"] == finished_copy.version("task_router")
    assert (rows["task_router"]["verdict"], rows["code_adapter-beta"]["verdict"]) == ("promoted", "kept")
    assert rows["code_adapter-beta"]["champion"] is None
    assert "code_adapter-alpha: kept" in finished_copy.cortex("releases").stdout
    output = begun.cortex("promote", "task_router", status=1).stderr
    assert "no verdict yet; run `cortex run` first" in output
    assert begun.cortex("promote").stderr == "nothing to promote\n"
    output = begun.cortex("promote", "router", status=1).stderr
    assert missing(output, "no model router; models: ", "code_adapter-beta") == []


def flat(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(deeper for child in node["made_from"] for deeper in flat(child))]


def test_how_long_people_wait_is_in_mlflow_the_report_and_an_exported_card(finished_copy: MiniProject) -> None:
    name, before, page = "code_adapter-alpha", finished_copy.status(), finished_copy.root / "page.html"
    finished_copy.cortex("report", "--out", "page.html")
    assert "cortex latency MODEL does" in page.read_text()
    (found,) = json.loads(finished_copy.cortex("latency", name, "--engine", "torch", "--json").stdout)
    assert (found["engine"], found["answers"] >= 3) == ("torch", True)
    client = open_client(finished_copy.root)
    version = client.get_model_version_by_alias(name, "challenger")
    logged = client.get_run(version.run_id).data.metrics
    assert logged["latency/torch/tokens_40_ms_p95"] == found["tokens_40_ms_p95"]
    row = f"{found['first_token_ms_p50']:.0f} ({found['first_token_ms_p95']:.0f})"
    finished_copy.cortex("report", "--out", "page.html")
    assert row in page.read_text()
    finished_copy.cortex("export", f"{name}@challenger", "--out", "exported")
    assert f"| {row} |" in (finished_copy.root / "exported" / "README.md").read_text()
    assert finished_copy.status() == before, "no output depends on it"
    assert "only an adapter" in finished_copy.cortex("latency", "task_router", status=1).stderr
