"""The routing data set: who may judge, who may only train."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.coordination.logs import CoordinationSettings, read_logs, take_coordination_pin
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.routing.dataset.build import TooFewTasksError, build_dataset, logged_rules, split_of
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.routing.keyword_rules import RulesError, parse_rules
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import sections

ROOT = Path(__file__).parents[2]
PARAMS = sections()
ROUTING = RoutingSettings.model_validate(PARAMS["routing"])
LOGS = CoordinationSettings.model_validate(PARAMS["coordination"])
PRIVACY = PrivacySettings.model_validate(PARAMS["privacy"])


def read(folder: Path) -> pl.DataFrame:
    pin = take_coordination_pin(folder, folder, PRIVACY)
    return read_logs(folder, pin, LOGS, PRIVACY).events


def write_and_read(folder: Path, lines: list[dict[str, object]]) -> pl.DataFrame:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text)
    return read(folder)


def tasks(count: int, outcome: str = "completed") -> list[dict[str, object]]:
    return [
        {"task_id": f"{outcome}{n}", "title": f"Task {n} {outcome}", "routed_to": f"m{n % 4}", "outcome": outcome}
        for n in range(count)
    ]


def commits(*subjects: str) -> dict[str, pl.DataFrame]:
    rows = [
        {
            "source": "git:x",
            "commit": str(n),
            "parents": [],
            "subject": subject,
            "body": "",
            "committed_at": datetime(2026, 1, 1, tzinfo=UTC),
            "paths": ["a.py"],
        }
        for n, subject in enumerate(subjects)
    ]
    return {"demo": REPOSITORY_COMMITS.frame(rows)}


def test_the_sample_gives_all_three_sides_with_every_master() -> None:
    splits = build_dataset(read(ROOT / LOGS.logs), {}, ROUTING)
    masters = {"development", "security", "inventory", "cicd", "coordinator"}
    for split in SPLITS:
        assert set(splits[split]["master"]) == masters
    assert set(splits["test"]["label_source"]) == {"outcome"}
    assert set(splits["validation"]["label_source"]) == {"outcome"}
    assert set(splits["train"]["label_source"]) == {"outcome", "decision"}


def test_commits_and_bare_decisions_only_ever_train(tmp_path: Path) -> None:
    events = write_and_read(tmp_path, tasks(200) + tasks(200, "assigned"))
    repeated = "Task 7 completed"
    splits = build_dataset(events, commits("Write the parser anew", repeated), ROUTING)
    assert {split: set(splits[split]["label_source"]) for split in SPLITS} == {
        "train": {"outcome", "decision", "weak:commit"},
        "validation": {"outcome"},
        "test": {"outcome"},
    }
    weak = splits["train"].filter(pl.col("label_source") == "weak:commit")
    assert weak["text"].to_list() == ["Write the parser anew"]
    assert weak["weight"].to_list() == [ROUTING.weak_weight]
    # a bare decision whose side is not for training waits for its outcome
    bare = splits["train"].filter(pl.col("label_source") == "decision")
    assert 0 < bare.height < 200
    assert {split_of(normalised(text), ROUTING) for text in bare["text"]} == {"train"}


def test_a_text_keeps_its_side_as_the_logs_grow(tmp_path: Path) -> None:
    before = build_dataset(write_and_read(tmp_path / "a", tasks(150)), {}, ROUTING)
    after = build_dataset(write_and_read(tmp_path / "b", tasks(400)), {}, ROUTING)
    for split in SPLITS:
        assert set(before[split]["text"]) <= set(after[split]["text"])
    shares = {split: after[split].height / 400 for split in SPLITS}
    assert shares["test"] == pytest.approx(ROUTING.test_share, abs=0.07)
    assert shares["validation"] == pytest.approx(ROUTING.validation_share, abs=0.07)


def test_repeated_texts_stand_once_with_the_label_borne_out_most_often(tmp_path: Path) -> None:
    duplicates = [
        {"task_id": f"x{n}", "title": text, "routed_to": master, "outcome": "completed"}
        for n, (text, master) in enumerate([("Same task", "m1"), ("same task!", "m2"), ("SAME  task", "m2")])
    ]
    bare = [{"task_id": f"y{n}", "title": "Same task", "routed_to": "m3"} for n in range(5)]
    splits = build_dataset(write_and_read(tmp_path, tasks(200) + duplicates + bare), {}, ROUTING)
    rows = [
        (row["master"], row["label_source"])
        for split in SPLITS
        for row in splits[split].iter_rows(named=True)
        if normalised(row["text"]) == "same task"
    ]
    assert rows == [("m2", "outcome")]


def test_the_order_of_records_does_not_matter(tmp_path: Path) -> None:
    lines = tasks(150)
    first = build_dataset(write_and_read(tmp_path / "a", lines), {}, ROUTING)
    two = build_dataset(write_and_read(tmp_path / "b", lines[::-1]), {}, ROUTING)
    assert all(first[split].equals(two[split]) for split in SPLITS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "0 tasks .*none"),
        (tasks(20), r"20 tasks .*m0 5.*routing\.min_tasks"),
        (tasks(300, "assigned"), "0 tasks"),
        ([{**task, "routed_to": "only"} for task in tasks(100)], "over two masters"),
    ],
)
def test_too_few_tasks_is_a_clear_error(tmp_path: Path, lines: list[dict[str, object]], message: str) -> None:
    with pytest.raises(TooFewTasksError, match=message):
        build_dataset(write_and_read(tmp_path, lines), {}, ROUTING)


def test_an_empty_side_is_a_clear_error(tmp_path: Path) -> None:
    tiny = ROUTING.model_copy(update={"test_share": 1e-9})
    with pytest.raises(TooFewTasksError, match="is in test"):
        build_dataset(write_and_read(tmp_path, tasks(100)), {}, tiny)


def test_the_rules_nearest_to_the_top_count(tmp_path: Path) -> None:
    assert logged_rules(read(tmp_path)) is None
    rules = json.loads(next((ROOT / LOGS.logs).rglob("routing-patterns.json")).read_text())
    for folder, version in (("a/backup/old", "0"), ("z", "2")):
        path = tmp_path / folder / "routing-patterns.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**rules, "version": version}))
    found = logged_rules(read(tmp_path))
    assert found is not None
    assert found["version"] == "2"
    # keys were sorted on the way: that must not decide anything
    text = "Fix the scan and document the audit"
    assert parse_rules(found, "x").decide(text) == parse_rules(rules, "x").decide(text)
    (tmp_path / "routing-patterns.json").write_text('{"experts": {"a": 1}, "thresholds": {}}')
    with pytest.raises(RulesError, match=r"routing-patterns\.json"):
        logged_rules(read(tmp_path))


@given(st.text(max_size=30), st.integers(0, 9))
def test_every_text_has_a_side(text: str, seed: int) -> None:
    assert split_of(text, ROUTING.model_copy(update={"seed": seed})) in SPLITS
