import json
from typing import Any

import dagster as dg
import pytest

from cortex_pipelines.orchestration.nightly import OVERRIDE_TAG, WEEKLY_TAG
from cortex_pipelines.release.ledger import ledger
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject
from cortex_pipelines_tests.integration.nights import checked, materialised, nightly, step_metadata
from cortex_pipelines_tests.messages import missing

pytestmark = pytest.mark.slow
SAME = ("refactoring_pairs", "tests_dataset", "drift_report", "feedback_dataset")
"""What may come out the same: where files are only added, nothing was refactored, they have no
tests, without a champion nothing is compared, and nobody has corrected anything."""


@pytest.mark.long
def test_a_commit_in_one_source_makes_only_what_depends_on_it(finished_copy: MiniProject) -> None:
    finished_copy.cortex("promote", "task_router", "--why", "to begin with")
    before = {(row["asset"], row["partition"]): row for row in finished_copy.status()}
    modules = {
        f"adapters/{path.name}": path.read_text()
        for path in (REPOSITORY / "cortex_pipelines" / "adapters").glob("*.py")
    }
    revision = finished_copy.commit_to_alpha(modules, "Add the code for adapters")
    # of tasks nothing is new: left to the policy, the router would rest
    words = finished_copy.cortex("retrain", "--plan", "task_router").stdout
    assert "task_router: rest: nothing that it is made from has changed" in words
    result = nightly(finished_copy, OVERRIDE_TAG)
    assert result.success
    metadata = step_metadata(result)
    assert metadata["move_pins"]["pins moved"] == "projects.alpha"
    assert {"code_units[alpha]", "code_adapter[alpha]", "task_router"} <= materialised(result)
    assert not [step for step in materialised(result) if step.endswith("[beta]")]
    assert metadata["promote_task_router"]["promoted"] == "task_router"
    assert {"verdict", "units_contract"} <= {check for _, check in checked(result)}
    (pin,) = read_yaml(finished_copy.root / "sources.lock")["projects"]["alpha"]
    assert pin["revision"] == revision

    after = {(row["asset"], row["partition"]): row for row in finished_copy.status()}
    assert all(row["fresh"] for row in after.values())
    for (name, partition), row in after.items():
        if partition == "beta" or name == "coordination_events":
            assert row == before[name, partition]
        elif partition == "alpha" and name not in SAME:
            assert row["dvc_md5"] != before[name, partition]["dvc_md5"], name
    # the new router met the champion, and the ledger says what came of it
    old, new = (rows["task_router", None]["dvc_md5"] for rows in (before, after))
    assert old != new
    assert [(e.version, e.previous, e.why) for e in ledger(finished_copy.root)] == [
        (old, None, "to begin with"),
        (new, old, "nightly run"),
    ]
    verdict = json.loads((finished_copy.root / "data/task_router_release/verdict.json").read_text())
    assert (verdict["model_version"], finished_copy.dvc_status()) == (new, {})

    quiet = nightly(finished_copy)
    assert materialised(quiet) == set()
    metadata = step_metadata(quiet)
    assert (metadata["move_pins"]["pins moved"], metadata["plan"]["stale"]) == ("none", "nothing")
    assert metadata["promote_task_router"]["promoted"] == "none"


@pytest.mark.long
def test_a_router_with_nothing_new_to_learn_rests_until_a_person_says_so(finished_copy: MiniProject) -> None:
    finished_copy.cortex("promote", "task_router", "--why", "to begin with")
    finished_copy.cortex("retrain")  # as after a night's promotion: the evaluation names the champion
    assert all(row["fresh"] for row in finished_copy.status() if row["asset"] == "task_router_evaluation")
    before = finished_copy.version("task_router")
    # commits give weak labels, which are not tasks
    finished_copy.commit_to_alpha({"SECURITY.md": "# Security\n"}, "Fix the vulnerability in the parser")
    result = nightly(finished_copy)
    assert result.success
    assert {"routing_dataset", "router_drift_report"} <= materialised(result)
    assert not {"task_router", "task_router_evaluation"} & materialised(result)
    reason = step_metadata(result)["task_router"]["retraining"]
    assert reason.startswith("rest: 0 new (0.0%")
    assert step_metadata(result)["task_router_release"]["retraining"] == reason
    assert finished_copy.version("task_router") == before
    assert f"task_router: {reason} (nightly, " in finished_copy.cortex("status").stdout
    assert f"task_router: {reason}\n" in finished_copy.cortex("retrain", "--plan").stdout
    output = finished_copy.cortex("retrain", "task_router", "--anyway").stderr
    assert "task_router: train: a person overruled the policy" in output
    rows = {(row["asset"], row["partition"]): row for row in finished_copy.status()}
    assert rows["task_router", None]["fresh"]


