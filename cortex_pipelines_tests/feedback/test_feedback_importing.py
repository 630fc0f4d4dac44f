"""Importing feedback: every form, hostile lines, repetition, consent, retention time."""

import gzip
import json
import random
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_pipelines.feedback.assets import interactions
from cortex_pipelines.feedback.project_feedback import ImportSummary, RejectedLine, import_file
from cortex_pipelines.feedback.settings import FeedbackSettings, FeedbackSource
from cortex_pipelines.feedback.store import FeedbackError, open_store, take_feedback_pin
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import sections

PRIVACY = PrivacySettings.model_validate(sections()["privacy"])
SETTINGS = FeedbackSettings(events="store", consent=("shop",), keep_days=30)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SECRET = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
RECORDS = yaml.safe_load(Path(__file__).with_name("records.yaml").read_text(encoding="utf-8").replace("SECRET", SECRET))
GATEWAY: list[dict[str, Any]] = RECORDS["gateway"]
CONTINUE: dict[str, Any] = RECORDS["continue"]
HOSTILE: tuple[tuple[bytes, str], ...] = (
    (b"[" * 100_000, "is not JSON"),
    (b"\xff\xfe{}", "is not JSON"),
    (b"{" + b" " * (5 << 20) + b"}", "is longer than 4 MiB"),
    (b'{"corrected": "c", "at": "' + b"1" * 5000 + b'"}', "time stamp: expected ISO 8601"),
    *((line.encode(), reason) for line, reason in RECORDS["hostile"]),
)


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def take_in(
    root: Path, *files: Path, project: str | None = None, settings: FeedbackSettings = SETTINGS
) -> tuple[ImportSummary, list[RejectedLine]]:
    result, refused = ImportSummary(), []
    with open_store(root / "store") as store:
        for file in files:
            refused += list(import_file(file, store, settings, PRIVACY, project, result, NOW))
    return result, refused


def table(root: Path, settings: FeedbackSettings = SETTINGS) -> list[dict[str, Any]]:
    rows = interactions(FeedbackSource(settings, take_feedback_pin(settings, root, PRIVACY)), PRIVACY, root)
    return [dict(row) for row in rows["interactions"].to_dicts()]


def test_the_gateways_own_log_becomes_an_interaction_without_secrets(tmp_path: Path) -> None:
    result, refused = take_in(tmp_path, lines(tmp_path / "events.jsonl", *GATEWAY))
    assert (result.lines, result.taken, result.new, refused) == (5, 5, 6, [])
    (row,) = table(tmp_path)
    assert row["version"] == "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    assert (row["outcome"], row["accepted_characters"], row["retained_5min"]) == ("partly_accepted", 12, 9)
    assert (row["arm"], row["propensity"], row["latency_ms"]) == ("a", 0.5, 80.5)
    assert (row["rating"], row["seconds_to_accept"]) == ("down", 1.5)
    assert row["corrected"].startswith("token = 'REDACTED_")
    assert SECRET not in (tmp_path / "store" / "2026-03.jsonl").read_text()


def test_continue_logs_one_completion_as_rejected_and_accepted(tmp_path: Path) -> None:
    again = CONTINUE | {"accepted": True}
    posted = {"name": "autocomplete", "schema": "0.2.0", "data": CONTINUE, "level": "all"}
    result, _ = take_in(tmp_path, lines(tmp_path / "autocomplete.jsonl", CONTINUE, again, posted))
    assert (result.new, result.repeated) == (3, 3)
    (row,) = table(tmp_path)
    assert (row["outcome"], row["contradictory"]) == ("accepted", True)
    assert (row["project"], row["path"], row["language"]) == ("shop", "src/cart.py", "python")
    assert (row["original"], row["characters"]) == ("return total", 12)
    assert "ada" not in (tmp_path / "store" / "2026-03.jsonl").read_text()
    assert len(row["user"]) == 16


def test_votes_and_edits_of_continue(tmp_path: Path) -> None:
    common = {"schema": "0.2.0", "timestamp": "1772366400000", "completion": "x", "prompt": "y"}
    vote = common | {"sessionId": "5d3f", "feedback": False}
    edit = common | {"previousCode": "a", "newCode": "b", "accepted": True}
    take_in(tmp_path, lines(tmp_path / "a.jsonl", vote, edit), project="shop")
    rows = {row["task"]: row for row in table(tmp_path)}
    assert (rows["chat"]["rating"], rows["edit"]["outcome"]) == ("down", "accepted")
    assert rows["edit"]["first_at"] == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_tabbys_own_log(tmp_path: Path) -> None:
    stamp = 1772366400000
    choices = [{"index": 0, "text": "one"}, {"index": 1, "text": "three"}]
    completion = {"completion_id": "t", "language": "go", "prompt": "p", "choices": choices}
    path = lines(
        tmp_path / "2026-03-01.json",
        {"ts": stamp, "event": {"completion": completion}},
        {"ts": stamp, "event": {"view": {"completion_id": "t", "choice_index": 1}}},
        {"ts": stamp + 900, "event": {"select": {"completion_id": "t", "choice_index": 1}}},
    )
    take_in(tmp_path, path, project="shop")
    rows = {row["completion_id"]: row for row in table(tmp_path)}
    assert rows["t"]["outcome"] == "offered"
    assert (rows["t:1"]["original"], rows["t:1"]["seconds_to_accept"]) == ("three", 0.9)


