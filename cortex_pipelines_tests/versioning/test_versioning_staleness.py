from pathlib import Path

import dagster as dg
import pytest

from cortex_pipelines_tests.versioning.toy import Workbench

OWN = {"dagster/data_version": "v1", "dagster/data_version_is_user_provided": "true"}
UNSEEN = {"input_data_version__loudness_parameters": "INITIAL", "input_event_pointer__loudness_parameters": "NULL"}
"""The parameters, which nobody has observed yet."""


class EventLog:
    """A toy project whose versions are only reported, by events that a test writes."""

    def __init__(self, root: Path, projects: tuple[str, ...]) -> None:
        self.bench = Workbench.create(root, projects)
        self.project = self.bench.project()
        self.instance = self.bench.instance()

    def tell(self, name: str, partition: str | None, **tags: str) -> int:
        inputs = {"dagster/" + key.replace("__", "/"): value for key, value in tags.items() if key != "plain"}
        event = dg.AssetMaterialization(name, partition=partition, tags=tags and OWN | inputs)
        self.instance.report_runless_asset_event(event)
        return self.instance.get_latest_data_version_record(dg.AssetKey(name), partition_key=partition).storage_id

    def code(self, name: str) -> str:
        return self.project.code_versions[name]

    def status(self, name: str, partition: str | None) -> tuple[str, tuple[str, ...]]:
        """Ours, after it was found to be Dagster's."""
        staleness = self.bench.staleness(self.project)
        reported = staleness.status(name, partition)
        assert reported == staleness.snapshot().status(name, partition)
        assert reported[0] == self.bench.ui_status(self.project)(name, partition)
        return reported


@pytest.fixture
def event_log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "p", ("a", "b"))


def loud_of(event_log: EventLog, pointer: object, **tags: str) -> int:
    tags_of_event = {
        "code_version": event_log.code("loud"),
        "input_data_version__words": "v1",
        "input_event_pointer__words": str(pointer),
        **UNSEEN,
    }
    return event_log.tell("loud", "a", **(tags_of_event | tags))


def test_what_was_never_made_or_is_gone_is_missing(event_log: EventLog) -> None:
    assert event_log.status("loud", "a") == ("MISSING", ())
    loud_of(event_log, 0, data_version="NULL")
    assert event_log.status("loud", "a") == ("MISSING", ())


def test_an_input_is_updated_by_another_version_alone(event_log: EventLog) -> None:
    loud_of(event_log, event_log.tell("words", "a", data_version="v1"))
    assert event_log.status("loud", "a")[0] == "FRESH"
    event_log.tell("words", "a", data_version="v1")
    assert event_log.status("loud", "a")[0] == "FRESH"
    event_log.tell("words", "b", data_version="v2")
    assert event_log.status("loud", "a")[0] == "FRESH"
    event_log.tell("words", "a", data_version="v2")
    assert event_log.status("loud", "a") == ("STALE", ("words has a new dependency data version",))


@pytest.mark.parametrize("pointer", ["-1", "0", "NULL"])
def test_the_three_pointers_before_every_event(event_log: EventLog, pointer: str) -> None:
    event_log.tell("words", "a", data_version="v1")
    event_log.tell("words", "a", data_version="v2")
    loud_of(event_log, pointer)
    assert event_log.status("loud", "a")[0] == ("STALE" if pointer == "-1" else "FRESH")


def test_another_code_version_and_a_dependency_that_came_or_went(event_log: EventLog) -> None:
    event_id = event_log.tell("words", "a", data_version="v1")
    loud_of(event_log, event_id, code_version="old", input_data_version__gone="v1")
    assert event_log.status("loud", "a")[1] == ("has a new code version", "gone removed dependency on gone")
    event_log.tell("loud", "a", code_version=event_log.code("loud"), **UNSEEN)
    assert event_log.status("loud", "a")[1] == ("words has a new dependency on words",)


def test_an_event_that_does_not_say_what_was_read_is_compared_by_time(event_log: EventLog) -> None:
    event_log.tell("loud", "a", plain="")
    assert event_log.status("loud", "a")[1] == ("words has a new input",)
    event_log.tell("words", "a", plain="")
    assert event_log.status("loud", "a")[1] == ("words has a new dependency materialization",)
    event_log.tell("loud", "a", plain="")
    assert event_log.status("loud", "a")[0] == "FRESH"


@pytest.mark.parametrize(("projects", "status"), [(99, "STALE"), (100, "FRESH")])
def test_dagster_looks_past_an_input_of_a_hundred_projects(tmp_path: Path, projects: int, status: str) -> None:
    names = tuple(f"p{number:03d}" for number in range(projects))
    event_log = EventLog(tmp_path / "p", names)
    event_log.tell("loud", names[0], data_version="v1")
    event_log.tell(
        "tally",
        None,
        code_version=event_log.code("tally"),
        input_data_version__loud="v1",
        input_event_pointer__loud="-1",
    )
    assert event_log.status("tally", None)[0] == status
