import json

import pytest

from cortex_pipelines_tests.integration.miniproject import EXACT, MiniProject

pytestmark = pytest.mark.slow


def test_a_router_comes_out_byte_for_byte_in_a_fresh_folder(finished_copy: MiniProject) -> None:
    # an edit after the model was made must not reach the folder it is made again in
    finished_copy.edit_params(lambda values: values["routing"].update(epochs=7))
    finished_copy.commit("train less from now on")
    result = finished_copy.cortex("reproduce", "task_router@challenger", "--json")
    reproduction = json.loads(result.stdout)
    assert reproduction["same"], reproduction
    assert reproduction["same_processor"]
    stages = {stage["stage"]: stage for stage in reproduction["stages"]}
    assert {"routing_dataset", "task_router", "task_router_evaluation"} <= stages.keys()
    lock = finished_copy.lock()
    assert {name: stage["found"] for name, stage in stages.items()} == {
        name: lock[name]["outs"][0]["md5"] for name in stages
    }
    folder = finished_copy.root.parent / f"{finished_copy.root.name}-task_router-1"
    assert folder.samefile(reproduction["folder"])
    assert (folder / "data" / "task_router" / "config.json").exists()
    again = finished_copy.cortex("reproduce", "task_router", status=1)
    assert "is not empty" in again.stderr


@pytest.mark.long
def test_data_sets_of_an_adapter_are_made_again_without_training(finished_copy: MiniProject) -> None:
    result = finished_copy.cortex("reproduce", "code_adapter-beta", "--data-only", "--into", "again")
    lines = result.stdout.splitlines()
    assert all(line.endswith(": same bytes") for line in lines[:-1])
    built = {tuple(line.partition(":")[0].split("@")) for line in lines[:-1]}
    assert {name for name, *_ in built} <= set(EXACT)
    # assets of all projects are remade from all, and nothing else of the other projects
    assert {("general_code",), ("completion_dataset", "alpha"), ("naming_dataset", "beta")} <= built
    assert ("naming_dataset", "alpha") not in built
    assert lines[-1].startswith("code_adapter-beta version 1: ")
    assert not (finished_copy.root / "again" / "data" / "code_adapter").exists()


def test_code_that_no_commit_holds_is_refused(finished_copy: MiniProject) -> None:
    code = finished_copy.root / "cortex_pipelines" / "routing" / "train.py"
    code.write_text(code.read_text() + "\n# not committed\n")
    finished_copy.edit_params(lambda values: values["routing"].update(epochs=1))
    finished_copy.cortex("run", "task_router", "task_router_evaluation", "routing_audit", "task_router_release")
    refused = finished_copy.cortex("reproduce", "task_router@challenger", "--into", "again", status=1)
    assert "does not contain: cortex_pipelines/routing" in refused.stderr
    assert "Commit the code, then train again" in refused.stderr
