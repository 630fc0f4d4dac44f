import shutil

import pytest

from cortex_pipelines.tracking.store import open_client
from cortex_pipelines_tests.integration.miniproject import MiniProject, git, run_in
from cortex_pipelines_tests.versioning.toy import run_dvc

pytestmark = pytest.mark.slow


def units(mini: MiniProject) -> dict[str, object]:
    (row,) = [row for row in mini.status() if row["asset"] == "code_units" and row["partition"] == "beta"]
    return row


def set_header(mini: MiniProject, characters: int) -> None:
    mini.edit_params(lambda values: values["extraction"].update(max_header_chars=characters))


def test_repro_run_cache_and_checkout_are_followed_by_dagster_and_mlflow(data_made: MiniProject) -> None:
    mini = data_made
    old = units(mini)
    mini.cortex("sync")
    set_header(mini, 20)
    stale = units(mini)
    assert not stale["fresh"]
    assert "extraction" in str(stale["reason"])
    output = mini.repro("--single-item", "code_units@beta")
    assert "cortex run code_units --project beta" in output
    new = units(mini)
    assert new["fresh"], "the stage's command has told Dagster and MLflow"
    assert new["dvc_md5"] != old["dvc_md5"]
    assert new["data_version"] == new["dvc_md5"] == new["mlflow_digest"]
    assert new["run_id"] != old["run_id"]
    mini.commit("short headers")
    set_header(mini, 400)
    output = mini.repro("code_units@beta")  # after the stage that writes the parameters
    assert "Running stage 'code_units@beta'" not in output, "the run cache has it"
    assert mini.version("code_units@beta") == old["dvc_md5"]
    unheard = units(mini)
    assert not unheard["fresh"]
    assert "Dagster has another version: run `cortex sync`" in str(unheard["reason"])
    mini.cortex("sync")
    back = units(mini)
    assert back == old, "a version that was made before keeps its run"
    assert "\nevents reported to Dagster: 0" in mini.cortex("sync").stderr
    git(mini.root, "checkout", "-q", "-f", "main")
    run_dvc(mini.root, "checkout", "--force", "code_units@beta")
    mini.cortex("sync")
    assert units(mini) == new


def test_a_process_of_its_own_gives_the_same_bytes(data_made: MiniProject) -> None:
    before = data_made.lock()
    stages = ("annotated_units@beta", "augmented_units@beta")
    command = ("repro", "--force", "--single-item", "--no-run-cache")
    output = run_in(data_made.root, "dvc", *command, *stages, PYTHONHASHSEED="7")
    assert (output.count("Running stage"), data_made.lock()) == (2, before)


def test_outputs_come_back_from_a_remote(data_made: MiniProject) -> None:
    mini = data_made
    run_dvc(mini.root, "remote", "add", "-d", "store", str(mini.root.parent / "store"))
    run_dvc(mini.root, "push", "code_units@beta")
    before = units(mini)
    shutil.rmtree(mini.root / ".dvc" / "cache")
    shutil.rmtree(mini.root / "data" / "code_units" / "beta")
    mini.cortex("sync")
    missing = units(mini)
    assert not missing["fresh"]
    assert missing["data_version"] is None
    run_dvc(mini.root, "pull", "code_units@beta")
    mini.cortex("sync")
    assert units(mini) == before


def test_an_output_edited_by_hand_is_stale_and_no_run_claims_it(data_made: MiniProject) -> None:
    mini = data_made
    before = units(mini)
    file = mini.root / "data" / "code_units" / "beta" / "units.parquet"
    edited = file.with_suffix(".new")
    edited.write_bytes(file.read_bytes() + b"\0")
    edited.replace(file)
    runs = open_client(mini.root).search_experiments()
    mini.cortex("sync")
    row = units(mini)
    assert not row["fresh"]
    assert row["data_version"] != row["dvc_md5"]
    assert (row["run_id"], len(open_client(mini.root).search_experiments())) == (before["run_id"], len(runs))
    mini.cortex("run", "code_units", "--project", "beta")
    assert units(mini)["dvc_md5"] == before["dvc_md5"]
    assert units(mini)["fresh"]


def test_a_project_that_is_taken_out_leaves_no_output_behind(data_made: MiniProject) -> None:
    mini = data_made
    mini.edit_params(lambda values: values["projects"].pop("beta"))
    mini.cortex("update")
    mini.cortex("sync")
    assert not (mini.root / "data" / "code_units" / "beta").exists()
    assert (mini.root / "data" / "code_units" / "alpha").exists()
    rows = {(row["asset"], row["partition"]): row for row in mini.status()}
    assert ("code_units", "beta") not in rows
    assert rows["code_units", "alpha"]["fresh"]
    assert not rows["routing_dataset", None]["fresh"], "it was made from both"