def test_a_source_that_is_gone_fails_the_night_and_the_rest_goes_on(finished_copy: MiniProject) -> None:
    before = finished_copy.version("code_units@alpha")
    (finished_copy.root / "sources" / "alpha").rename(finished_copy.root / "sources" / "moved")
    result = nightly(finished_copy)
    assert (result.success, [e.step_key for e in result.get_step_failure_events()]) == (False, ["sources_read"])
    assert missing(failure(result), "projects.alpha", "sources/alpha", "params.yaml") == []
    assert step_metadata(result)["plan"]["stale"] == "nothing"
    assert finished_copy.version("code_units@alpha") == before


@pytest.mark.long
def test_what_cannot_be_made_fails_the_night_and_the_rest_goes_on(begun: MiniProject) -> None:
    def too_few_files(values: Any) -> None:
        values["projects"] = {"beta": {"sources": [{"directory": "sources/beta"}]}}
        values["datasets"]["min_body_bytes"] = 499

    begun.edit_params(too_few_files)
    begun.cortex("dvc-yaml")
    result = nightly(begun)
    assert (result.success, [e.step_key for e in result.get_step_failure_events()]) == (False, ["unit_splits[beta]"])
    fresh = {row["asset"] for row in begun.status() if row["fresh"]}
    assert {"code_units", "augmented_units", "routing_dataset", "task_router"} <= fresh
    assert "code_adapter" not in fresh


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    assert error is not None
    return str((error.cause or error).message)


def test_the_schedules_are_in_the_configured_zone_and_off(begun: MiniProject) -> None:
    begun.edit_params(lambda values: values["automation"].update(time_zone="Europe/Berlin"))
    _, definitions = begun.open()
    for name, cron in (("nightly", "0 2 * * *"), ("weekly", "0 6 * * 6")):
        schedule = definitions.resolve_schedule_def(name)
        assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "Europe/Berlin")
        assert (schedule.default_status, schedule.job_name) == (dg.DefaultScheduleStatus.STOPPED, "nightly")
        assert (schedule.tags.items() >= WEEKLY_TAG.items()) == (name == "weekly")


def test_the_sync_sensor_reports_what_moved_and_then_rests(data_made: MiniProject) -> None:
    _, definitions = data_made.open()
    sensor = definitions.resolve_sensor_def("sync")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    instance = data_made.instance()

    def look(cursor: str | None) -> tuple[str, str | None]:
        with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions) as context:
            data = sensor.evaluate_tick(context)
        return str(data.skip_message), data.cursor

    instance.delete_dynamic_partition("projects", "alpha")
    words, mark = look(None)
    assert (words, set(instance.get_dynamic_partitions("projects"))) == ("events reported: 0", {"alpha", "beta"})
    _, mark = look(mark)
    killed = dg.DagsterRun("killed", status=dg.DagsterRunStatus.STARTED, tags={"cortex/process": str(2**22 + 1)})
    instance.add_run(killed)  # no process has so high a number
    assert look(mark)[0] == "nothing changed since the last check"
    assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE
    data_made.edit_params(lambda values: values["extraction"].update(max_header_chars=50))
    (data_made.root / "data" / "code_units" / "alpha" / "units.parquet").unlink()
    words, next_mark = look(mark)
    assert words != "events reported: 0"
    assert next_mark != mark
    _, next_mark = look(next_mark)
    assert look(next_mark)[0] == "nothing changed since the last check"


def test_a_project_can_be_made_alone_as_a_job(begun: MiniProject) -> None:
    _, definitions = begun.open()
    job = definitions.resolve_job_def("project_path")
    assert job.partitions_def is not None
    assert isinstance(job.partitions_def, dg.DynamicPartitionsDefinition)
    names = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"repository_files", "code_adapter_release"} <= names
    assert "task_router" not in names
