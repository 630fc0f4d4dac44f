import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "coordination"


def output_rows(folder: Path) -> list[dict]:
    result = CliRunner().invoke(main, ["logs", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_each_record_is_counted_once_and_the_rest_is_named(tmp_path: Path) -> None:
    line = '{"task_id": "t1", "task_title": "Fix it", "routed_to": "development"}'
    (tmp_path / "a.jsonl").write_text(f'{line}\n{line}\nnoise\n{{}}{{"worker_id": "w"}}\n')
    (tmp_path / "b.jsonl").write_text(f'{line}\n{{"task_id": "t2", "rou')
    (tmp_path / "c.jsonl").write_text("")
    first, second, third = output_rows(tmp_path)
    assert (first["kind"], first["records"], first["duplicates"]) == ("decision", 3, 1)
    assert first["empty_objects"] == 1
    assert first["rejected"] == [{"offset": 2 * len(line) + 2, "reason": "text outside of a JSON object"}]
    assert (second["records"], second["duplicates"]) == (1, 1)
    assert second["rejected"] == [{"offset": len(line) + 1, "reason": "truncated; waits for the next run"}]
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
