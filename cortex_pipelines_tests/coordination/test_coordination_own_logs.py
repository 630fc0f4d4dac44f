import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pyarrow import compress

from cortex_pipelines.coordination.formats import NUMBERED, is_log_name, read_records
from cortex_pipelines.coordination.guessing import guess_mapping, parse_map
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.coordination.mapping import mapped_record, notation_of
from cortex_pipelines.coordination.summary import open_logs
from cortex_pipelines.routing.dataset.accounting import account
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.routing.logs import PARAMETERS

CASES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PRIVACY = PARAMETERS.privacy


@pytest.mark.parametrize(("name", "text", "records", "refused", "notes"), CASES["read"])
def test_every_format_is_read_with_its_lines(name: str, text: str, records: list, refused: list, notes: list) -> None:
    read = read_records(name, text.encode())
    assert [list(item) for item in read.records] == records
    assert [list(item) for item in read.refused] == refused
    assert list(read.notes) == notes


def test_other_encodings_and_binary_formats(tmp_path: Path) -> None:
    latin = read_records("a.csv", "wer;was\nMüller;läuft\n".encode("latin-1"))
    assert latin.records == [(2, {"wer": "Müller", "was": "läuft"})]
    assert "Windows-1252" in latin.notes[0]
    assert read_records("a.csv", "a,b\n1,2\n".encode("utf-16")).records == [(2, {"a": "1", "b": "2"})]
    assert read_records("a.JSONL.gz", gzip.compress(b'{"a": 1}\n')).records == [(1, {"a": 1})]
    packed = compress(b'{"a": 1}\n', codec="zstd", asbytes=True)
    assert read_records("a.log.zst", packed).records == [(1, {"a": 1})]
    assert "cut off" in read_records("a.jsonl.zst", packed[:9]).refused[0][1]
    assert "cut off" in read_records("a.jsonl.zst", b"{}").refused[0][1]
    rotated = (
        "a.log.1",
        "a.jsonl.1",
        "a.json.12.gz",
        "a.ndjson-20260301.gz",
        "a.jsonl.2026-03-01_00-00",
        "a.JSONL.2026-03-01",
    )
    for name in rotated:
        data = b'{"a": 1}\n'
        assert read_records(name, gzip.compress(data) if name.endswith(".gz") else data).records == [(1, {"a": 1})]
    assert not any(map(is_log_name, ("a.txt.1", "a.tar.gz", "jsonl.1", "a.jsonl.1234", "a.jsonl.old")))
    pl.DataFrame({"at": [datetime(2026, 3, 1)], "n": [{"x": 1}]}).write_parquet(tmp_path / "a.parquet")
    parquet = read_records("a.parquet", (tmp_path / "a.parquet").read_bytes())
    assert parquet.records == [(1, {"at": "2026-03-01T00:00:00", "n": {"x": 1}})]
    assert parquet.notes == [NUMBERED]
    assert "not a Parquet file" in read_records("a.parquet", b"PAR1").refused[0][1]


@pytest.mark.parametrize(("expected", "columns"), CASES["guess"])
def test_keys_are_guessed_or_asked_about(expected: dict[str, str], columns: dict[str, list]) -> None:
    rows = zip(*columns.values(), strict=True)
    records = [json.loads(json.dumps(dict(zip(columns, row, strict=True)), default=str)) for row in rows]
    guess = guess_mapping(records, {})
    assert dict(guess.mapping) == expected
    if "master" not in expected:
        assert guess.open == {"master": ["team", "agent"]}
        assert "--map master=team or --map master=agent" in guess.question("master", str)


@pytest.mark.parametrize(
    ("fields", "masters"),
    [
        (
            [{"assignee": {"name": a}, "components": [{"name": c}]} for a, c in ("xp", "yp", "yq")],
            ["assignee", "components"],
        ),
        (
            [{"Assignee": a, "Component/s": c, "Reporter": "z"} for a, c in ("xp", "yp", "yq")],
            ["Assignee", "Component/s"],
        ),
        ([{"via": {"channel": c}, "brand": b} for c, b in ("xp", "yp", "yq")], ["via.channel", "brand"]),
    ],
)
def test_people_channels_and_components_are_asked_about(fields: list[dict[str, Any]], masters: list[str]) -> None:
    """Jira's and Zendesk's: which of them is a task's master, nothing tells."""
    records = [{"summary": text, **field} for text, field in zip(("fix it", "do it", "see it"), fields, strict=True)]
    assert [key.removesuffix(".name") for key in guess_mapping(records, {}).open["master"]] == masters


def test_a_key_that_names_masters_may_have_hundreds(tmp_path: Path) -> None:
    lines = [{"text": f"fix part {n}", "agent": f"team {n % 250}", "reporter": f"person {n % 250}"} for n in range(750)]
    assert guess_mapping(lines, {}).mapping["master"] == "agent"
    assert "master" not in guess_mapping([line | {"agent": None} for line in lines], {}).mapping
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert "over 250 masters: team 0 3, " in (output := cortex("logs", tmp_path).output)
    assert " and 238 more" in output