def test_corrections_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text('original,corrected,language\n"a, b",c,go\nd,e,go,f\n', encoding="utf-8")
    result, refused = take_in(tmp_path, path, project="shop")
    assert (result.lines, result.taken, refused) == (2, 1, [RejectedLine("corrections.csv", 3, "has too many cells")])
    (row,) = table(tmp_path)
    assert (row["original"], row["corrected"], row["first_at"]) == ("a, b", "c", None)
    path.write_bytes(b"original,corrected\n\xff,b\nc,d\n" + b"x" * (5 << 20) + b",e\nf,g\n")
    result, refused = take_in(tmp_path, path, project="shop")
    assert (result.lines, result.taken) == (4, 2)
    assert [line.reason.partition(":")[0] for line in refused] == [
        "original",
        "is not a row of a CSV (field larger than field limit (4194304))",
    ]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FeedbackError, match="has no column corrected"):
        take_in(tmp_path, tmp_path / "other.csv")


def test_each_bad_line_is_named_with_its_reason_and_the_others_are_taken(tmp_path: Path) -> None:
    good = json.dumps(GATEWAY[0]).encode()
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(part for bad, _ in HOSTILE for part in (bad, good)) + b"\n\n{")
    result, refused = take_in(tmp_path, path)
    assert result.taken == len(HOSTILE)
    assert result.lines == result.taken + len(refused) == result.taken + sum(result.refused.values())
    assert (result.new, result.repeated) == (1, len(HOSTILE) - 1)
    assert [line.line for line in refused] == [*range(1, 2 * len(HOSTILE), 2), 2 * len(HOSTILE) + 2]
    for line, (_, reason) in zip(refused, HOSTILE, strict=False):
        assert reason in line.reason


def test_importing_twice_shuffled_and_in_parts_changes_nothing(tmp_path: Path) -> None:
    records = [*GATEWAY, CONTINUE, CONTINUE | {"accepted": True}]
    take_in(tmp_path, lines(tmp_path / "a.jsonl", *records))
    before, pin = table(tmp_path), take_feedback_pin(SETTINGS, tmp_path, PRIVACY)
    result, _ = take_in(tmp_path, tmp_path / "a.jsonl", tmp_path / "a.jsonl")
    assert (result.new, take_feedback_pin(SETTINGS, tmp_path, PRIVACY)) == (0, pin)
    random.Random(3).shuffle(records)
    other = tmp_path / "other"
    other.mkdir()
    take_in(other, *(lines(other / "1.jsonl", *records[:4]), lines(other / "2.jsonl", *records[3:])))
    assert table(other) == before


def test_without_consent_nothing_is_kept_and_withdrawn_the_table_is_empty(tmp_path: Path) -> None:
    nobody = SETTINGS.model_copy(update={"consent": ()})
    result, _ = take_in(tmp_path, lines(tmp_path / "a.jsonl", *GATEWAY), settings=nobody)
    assert (result.taken, sum(result.refused.values())) == (0, 5)
    assert not list((tmp_path / "store").glob("*.jsonl"))
    take_in(tmp_path, lines(tmp_path / "a.jsonl", *GATEWAY))
    assert (len(table(tmp_path)), table(tmp_path, SETTINGS.model_copy(update={"consent": ("other",)}))) == (1, [])


