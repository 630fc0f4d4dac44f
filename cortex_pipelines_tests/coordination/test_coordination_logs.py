import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.data_tables import logs
from cortex_pipelines.cli.main import main
from cortex_pipelines.coordination.assets import coordination_events
from cortex_pipelines.coordination.logs import CoordinationError, read_logs, take_coordination_pin
from cortex_pipelines.coordination.outcome_values import UNKNOWN_WORD
from cortex_pipelines.coordination.settings import CoordinationSource
from cortex_pipelines.timestamps import AMBIGUOUS
from cortex_pipelines_tests.routing.logs import PARAMETERS

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "coordination"
SETTINGS, PRIVACY = PARAMETERS.coordination, PARAMETERS.privacy


def read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    logs = read_logs(folder, take_coordination_pin(folder, folder, PRIVACY), SETTINGS, PRIVACY)
    assert logs.redacted.is_empty()
    return logs.events, logs.rejected


def test_repeated_records_count_once_where_they_stand_first(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"x":1}\n{"x":2}\n')
    (tmp_path / "a.jsonl").write_text('\n{"x": 2}\n{"x":2}\n')
    events, rejected = read(tmp_path)
    locations = sorted(events.select("file", "byte_offset", "payload").rows())
    assert locations == [("a.jsonl", 1, '{"x":2}'), ("b.jsonl", 0, '{"x":1}')]
    assert rejected.is_empty()


TASK = {"task_id": "t", "routed_to": "dev", "timestamp": "2026-03-01T10:00:00Z", "outcome": "ok"}


def test_what_is_not_understood_is_counted_with_its_line(tmp_path: Path) -> None:
    secret = "completed with kT9fQ2mZx7LpW4vBbo.miller@northgate.dev"
    wrong = ({}, {"outcome": "odd"}, {"timestamp": "03/04/2026"}, {"outcome": secret})
    lines = [json.dumps(TASK | fields | {"n": n}) for n, fields in enumerate(wrong)]
    log = tmp_path / "a.jsonl"
    log.write_text("\n".join([*lines, json.dumps(TASK | {"timestamp": "2026-03-01 10:00"})]))
    unread = read_logs(tmp_path, take_coordination_pin(tmp_path, tmp_path, PRIVACY), SETTINGS, PRIVACY).unread
    rows = [(2, "outcome", UNKNOWN_WORD), (3, "timestamp", AMBIGUOUS), (4, "outcome", UNKNOWN_WORD)]
    assert unread.select("file", "line", "field", "reason").rows() == [("a.jsonl", *row) for row in rows]
    assert unread["value"].to_list()[:2] == ["odd", "03/04/2026"]
    assert "northgate" not in "".join(unread["value"])
    result = CliRunner().invoke(logs, [str(tmp_path)])
    assert "0 rejected, 3 fields not understood" in result.output
    assert f"  a.jsonl:2: outcome 'odd': {UNKNOWN_WORD}" in result.output
    assert f"  a.jsonl:3: timestamp '03/04/2026': {AMBIGUOUS}" in result.output
    assert "1 times with no zone: taken as UTC" in result.output
    assert "northgate" not in result.output
    (summary,) = json.loads(CliRunner().invoke(logs, [str(log), "--json"]).output)
    assert summary["unread_by_reason"] == {UNKNOWN_WORD: 2, AMBIGUOUS: 1}


