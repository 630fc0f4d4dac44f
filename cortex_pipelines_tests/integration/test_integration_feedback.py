import json

import polars as pl
import pytest

from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.feedback.store import EventLog
from cortex_pipelines_tests.integration.miniproject import MiniProject

pytestmark = pytest.mark.slow


def test_events_become_a_version_and_stale_nothing_else(begun: MiniProject) -> None:
    begun.cortex("run", "interactions")
    empty = begun.version("interactions")
    before = begun.status()
    begun.edit_params(lambda values: values["feedback"].update(consent=["alpha"]))
    log = EventLog(gateway_log(begun.root).parent)
    log.add({"type": "offered", "completion_id": "c1", "project": "alpha", "characters": 9})
    log.add({"type": "select", "completion_id": "c1"})
    log.add({"type": "offered", "completion_id": "c2", "project": "beta"})
    begun.cortex("update")
    begun.cortex("run", "interactions")
    version = begun.version("interactions")
    assert version != empty
    frame = pl.read_parquet(begun.root / "data/interactions/interactions.parquet")
    assert frame.select("completion_id", "outcome").rows() == [("c1", "accepted")]
    pins = (begun.root / "sources.lock").read_bytes()
    begun.cortex("feedback", "import")
    begun.cortex("update")
    assert (begun.root / "sources.lock").read_bytes() == pins
    assert "interactions" not in begun.dvc_status()
    changed = {entry["asset"] for entry in begun.status() if entry not in before}
    assert changed == {"interactions"}
    begun.repro("interactions")
    assert begun.version("interactions") == version
    groups = json.loads(begun.cortex("feedback", "show", "--json").stdout)
    assert [group["value"] for group in groups if group["by"] == "project"] == ["alpha"]
