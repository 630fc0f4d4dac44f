"""Labels: the outcome of a task, not the decision, says where it belongs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.routing.dataset.labels import LabelledTask, WeakLabeller, labelled_tasks, normalised, weak_tasks
from cortex_pipelines.routing.settings import WeakRule
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS

START = datetime(2026, 3, 1, tzinfo=UTC)


def events(*steps: dict[str, Any]) -> pl.DataFrame:
    empty = dict.fromkeys(COORDINATION_EVENTS.schema)
    rows = [
        {
            **empty,
            "event_id": str(number),
            "kind": "decision",
            "file": "log.jsonl",
            "byte_offset": number,
            "occurred_at": START + timedelta(hours=number),
            "task_id": "t1",
            "text": "Do it",
            "test_row": False,
            "payload": "{}",
            **step,
        }
        for number, step in enumerate(steps)
    ]
    return COORDINATION_EVENTS.frame(rows)


def label(*steps: dict[str, Any]) -> tuple[str, str] | None:
    labelled = labelled_tasks(events(*steps))
    assert len(labelled) <= 1
    return (labelled[0].master, labelled[0].source) if labelled else None


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"master": "a", "success": True}], ("a", "outcome")),
        ([{"master": "a"}], ("a", "decision")),
        ([{"master": "a", "success": False}], None),
        ([{"master": "a"}, {"master": "b"}], ("b", "decision")),
        ([{"master": "a"}, {"master": "b", "success": True}], ("b", "outcome")),
        ([{"master": "a", "success": True}, {"master": "b"}], ("b", "decision")),
        ([{"master": "a"}, {"master": "b", "success": False}], None),
        ([{"master": "a", "success": False}, {"master": "a", "success": True}], ("a", "outcome")),
        ([{"master": "a", "success": True}, {"master": "a", "success": False}], None),
        ([{"master": "a", "success": False, "ideal_master": "c"}], ("c", "outcome")),
        ([{"master": "a", "text": None}, {"master": "a", "success": True}], ("a", "outcome")),
        ([{"master": "a", "success": True, "text": None}, {"master": None}], None),
        ([{"master": "a", "success": True, "test_row": True}], None),
        ([{"master": "a", "success": True, "kind": "worker_metric"}], None),
    ],
)
def test_the_label_of_a_task(steps: list[dict[str, Any]], expected: tuple[str, str] | None) -> None:
    assert label(*steps) == expected


def test_time_and_not_the_place_in_the_file_orders_the_steps() -> None:
    late, early = {"occurred_at": START + timedelta(days=9)}, {"occurred_at": START}
    labelled = labelled_tasks(events({"master": "b", **late}, {"master": "a", **early}))
    assert labelled == [LabelledTask("Do it", "b", "decision", "log.jsonl", late["occurred_at"])]


def test_two_tasks_with_one_id_are_two_tasks() -> None:
    labelled = labelled_tasks(
        events(
            {"master": "a", "text": "First", "success": True},
            {"master": "b", "text": "Second", "success": True},
            {"master": "c", "text": None, "success": True},
        )
    )
    assert [(task.text, task.master) for task in labelled] == [("First", "a"), ("Second", "b")]


def test_tasks_without_an_id_are_told_apart_by_their_text() -> None:
    labelled = labelled_tasks(
        events({"task_id": None, "master": "a", "text": "First"}, {"task_id": None, "master": "b", "text": "Second"})
    )
    assert [(task.text, task.master) for task in labelled] == [("First", "a"), ("Second", "b")]


def test_texts_that_differ_in_case_and_punctuation_are_one() -> None:
    assert normalised("Fix  the Bug!") == normalised("fix the bug") == "fix the bug"
    assert normalised("Straße 3") == normalised("STRASSE 3")
    assert normalised("!!!") == "!!!"


RULES = [
    WeakRule(master="security", paths=[r"^auth/"], subjects=[r"\bCVE-\d"]),
    WeakRule(master="inventory", paths=[r"\.md$"], subjects=[]),
    WeakRule(master="development", paths=[r"\.py$"], subjects=[]),
]


@pytest.mark.parametrize(
    ("subject", "paths", "master"),
    [
        ("Tidy up", ["a.py", "b.py", "c.md"], "development"),
        ("Tidy up", ["auth/a.py"], "security"),
        ("Tidy up", ["a.py", "c.md"], None),
        ("Tidy up", ["x.bin"], None),
        ("Tidy up", [], None),
        ("Fix cve-2024-1", ["c.md"], "security"),
    ],
)
def test_paths_and_subject_decide_the_weak_label(subject: str, paths: list[str], master: str | None) -> None:
    assert WeakLabeller(RULES).master(subject, paths) == master


def test_weak_tasks_are_capped_and_leave_out_merges_and_empty_words() -> None:
    rows = [
        ("Write the new parser", ["a.py"], ["p"]),
        ("Write the NEW parser.", ["a.py"], ["p"]),
        ("Speed up the parser", ["a.py"], ["p"]),
        ("Explain the parser well", ["a.md"], []),
        ("Merge the parser branch", ["a.py"], ["p", "q"]),
        ("wip", ["a.py"], ["p"]),
    ]
    commits = REPOSITORY_COMMITS.frame(
        [
            {
                "source": "git:x",
                "commit": str(number),
                "parents": parents,
                "subject": subject,
                "committed_at": START,
                "body": "",
                "paths": paths,
            }
            for number, (subject, paths, parents) in enumerate(rows)
        ]
    )
    weak = weak_tasks(commits, "demo", RULES, per_master=9)
    assert {(task.text, task.master) for task in weak} == {
        ("Write the new parser", "development"),
        ("Speed up the parser", "development"),
        ("Explain the parser well", "inventory"),
    }
    assert {task.origin for task in weak} == {"demo/git:x"}
    assert len(weak_tasks(commits, "demo", RULES, per_master=1)) == 2
    assert weak_tasks(commits, "demo", RULES, per_master=0) == []
