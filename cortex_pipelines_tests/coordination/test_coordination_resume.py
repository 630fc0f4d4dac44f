import json
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.coordination.incremental import LogReader, LogRows
from cortex_pipelines.coordination.json_scanner import scan
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.coordination.records import canonical
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines_tests.parameters import PROPERTY_STEPS
from cortex_pipelines_tests.routing.logs import PARAMETERS

SETTINGS, PRIVACY = PARAMETERS.coordination, PARAMETERS.privacy

_lines = st.sampled_from(
    [
        b'{"task_id":"t1","routed_to":"security"}\n',
        b'{"task_id":"t2","routed_to":"cicd-master",\n "outcome":"failed"}',
        b'{"task_id":"t3","title":"ask ann.other@kestrel-systems.io"}\n',
        *(b'{"worker_id":"w","cpu_percent":3}', b"{}{}", b'{"a": [\n', b'{"cut": "unfin', b"]}\n", b"\xff", b" \n"),
        b'{"task_id":"t4","routed_to":"x","outcome":"odd","timestamp":"03/04/2026"}\n\n',
        b"worker-3: lost connection\n",
    ]
)


def reader(cache: RowCache | None) -> LogReader:
    return LogReader(SETTINGS.aliases, SETTINGS.test_rows, PRIVACY, cache)


def equal_rows(first: LogRows, second: LogRows) -> bool:
    equal = [frame.equals(other) for frame, other in zip(first.frames, second.frames, strict=True)]
    return first.end == second.end and all(equal)


@given(st.lists(_lines, max_size=12), st.lists(st.integers(0, 400), max_size=4))
def test_growing_logs_give_the_rows_of_one_reading(tmp_path_factory, lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(lines)
    growing = reader(RowCache(tmp_path_factory.mktemp("cache"), "1"))
    for cut in sorted({*cuts, len(data)}):
        assert equal_rows(growing.read("a.jsonl", data[:cut]), reader(None).read("a.jsonl", data[:cut]))


@settings(max_examples=2 * PROPERTY_STEPS)
@given(st.lists(_lines, max_size=12).map(b"".join) | st.binary(max_size=80))
def test_every_byte_is_in_a_record_or_rejected_or_blank(data: bytes) -> None:
    rows = reader(None).read("a.jsonl", data)
    uncovered = bytearray(data)
    ends = {span.start: span.end for span in scan(data)}
    events, rejected, _, _ = rows.frames
    for offset in rejected["byte_offset"]:
        uncovered[offset : ends[offset]] = b" " * (ends[offset] - offset)
    payloads = {row["payload"] for row in events.iter_rows(named=True)}
    text, position = uncovered.decode("latin-1").removeprefix("\xef\xbb\xbf").strip(), 0
    while position < len(text):  # what is left is JSON objects, nothing else
        value, position = json.JSONDecoder().raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        raw = json.loads(json.dumps(value).encode("latin-1"))
        assert not raw or canonical(redact_record(raw, PRIVACY, logs_key(PRIVACY)).value) in payloads


def test_only_what_was_appended_is_scanned(tmp_path: Path) -> None:
    logs, cache = tmp_path / "logs", RowCache(tmp_path / "cache", "1")
    logs.mkdir()
    log, scanned = logs / "a.jsonl", {}
    first, second_part = (b'{"task_id":"t1","routed_to":"cicd"}\n{"task_id":"t', b'2","routed_to":"cicd"}\n')

    def read() -> pl.DataFrame:
        pin = take_coordination_pin(logs, tmp_path, PRIVACY)
        events = read_logs(logs, pin, SETTINGS, PRIVACY, cache, scanned.__setitem__).events
        assert events.equals(read_logs(logs, pin, SETTINGS, PRIVACY).events)
        return events

    log.write_bytes(first)
    assert read()["task_id"].to_list() == ["t1"]
    assert scanned["scanned_bytes"] == len(first)
    log.write_bytes(first + second_part)
    assert sorted(read()["task_id"]) == ["t1", "t2"]
    assert scanned["scanned_bytes"] == len(b'{"task_id":"t' + second_part)
    read()
    assert scanned["scanned_bytes"] == 1  # the line's end may be more than that one day


def test_a_log_that_begins_otherwise_is_read_from_its_beginning(tmp_path: Path) -> None:
    growing = reader(RowCache(tmp_path, "1"))
    growing.read("a.jsonl", b'{"task_id":"t1"}\n{"task_id":"t2"}\n')
    rotated = b'{"task_id":"t3"}\n'
    assert equal_rows(growing.read("a.jsonl", rotated), reader(None).read("a.jsonl", rotated))
    other = LogReader({"ci": "cicd"}, [], PRIVACY, RowCache(tmp_path, "1"))
    assert other.read("a.jsonl", rotated).scanned == len(rotated)