def test_what_a_killed_import_left_is_neither_lost_nor_counted_twice(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *GATEWAY)
    take_in(tmp_path, path)
    stored = tmp_path / "store" / "2026-03.jsonl"
    original_bytes = stored.read_bytes()
    for cut in (0, 1, len(original_bytes) // 2, len(original_bytes) - 1):
        stored.write_bytes(original_bytes[:cut])  # what a crash of the machine leaves
        result, _ = take_in(tmp_path, path)
        assert sorted(stored.read_bytes().splitlines()) == sorted(original_bytes.splitlines())
    (tmp_path / "store" / "known.sqlite").unlink()
    result, _ = take_in(tmp_path, path)
    assert (result.new, result.repeated) == (0, 6)


def test_months_beyond_the_retention_time_are_deleted(tmp_path: Path) -> None:
    old = [record | {"at": "2026-02-12T12:00:00Z", "completion_id": "old"} for record in GATEWAY]
    path = lines(tmp_path / "a.jsonl", *GATEWAY, *old)
    take_in(tmp_path, path)
    assert len(table(tmp_path)) == 2
    with open_store(tmp_path / "store") as store:
        assert store.forget_before(datetime(2026, 2, 28, tzinfo=UTC)) == []
        assert store.forget_before(datetime(2026, 3, 1, tzinfo=UTC)) == ["2026-02.jsonl"]
    assert ([row["completion_id"] for row in table(tmp_path)], take_in(tmp_path, path)[0].new) == (["cmpl-1"], 6)


def test_a_changed_store_is_refused_with_the_remedy(tmp_path: Path) -> None:
    take_in(tmp_path, lines(tmp_path / "a.jsonl", *GATEWAY))
    pin = take_feedback_pin(SETTINGS, tmp_path, PRIVACY)
    stored = tmp_path / "store" / "2026-03.jsonl"
    stored.write_text(stored.read_text().replace("cmpl-1", "cmpl-2", 1))
    for source, words in ((pin, "changed in its first"), ({}, "nothing is pinned")):
        with pytest.raises(FeedbackError, match=f"feedback.*{words}.*cortex update"):
            interactions(FeedbackSource(SETTINGS, source), PRIVACY, tmp_path)


def test_a_stream_of_events_needs_no_more_memory_as_it_grows(tmp_path: Path) -> None:
    """Peak memory after four batches and after twelve; a list of the events would need 20 MB."""

    def stream(name: str, begin: int, count: int) -> Path:
        start = datetime(2026, 3, 1, tzinfo=UTC)
        view = {"type": "view", "choice_index": 0}
        return lines(
            tmp_path / name,
            *(
                view | {"at": (start + timedelta(seconds=n)).isoformat(), "completion_id": f"c{n}"}
                for n in range(begin, begin + count)
            ),
        )

    files = stream("warm.jsonl", 0, 4000), stream("long.jsonl", 4000, 8_000)
    result, _ = take_in(tmp_path, files[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result, _ = take_in(tmp_path, files[1])
    assert result.new == 8_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10


def test_the_same_correction_by_two_people_or_in_two_projects_is_two(tmp_path: Path) -> None:
    words = {"original": "x = 1", "corrected": "x = 2", "path": "src/a.py"}
    people = [words | {"user": name} for name in ("ann", "bob")]
    path = lines(tmp_path / "a.jsonl", *people, words | {"user": "ann", "project": "stall"})
    both = SETTINGS.model_copy(update={"consent": ("shop", "stall")})
    take_in(tmp_path, path, project="shop", settings=both)
    assert sorted(row["project"] for row in table(tmp_path, both)) == ["shop", "shop", "stall"]
    ann = author_pseudonym("ann", logs_key(PRIVACY))
    with open_store(tmp_path / "store") as store:
        assert store.forget(lambda event: event.get("unit") == ann) == 2
    (remaining,) = table(tmp_path, both)
    assert remaining["user"] == author_pseudonym("bob", logs_key(PRIVACY))


def test_no_home_folder_is_stored_from_any_source(tmp_path: Path) -> None:
    home = "/home/jane.doe/work/shop/src/a.py"
    windows = CONTINUE | {"filepath": "c:\\Users\\jane.doe\\work\\shop\\src\\a.py"}
    abroad = {"corrected": "c", "path": "D:\\jane.doe\\b.py", "user": "ann"}
    offer = GATEWAY[0] | {"path": "file:///c%3A/Users/jane.doe/shop/src/a.py"}
    path = lines(tmp_path / "a.jsonl", windows, abroad, offer, {"original": "a", "corrected": "b", "path": home})
    result, _ = take_in(tmp_path, path, project="shop")
    assert result.taken == 4
    assert not any(b"jane" in file.read_bytes() for file in (tmp_path / "store").glob("*.jsonl"))
    assert sorted(row["path"] for row in table(tmp_path)) == ["b.py", *["src/a.py"] * 3]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbforiginal,corrected\r\na,b\r\n",
        b",original,corrected\n0,a,b\n",
        b"original;corrected;language\na;b;go\n",
        b"\xef\xbb\xbforiginal\tcorrected\na\tb\n",
        gzip.compress(b"original,corrected\na,b\n", mtime=0),
    ],
)
def test_tables_as_excel_and_pandas_write_them(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("a.csv.gz" if content.startswith(b"\x1f\x8b") else "a.csv")
    path.write_bytes(content)
    _, refused = take_in(tmp_path, path, project="shop")
    assert refused == []
    (row,) = table(tmp_path)
    assert (row["original"], row["corrected"]) == ("a", "b")


def test_packed_lines_are_read_and_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    packed = gzip.compress("".join(json.dumps(record) + "\n" for record in GATEWAY).encode())
    path.write_bytes(packed)
    assert take_in(tmp_path, path)[0].taken == 5
    path.write_bytes(packed[:-12])
    with pytest.raises(FeedbackError, match=r"a\.jsonl\.gz cannot be unpacked"):
        take_in(tmp_path, path)