def test_of_many_files_those_are_shown_with_most_that_was_not_read(tmp_path: Path) -> None:
    for day in range(30):
        (tmp_path / f"{day:02d}.jsonl").write_text('{"text": "fix it", "agent": "x"}\n' + "no\n" * (day == 29))
    output = cortex("logs", tmp_path).output
    assert "19.jsonl" not in output
    assert missing(output, "18.jsonl: ", "29.jsonl:2: ", "and 10 files more: 10 records, 0 rejected") == []


@pytest.mark.parametrize(("fact", "key", "value", "expected"), CASES["facts"])
def test_a_fact_is_read_by_key_and_type(fact: Any, key: str, value: Any, expected: list | None) -> None:
    mapping = {"task": "summary", "master": "agent"} | {fact: key}
    record = mapped_record({"summary": "fix it", "agent": "x", key: value}, mapping)
    assert record is not None
    mapped_facts = [
        [name, read] for name, read in record.items() if name not in ("event_type", "task_title", "routed_to")
    ]
    assert mapped_facts == ([] if expected is None else [expected])
    if fact in ("task", "master"):
        assert {"task": "task_title", "master": "routed_to"}[fact] not in record


@pytest.mark.parametrize(
    ("days", "read"),
    [
        (["03/04/2026 10:00", "03/27/2026"], ["2026-03-04 10:00", "2026-03-27"]),
        (["03/04/2026", "27-3-2026"], ["2026-04-03", "2026-03-27"]),
        (["03/04/2026", "01/02/2026"], ["03/04/2026", "01/02/2026"]),
        (["27/04/2026", "04/27/2026"], ["27/04/2026", "04/27/2026"]),
    ],
)
def test_one_day_above_twelve_says_the_order_of_all(days: list[str], read: list[str]) -> None:
    mapping = parse_map("task=t,time=d")
    records = [{"t": "fix it", "d": day} for day in days]
    notation = notation_of(records, mapping)
    assert [(mapped_record(record, mapping, notation) or {})["timestamp"] for record in records] == read


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["1,500", "150,7", "1.234,5", "1.500", "2.5", "1,5 h"], [1.5, 150.7, 1234.5, 1500, 2.5, 5400]),
        (["1,500", "150.7", "1,234.5", "1,234,567"], [1500, 150.7, 1234.5, 1234567]),
    ],
)
def test_one_decimal_comma_says_what_commas_are(texts: list[str], seconds: list[float]) -> None:
    mapping = parse_map("task=t,duration=took")
    records = [{"t": "fix it", "took": text} for text in texts]
    notation = notation_of(records, mapping)
    assert [(mapped_record(record, mapping, notation) or {})["duration_seconds"] for record in records] == seconds


HEAD = "summary,agent,status,n"
ROWS = (
    *("fix the page,web,done,1", "fix the form,web,done,2", "fix the list,web,failed,3", "fix the menu,web,weird,4"),
    *(",web,done,5", "fix the bar,,done,6", "fix the table,42,done,7", "fix the index,W-eb,done,8", "a,b,c,d,e"),
    *("Fix the page!,web,done,9", "fix the page,web,done,1"),
)
WHY = {
    "it has no text of a task": [6],
    "it names no master": [7],
    "a number or truth value, not the name of a master": [8],
    "its master has fewer than three tasks": [9],
    "more fields than the 4 columns of the first line": [10],
    "the task failed or was taken away there: it tells only who was wrong": [4],
    "the same task again": [11],
    "the same record again": [12],
}


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "tasks.csv").write_text("\n".join([HEAD, *ROWS]))
    (folder / "notes.txt").write_text("none of it")
    return folder


def test_no_record_vanishes_without_a_reason_and_a_line(exported: Path) -> None:
    (file,) = json.loads(cortex("logs", exported, "--map", "id=n", "--json").stdout)
    assert file["map"] == {"task": "summary", "master": "agent", "outcome": "status", "id": "n"}
    assert {reason: lines for reason, lines in file["unused"].items() if reason in WHY} == WHY
    output = cortex("logs", exported, "--map", "id=n").output
    assert "tasks.csv:5: status 'weird'" in output
    assert (
        missing(
            output,
            "tasks.csv:8",
            "W-eb (1)",
            "one master? W-eb and web",
            "--keep-rare",
            "not read: 1 .txt",
            "1 of them without a known",
        )
        == []
    )
    with_rare = cortex("logs", exported, "--map", "id=n", "--keep-rare").output
    assert "over 2 masters: web 3, W-eb 1" in with_rare


