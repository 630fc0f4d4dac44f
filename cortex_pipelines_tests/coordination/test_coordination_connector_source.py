from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex_pipelines.coordination.assets import build_tables
from cortex_pipelines.coordination.logs import CoordinationError, Logs, pinned_outcomes, read_logs
from cortex_pipelines.coordination.settings import CoordinationSettings, CoordinationSource
from cortex_pipelines.ingestion.connectors.fetch import take_snapshot
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines_tests.ingestion.connected import database, declared
from cortex_pipelines_tests.routing.logs import PARAMETERS

AGENTS = declared(2)
ADDRESS = "bo.miller@northgate.dev"


def settings(*sources: dict[str, Any]) -> CoordinationSettings:
    values = {"logs": ".", "sample": False, "map": {}, "aliases": {"dev": "development"}, "test_rows": ["^x-"]}
    return CoordinationSettings.model_validate({**values, "sources": list(sources)})


def pinned(root: Path, *sources: dict[str, Any]) -> CoordinationSource:
    parsed = settings(*sources)
    pins = [take_snapshot(source, root) for source in parsed.sources]
    return CoordinationSource(parsed, {"files": [], "sources": pins})


def read(source: CoordinationSource, root: Path) -> Logs:
    connected = list(pinned_outcomes(source, root))
    return read_logs(root, source.pin, source.settings, PARAMETERS.privacy, connected=connected)


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "agents.db"
    url = database(
        path,
        "CREATE TABLE tasks (id TEXT, agent TEXT, state TEXT, summary TEXT, finished TIMESTAMP);"
        "INSERT INTO tasks VALUES"
        " ('t-1', 'dev', 'completed', 'Mend the order', '2026-01-02 03:04:05'),"
        f" ('t-2', 'security', 'failed', 'Ask {ADDRESS}', NULL),"
        " ('t-3', 'security', 'running', 'Still going', NULL),"
        " ('x-4', 'dev', 'done', 'Of a test', NULL);",
    )
    monkeypatch.setenv("AGENTS_URL", url)
    return path


def test_outcomes_of_a_database_are_rows_of_the_table(agents: Path, tmp_path: Path) -> None:
    source = pinned(tmp_path, AGENTS)
    agents.unlink()  # what is pinned is enough
    logs = read(source, tmp_path)
    tables = build_tables(logs.events, source.settings.aliases, PARAMETERS.log_tables)
    rows = {row["task_id"]: row for row in tables["outcomes"].iter_rows(named=True)}
    read_rows = [(name, row["master"], row["success"]) for name, row in sorted(rows.items())]
    assert read_rows == [("t-1", "development", True), ("t-2", "security", False), ("x-4", "development", True)]
    assert rows["t-1"]["occurred_at"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert rows["t-1"]["file"] == "dlt/agents/tasks.jsonl"
    assert [name for name, row in rows.items() if row["test_row"]] == ["x-4"]
    assert set(logs.events.filter(task_id="t-3")["kind"]) == {"other"}  # no outcome yet
    assert ADDRESS not in "".join(logs.events["payload"])
    assert logs.redacted.height == 1


@pytest.mark.parametrize(
    ("kind", "value", "success"),
    [("INTEGER", "0", False), ("BOOLEAN", "1", True), ("TEXT", "'failed'", False), ("TEXT", "'True'", True)],
)
def test_success_is_read_as_databases_have_it(tmp_path, monkeypatch, kind: str, value: str, success: bool) -> None:
    url = database(
        tmp_path / "a.db",
        f"CREATE TABLE tasks (task_id TEXT, master TEXT, success {kind});"
        f"INSERT INTO tasks VALUES ('t-1', 'development', {value});",
    )
    monkeypatch.setenv("URL", url)
    source = {"dlt": "agents", "sql": "URL", "tables": {"tasks": {"rows": "outcomes"}}}
    assert read(pinned(tmp_path, source), tmp_path).events.select("kind", "success").rows() == [("outcome", success)]


def test_a_source_that_is_not_pinned_as_declared_is_refused(agents: Path, tmp_path: Path) -> None:
    source = pinned(tmp_path, AGENTS)
    table = {**AGENTS["tables"]["tasks"], "columns": {"task_id": "id", "master": "agent"}}
    other = settings({**AGENTS, "tables": {"tasks": table}})
    unpinned: dict[str, Any] = {"files": []}
    for pin in (source.pin, unpinned):
        with pytest.raises(CoordinationError, match=r"no pin for dlt:agents .*`cortex update`"):
            read(CoordinationSource(other, pin), tmp_path)
    for path in (tmp_path / ".cortex/snapshots").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match=r"dlt:agents: the snapshot .* is not on this machine"):
        read(source, tmp_path)


def test_other_rows_have_their_place_in_projects() -> None:
    with pytest.raises(ValidationError, match="belong under projects; allowed here: outcomes"):
        settings(declared(0))
    with pytest.raises(ValidationError, match="dlt:agents is listed twice"):
        settings(AGENTS, AGENTS)