def test_what_is_appended_waits_for_the_next_pin(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "a.jsonl"
    log.parent.mkdir()
    log.write_text('{"x":1}\n{"x":')
    pin = take_coordination_pin(tmp_path, tmp_path, PRIVACY)
    log.write_text('{"x":1}\n{"x":2}\n')
    logs = read_logs(tmp_path, pin, SETTINGS, PRIVACY)
    assert logs.events["payload"].to_list() == ['{"x":1}']
    assert logs.rejected.rows() == [("deep/a.jsonl", 8, "truncated; waits for the next run")]
    events, rejected = read(tmp_path)
    assert events.height == 2
    assert rejected.is_empty()


def test_a_changed_or_missing_log_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text('{"x":1}\n')
    pin = take_coordination_pin(tmp_path, tmp_path, PRIVACY)
    for change in (lambda: log.write_text('{"x":2}\n'), lambda: log.write_text(""), log.unlink):
        change()
        with pytest.raises(CoordinationError, match=r"a\.jsonl.*cortex update"):
            read_logs(tmp_path, pin, SETTINGS, PRIVACY)
    with pytest.raises(CoordinationError, match="cortex update"):
        read_logs(tmp_path, {}, SETTINGS, PRIVACY)
    with pytest.raises(CoordinationError, match=r"coordination\.logs"):
        take_coordination_pin(tmp_path / "nowhere", tmp_path, PRIVACY)


def test_the_pin_is_plain_sorted_and_relative(tmp_path: Path) -> None:
    for name in ("z.jsonl", "a/b.ndjson", "a.jsonl", "notes.txt", "c/routing-patterns.json"):
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    pin = take_coordination_pin(Path("logs"), tmp_path, PRIVACY)
    assert json.loads(json.dumps(pin)) == pin
    assert [file["path"] for file in pin["files"]] == ["a.jsonl", "a/b.ndjson", "c/routing-patterns.json", "z.jsonl"]
    assert {file["size"] for file in pin["files"]} == {2}


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    try:
        Path(str(tmp_path) + "/bad\udcff.jsonl").write_text("{}")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(CoordinationError, match="rename"):
        take_coordination_pin(tmp_path, tmp_path, PRIVACY)


def test_the_asset_reads_the_sample(tmp_path: Path) -> None:
    pin = take_coordination_pin(ROOT / SETTINGS.logs, ROOT, PRIVACY)
    tables = coordination_events(CoordinationSource(SETTINGS, pin), PRIVACY, tmp_path, ROOT)
    assert tables["redacted_events"].is_empty()
    report = json.loads((tmp_path / "compliance.json").read_text())
    assert report["records"] == {"published": tables["events"].height, "redacted": 0}
    events, rejected = tables["events"], tables["rejected_events"]
    assert set(events["master"].drop_nulls()) == {"development", "security", "inventory", "cicd", "coordinator"}
    assert set(events["kind"]) >= {
        *("decision", "outcome", "event", "model_selection", "evaluation"),
        *("worker_metric", "system_metric", "routing_rules"),
    }
    assert "other" not in set(events["kind"])
    assert events.filter("test_row").height > 0
    assert set(rejected["reason"]) == {"truncated; waits for the next run", "text outside of a JSON object"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared samples are not here")
def test_real_formats_are_understood_without_a_rejection() -> None:
    events, rejected = read(SHARED)
    assert rejected.is_empty()
    assert "other" not in set(events["kind"])
    # 18 lines of decisions, one of which stands there twice
    decisions = events.filter(pl.col("file").str.ends_with("routing-decisions.jsonl"))
    lines = (SHARED / decisions["file"][0]).read_text().splitlines()
    assert decisions.height == len({json.dumps(json.loads(x), sort_keys=True) for x in lines})
    assert events["occurred_at"].null_count() == 1  # the rules have none
    assert set(events["master"].drop_nulls()) == {"development", "security", "inventory", "coordinator"}
    assert events.filter("test_row")["task_id"].str.starts_with("moe-test-").all()


def output_rows(folder: Path) -> list[dict]:
    result = CliRunner().invoke(main, ["logs", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_each_record_is_counted_once_and_the_rest_is_named(tmp_path: Path) -> None:
    line = '{"task_id": "t1", "task_title": "Fix it", "routed_to": "development"}'
    (tmp_path / "a.jsonl").write_text(f'{line}\n{line}\nnoise\n{{}}{{"worker_id": "w"}}\n')
    (tmp_path / "b.jsonl").write_text(f'{line}\n{{"task_id": "t2", "rou')
    (tmp_path / "c.jsonl").write_text("")
    first, second, third = output_rows(tmp_path)
    assert (first["kind"], first["records"], first["duplicates"]) == ("decision", 3, 1)
    assert first["empty_objects"] == 1
    assert first["rejected"] == [{"line": 3, "reason": "text outside of a JSON object"}]
    assert (second["records"], second["duplicates"]) == (1, 1)
    assert second["rejected"] == [{"line": 2, "reason": "truncated; waits for the next run"}]
    assert (third["kind"], third["records"], third["rejected"]) == ("empty", 0, [])


def test_a_single_file_and_a_table(tmp_path: Path) -> None:
    log = tmp_path / "one.jsonl"
    log.write_text('{"task_id": "moe-test-1", "routed_to": "security"} rest')
    (row,) = output_rows(log)
    assert (row["file"], row["test_rows"]) == ("one.jsonl", 1)
    table = CliRunner().invoke(main, ["logs", str(tmp_path)])
    assert "one.jsonl: decision, 1 records" in table.output
    assert "text outside" in table.output


def test_no_folder_is_an_error_that_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["logs", str(tmp_path / "none"), "--json"])
    assert result.exit_code == 1
    assert "no folder" in result.output


@pytest.mark.skipif(not SHARED.is_dir(), reason="no samples of real logs here")
def test_real_formats_are_understood() -> None:
    rows_by_file = {row["file"]: row for row in output_rows(SHARED)}
    assert rows_by_file
    assert all(row["records"] for row in rows_by_file.values())