@pytest.mark.parametrize(("files", "labels"), CASES["joined"])
def test_records_of_a_task_are_joined_by_its_id(
    tmp_path: Path, files: dict[str, list[dict[str, Any]]], labels: dict[str, str]
) -> None:
    for name, records in files.items():
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))
    opened = open_logs(tmp_path, PARAMETERS.coordination, PRIVACY)
    accounting = account(opened.events, opened.unread, keep_rare=True)
    assert {task.text: f"{task.master} by {task.source}" for task in accounting.tasks} == labels
    settings = PARAMETERS.coordination.model_copy(update={"map": dict(opened.guess.mapping) if opened.guess else {}})
    pin = take_coordination_pin(tmp_path, tmp_path, PRIVACY, mapped=True)
    assert read_logs(tmp_path, pin, settings, PRIVACY).events.equals(opened.events.sort("event_id"))


@pytest.mark.parametrize("keys", [("task_title", "routed_to"), ("summary", "agent")])
def test_rotated_logs_are_read_with_the_current_one(tmp_path: Path, keys: tuple[str, str]) -> None:
    lines = [json.dumps({"task_id": n, keys[0]: f"fix page {n}", keys[1]: "ab"[n % 2]}) + "\n" for n in range(9)]
    (tmp_path / "tasks.jsonl").write_text("".join(lines[5:]))
    (tmp_path / "tasks.jsonl.1").write_text("".join(lines[3:6]))
    (tmp_path / "tasks.jsonl.2.gz").write_bytes(gzip.compress("".join(lines[:3]).encode()))
    opened = open_logs(tmp_path, PARAMETERS.coordination, PRIVACY)
    assert len(account(opened.events, opened.unread, keep_rare=False).tasks) == 9
    assert opened.other_files == []
    settings = PARAMETERS.coordination.model_copy(update={"map": dict(opened.guess.mapping) if opened.guess else {}})
    pin = take_coordination_pin(tmp_path, tmp_path, PRIVACY, mapped=bool(settings.map))
    assert read_logs(tmp_path, pin, settings, PRIVACY).events["text"].n_unique() == 9


def test_many_texts_of_failures_are_an_outcome() -> None:
    rows = [{"prompt": f"fix {n}", "worker": "ab"[n % 2], "status": f"failed: reason {n}"} for n in range(40)]
    assert guess_mapping(rows, {}).mapping["outcome"] == "status"


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        (
            "a.csv",
            "prompt,worker,note",
            "no key looks like the outcome (--map outcome=KEY names it; the others are note)",
        ),
        ("a.csv", "prompt,worker,status", "nothing in 'status' says whether a task succeeded"),
        ("a.jsonl", "task_title,routed_to,note", "no record says whether a task succeeded"),
    ],
)
def test_records_without_an_outcome_say_so(tmp_path: Path, name: str, head: str, words: str) -> None:
    rows = [f"fix {n} now,{'ab'[n % 2]},odd" for n in range(9)]
    if name == "a.jsonl":
        rows = [json.dumps(dict(zip(head.split(","), row.split(","), strict=True))) for row in rows]
    (tmp_path / name).write_text("\n".join([head, *rows] if name == "a.csv" else rows))
    output = cortex("logs", tmp_path).output
    assert words in output
    assert "tasks that failed are learnt" in output


def test_outcomes_that_no_id_joins_ask_for_one(tmp_path: Path) -> None:
    rows = [{"prompt": f"fix {n} now", "worker": "ab"[n % 2], "n": 1} for n in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"n": 1, "is_error": True}])))
    assert "'is_error' stand in records without a task (--map id=KEY" in cortex("logs", tmp_path).output


@pytest.mark.parametrize(("facts", "words"), CASES["refused"])
def test_a_mapping_that_fits_nothing_is_refused(exported: Path, facts: str, words: str) -> None:
    status = 1 if facts.startswith("task=") else 2
    assert words in " ".join(cortex("logs", exported, "--map", facts, status=status).output.split())


def test_assets_read_mapped_logs_as_the_command_does(exported: Path) -> None:
    settings = PARAMETERS.coordination.model_copy(
        update={"map": parse_map("task=summary,master=agent,outcome=status,id=n")}
    )
    (exported / "own.jsonl").write_text(
        '{"task_id": "t", "task_title": "As ever", "routed_to": "web", "outcome": "ok"}\n'
    )
    pin = take_coordination_pin(exported, exported, PRIVACY, mapped=True)
    events = read_logs(exported, pin, settings, PRIVACY).events
    opened = open_logs(exported, settings, PRIVACY)
    assert events.sort("event_id").equals(opened.events.sort("event_id"))
    assert events.filter(file="own.jsonl").select("text", "success").rows() == [("As ever", True)]
    assert events.filter(text="fix the list").select("master", "success", "task_id").rows() == [("web", False, "3")]
    assert [file["path"] for file in take_coordination_pin(exported, exported, PRIVACY)["files"]] == ["own.jsonl"]
