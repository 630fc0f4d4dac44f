from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.connectors.snapshot import SNAPSHOTS, snapshot_file
from cortex_pipelines.projects.erase import drop_mirrors
from cortex_pipelines.projects.update_pins import UnreadSourcesError, pin_sources
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.ingestion.connected import database, declared, examples

OUTCOMES = "CREATE TABLE tasks (id TEXT, agent TEXT, state TEXT, summary TEXT, finished TEXT);"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "models"
    (root / "logs").mkdir(parents=True)
    (root / "logs" / "tasks.jsonl").write_text('{"event_type": "started"}\n')
    lock = {"feedback": {"files": []}, "models": {"base": {"a": 1}, "encoder": {"a": 1}}}
    (root / "sources.lock").write_text(yaml.safe_dump(lock))
    monkeypatch.setenv("TRACKER_URL", database(tmp_path / "tracker.db", examples("sql")[0]))
    row = "INSERT INTO tasks VALUES ('t-1', 'development', 'done', 'Mend it', NULL);"
    monkeypatch.setenv("AGENTS_URL", database(tmp_path / "agents.db", OUTCOMES, row))
    return root


def write(root: Path, **privacy: Any) -> Parameters:
    values = {"projects": {"shop": {"sources": [declared(0)]}}, "privacy": privacy}
    values |= {"coordination": {"logs": "logs", "sources": [declared(2)]}}
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    return load_parameters(root)


def test_sources_are_pinned_beside_all_others(root: Path) -> None:
    params = write(root)
    assert pin_sources(root, "shop", params) == ["coordination", "projects.shop"]
    lock = read_yaml(root / "sources.lock")
    (tracker,), (agents,) = lock["projects"]["shop"], lock["coordination"]["sources"]
    assert (tracker["dlt"], tracker["rows"]) == ("tracker", 3)
    assert (agents["dlt"], agents["rows"]) == ("agents", 1)
    assert [file["path"] for file in lock["coordination"]["files"]] == ["tasks.jsonl"]
    assert pin_sources(root, "shop", params) == []


def test_unread_sources_are_kept(root: Path, tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.delenv("AGENTS_URL")
    assert pin_sources(root, "shop", write(root)) == ["projects.shop"]
    assert "dlt:agents: the environment variable AGENTS_URL" in caplog.text
    database(tmp_path / "tracker.db", "DELETE FROM tickets WHERE number = 7;")
    with pytest.raises(UnreadSourcesError, match="coordination: dlt:agents: the environment variable AGENTS_URL") as e:
        pin_sources(root, None, load_parameters(root))
    assert "projects.shop" in e.value.changed
    assert "coordination" not in e.value.changed
    (tracker,) = read_yaml(root / "sources.lock")["projects"]["shop"]
    assert tracker["rows"] == 2


def test_forgetting_a_source_deletes_its_snapshot(root: Path, tmp_path: Path) -> None:
    pin_sources(root, "shop", write(root))
    lock = read_yaml(root / "sources.lock")
    agents = snapshot_file(root, lock["coordination"]["sources"][0]["sha256"])
    first = snapshot_file(root, lock["projects"]["shop"][0]["sha256"])
    database(tmp_path / "tracker.db", "DELETE FROM tickets WHERE number = 7;")
    pin_sources(root, "shop", load_parameters(root))
    second = snapshot_file(root, read_yaml(root / "sources.lock")["projects"]["shop"][0]["sha256"])
    assert {agents, first, second} == set((root / SNAPSHOTS).iterdir())
    assert drop_mirrors(root) == 1, "the row was deleted in the tracker; no tombstone is needed"
    assert {agents, second} == set((root / SNAPSHOTS).iterdir())
    stone = {"project": "shop", "source": None, "path": None, "author": None, "user": None}
    write(root, forgotten=[stone | {"path": "issues/tickets/7.md"}])
    assert drop_mirrors(root) == 0, "a part of a source"
    pins = (root / "sources.lock").rename(root / "lost")
    assert drop_mirrors(root) == 0, "nobody can say what is pinned"
    pins.rename(root / "sources.lock")
    write(root, forgotten=[stone | {"source": "dlt:tracker"}])
    assert (drop_mirrors(root), {agents}) == (1, set((root / SNAPSHOTS).iterdir()))


def test_a_purge_before_the_pins_follow_keeps_what_they_name(root: Path, tmp_path: Path) -> None:
    write(root)
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["projects"]["shop"]["sources"].append(declared(0) | {"dlt": "second"})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a = 1\n")
    values["projects"]["shop"]["sources"].append({"directory": "../code"})

    def write_parameters(*sources: Any, **privacy: Any) -> None:
        values["projects"]["shop"]["sources"] = list(sources)
        values["privacy"] = privacy
        (root / "params.yaml").write_text(yaml.safe_dump(values))

    tracker, second, code = values["projects"]["shop"]["sources"]
    second["tables"] = dict(list(second["tables"].items())[:1])
    write_parameters(tracker, second, code)
    pin_sources(root, "shop", load_parameters(root))
    pins = read_yaml(root / "sources.lock")["projects"]["shop"]
    both = {snapshot_file(root, pin["sha256"]) for pin in pins[:2]}
    snapshots = set((root / SNAPSHOTS).iterdir())
    assert both < snapshots
    for sources in ((second, code), (code,), (code, tracker, second), (second, tracker)):
        write_parameters(*sources)
        assert drop_mirrors(root) == 0, sources
        assert set((root / SNAPSHOTS).iterdir()) == snapshots
    stone = {"project": "shop", "source": "dlt:tracker", "path": None, "author": None, "user": None}
    write_parameters(code, second, tracker, forgotten=[stone])
    assert drop_mirrors(root) == 1
    assert snapshots - set((root / SNAPSHOTS).iterdir()) == {snapshot_file(root, pins[0]["sha256"])}
