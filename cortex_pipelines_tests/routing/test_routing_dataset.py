import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.routing.dataset.build import TooFewTasksError, build_dataset, logged_rules, split_of
from cortex_pipelines.routing.dataset.labels import LabelledTask, labelled_tasks, normalised, weak_master, weak_tasks
from cortex_pipelines.routing.keyword_rules import RulesError, parse_rules
from cortex_pipelines.routing.settings import WeakRule
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS, SAMPLE_LOGS, read_events

CASES = load_cases(__file__)
ROUTING = PARAMETERS.routing
START = datetime(2026, 3, 1, tzinfo=UTC)


def write_and_read(folder: Path, lines: list[dict[str, object]]) -> pl.DataFrame:
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text)
    return read_events(folder)


def tasks(count: int, outcome: str = "completed") -> list[dict[str, object]]:
    return [
        {"task_id": f"{outcome}{n}", "title": f"Task {n} {outcome}", "routed_to": f"m{n % 4}", "outcome": outcome}
        for n in range(count)
    ]


def commits(*rows: tuple[str, list[str], list[str]]) -> pl.DataFrame:
    """Commits by their subjects, paths and parents."""
    usual = {"source": "git:x", "body": "", "committed_at": START}
    frame_rows = [
        usual | {"commit": str(n), "subject": subject, "paths": paths, "parents": parents}
        for n, (subject, paths, parents) in enumerate(rows)
    ]
    return REPOSITORY_COMMITS.frame(frame_rows)


def test_the_sample_gives_all_three_sides_with_every_master() -> None:
    splits = build_dataset(read_events(SAMPLE_LOGS), {}, ROUTING)
    masters = {"development", "security", "inventory", "cicd", "coordinator"}
    for split in SPLITS:
        assert set(splits[split]["master"]) == masters
    assert set(splits["test"]["label_source"]) == {"outcome"}
    assert set(splits["validation"]["label_source"]) == {"outcome"}
    assert set(splits["train"]["label_source"]) == {"outcome", "decision"}


def test_commits_and_bare_decisions_only_ever_train(tmp_path: Path) -> None:
    developed = {"task_id": "d", "title": "Build the parser", "routed_to": "development", "outcome": "assigned"}
    events = write_and_read(tmp_path, [*tasks(200), *tasks(200, "assigned"), developed])
    repeated = "Task 7 completed"
    history = commits(("Write the parser anew", ["a.py"], []), (repeated, ["a.py"], []))
    splits = build_dataset(events, {"demo": history}, ROUTING)
    sources = {split: set(splits[split]["label_source"]) for split in SPLITS}
    assert sources.pop("train") == {"outcome", "decision", "weak:commit"}
    assert sources == {"validation": {"outcome"}, "test": {"outcome"}}
    weak = splits["train"].filter(pl.col("label_source") == "weak:commit")
    assert (weak["text"].to_list(), weak["weight"].to_list()) == (["Write the parser anew"], [ROUTING.weak_weight])
    # a bare decision whose side is not for training waits for its outcome
    bare = splits["train"].filter(pl.col("label_source") == "decision")
    assert 0 < bare.height < 200
    assert {split_of(normalised(text), ROUTING) for text in bare["text"]} == {"train"}


def test_commits_teach_no_master_that_the_logs_do_not_name(tmp_path: Path) -> None:
    events = write_and_read(tmp_path, tasks(200))
    splits = build_dataset(events, {"demo": commits(("Write the parser anew", ["a.py"], []))}, ROUTING)
    assert set(splits["train"]["master"]) == {"m0", "m1", "m2", "m3"}


def test_a_text_keeps_its_side_as_the_logs_grow_in_any_order(tmp_path: Path) -> None:
    before = build_dataset(write_and_read(tmp_path / "a", tasks(150)), {}, ROUTING)
    after = build_dataset(write_and_read(tmp_path / "b", tasks(400)), {}, ROUTING)
    for split in SPLITS:
        assert set(before[split]["text"]) <= set(after[split]["text"])
    shares = {split: after[split].height / 400 for split in SPLITS}
    assert shares["test"] == pytest.approx(ROUTING.test_share, abs=0.07)
    assert shares["validation"] == pytest.approx(ROUTING.validation_share, abs=0.07)
    lines = tasks(150)
    first = build_dataset(write_and_read(tmp_path / "a", lines), {}, ROUTING)
    two = build_dataset(write_and_read(tmp_path / "b", lines[::-1]), {}, ROUTING)
    assert all(first[split].equals(two[split]) for split in SPLITS)


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
    assert "is in test" in refusal(TooFewTasksError, build_dataset, write_and_read(tmp_path, tasks(100)), {}, tiny)


