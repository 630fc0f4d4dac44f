import json
from typing import Any

import pytest

from cortex_pipelines.release.ledger import ledger
from cortex_pipelines_tests.integration.miniproject import MiniProject

pytestmark = pytest.mark.slow
LOG = "data/samples/coordination/events/routing-events.jsonl"


def report(mini: MiniProject) -> tuple[dict[str, Any], str]:
    folder = mini.root / "data" / "router_drift_report"
    return json.loads((folder / "metrics.json").read_text()), (folder / "report.html").read_text()


def log_tasks(mini: MiniProject, count: int) -> None:
    with (mini.root / LOG).open("a") as log:
        for number in range(count):
            title = f"water the tomatoes and mow lawn number {number} before the picnic"
            line = {"task_id": f"garden-{number}", "task_title": title, "routed_to": "inventory", "outcome": "success"}
            log.write(json.dumps(line | {"timestamp": f"2027-01-{1 + number % 28:02}T10:00:00Z"}) + "\n")
    mini.cortex("update")


def test_the_watch_over_the_router(finished_copy: MiniProject) -> None:
    figures, page = report(finished_copy)
    assert figures == {"drifting": 0}
    assert "task_router has no champion yet" in page
    for project in ("alpha", "beta"):
        text = (finished_copy.root / "data" / "drift_report" / project / "report.html").read_text()
        assert f"code_adapter-{project} has no champion yet" in text
    finished_copy.cortex("promote", "task_router", "--why", "to begin with")
    (entry,) = ledger(finished_copy.root)
    trained_on = finished_copy.version("routing_dataset")
    assert entry.inputs["routing_dataset"] == trained_on
    finished_copy.cortex("run", "router_drift_report")
    figures, page = report(finished_copy)
    assert (figures["new"], figures["drifting"]) == (0, 0)
    log_tasks(finished_copy, 60)
    finished_copy.cortex("run", "coordination_events", "coordination_tables", "routing_dataset")
    finished_copy.cortex("run", "router_drift_report")
    assert finished_copy.version("routing_dataset") != trained_on
    figures, page = report(finished_copy)
    assert figures["new"] > 30
    assert figures["drifting"] >= 1
    assert "water the tomatoes" in page
    assert figures["accuracy_since"] < figures["accuracy_then"]
    assert "the first on 2027-01-01" in page