def test_the_rules_nearest_to_the_top_count(tmp_path: Path) -> None:
    assert logged_rules(read_events(tmp_path)) is None
    rules = json.loads(next(SAMPLE_LOGS.rglob("routing-patterns.json")).read_text())
    for folder, version in (("a/backup/old", "0"), ("z", "2")):
        path = tmp_path / folder / "routing-patterns.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**rules, "version": version}))
    newest_rules = logged_rules(read_events(tmp_path))
    assert newest_rules["version"] == "2"
    # keys were sorted on the way: that must not decide anything
    text = "Fix the scan and document the audit"
    assert parse_rules(newest_rules, "x").decide(text) == parse_rules(rules, "x").decide(text)
    (tmp_path / "routing-patterns.json").write_text('{"experts": {"a": 1}, "thresholds": {}}')
    assert "routing-patterns.json" in refusal(RulesError, logged_rules, read_events(tmp_path))


@given(st.text(max_size=30), st.integers(0, 9))
def test_every_text_has_a_side(text: str, seed: int) -> None:
    assert split_of(text, ROUTING.model_copy(update={"seed": seed})) in SPLITS


def events(*steps: dict[str, Any]) -> pl.DataFrame:
    usual: dict[str, Any] = dict.fromkeys(COORDINATION_EVENTS.schema)
    usual |= {"kind": "decision", "file": "log.jsonl", "task_id": "t1", "text": "Do it", "test_row": False}
    usual["payload"] = "{}"
    rows = [
        {**usual, "event_id": str(n), "byte_offset": n, "occurred_at": START + timedelta(hours=n), **step}
        for n, step in enumerate(steps)
    ]
    return COORDINATION_EVENTS.frame(rows)


def label(*steps: dict[str, Any]) -> list[str] | None:
    labelled = labelled_tasks(events(*steps))
    assert len(labelled) <= 1
    return [labelled[0].master, labelled[0].source] if labelled else None


def test_an_outcome_without_a_time_leaves_the_task_its_own() -> None:
    untimed = {"master": "a", "success": True, "occurred_at": None}
    (task,) = labelled_tasks(events({"master": "a", "occurred_at": START}, untimed))
    assert (task.source, task.occurred_at) == ("outcome", START)


@pytest.mark.parametrize(("steps", "expected"), CASES["the_label_of_a_task"])
def test_the_label_of_a_task(steps: list[dict[str, Any]], expected: list[str] | None) -> None:
    assert label(*steps) == expected


def test_times_ids_and_texts_tell_tasks_apart() -> None:
    late, early = {"occurred_at": START + timedelta(days=9)}, {"occurred_at": START}
    labelled = labelled_tasks(events({"master": "b", **late}, {"master": "a", **early}))
    assert labelled == [LabelledTask("Do it", "b", "decision", "log.jsonl", late["occurred_at"])]
    texts = {"a": "First", "b": "Second", "c": None}
    steps = [{"master": master, "text": text, "success": True} for master, text in texts.items()]
    labelled = labelled_tasks(events(*steps))
    assert [(task.text, task.master) for task in labelled] == [("First", "a"), ("Second", "b")]
    labelled = labelled_tasks(
        events({"task_id": None, "master": "a", "text": "First"}, {"task_id": None, "master": "b", "text": "Second"})
    )
    assert [(task.text, task.master) for task in labelled] == [("First", "a"), ("Second", "b")]
    assert normalised("Fix  the Bug!") == normalised("fix the bug") == "fix the bug"
    assert (normalised("Straße 3"), normalised("!!!")) == (normalised("STRASSE 3"), "!!!")


RULES = [
    WeakRule(master="security", paths=[r"^auth/"], subjects=[r"\bCVE-\d"]),
    WeakRule(master="inventory", paths=[r"\.md$"], subjects=[]),
    WeakRule(master="development", paths=[r"\.py$"], subjects=[]),
]


@pytest.mark.parametrize(("subject", "paths", "master"), CASES["paths_and_subject_decide_the_weak_label"])
def test_paths_and_subject_decide_the_weak_label(subject: str, paths: list[str], master: str | None) -> None:
    assert weak_master(RULES, subject, paths) == master


def test_weak_tasks_are_capped_and_leave_out_merges_and_empty_words() -> None:
    subjects = ("Write the new parser", "Write the NEW parser.", "Speed up the parser", "wip")
    usual = [(subject, ["a.py"], ["p"]) for subject in subjects]
    merge = ("Merge the parser branch", ["a.py"], ["p", "q"])
    history = commits(*usual, ("Explain the parser well", ["a.md"], []), merge)
    weak = weak_tasks(history, "demo", RULES, per_master=9)
    masters = {"Write the new parser": "development", "Speed up the parser": "development"}
    assert {task.text: task.master for task in weak} == masters | {"Explain the parser well": "inventory"}
    assert {task.origin for task in weak} == {"demo/git:x"}
    assert len(weak_tasks(history, "demo", RULES, per_master=1)) == 2
    assert weak_tasks(history, "demo", RULES, per_master=0) == []
