import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_pipelines.coordination import outcome_values
from cortex_pipelines.coordination.outcome_values import UNKNOWN_EXIT, OutcomeReading, read_outcome
from cortex_pipelines.coordination.records import (
    DISAGREEMENT,
    UnreadField,
    event,
    kind_of,
    time_assumption,
    unread_fields,
)
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

ALIASES = {"development-master": "development", "sec": "security"}
TESTS = [re.compile("^moe-test-"), re.compile("-test$")]


def read(record: dict[str, Any], file: str = "a.jsonl") -> dict[str, Any]:
    return event(record, file, 0, ALIASES, TESTS)


def test_a_decision_with_drifting_keys() -> None:
    for key in ("task_title", "title", "description"):
        fields = {"task_id": "t1", "confidence": 0.9, "priority": "high", "timestamp": "2025-11-04T15:54:53Z"}
        row = read({**fields, key: " Fix it ", "routed_to": "development-master", "outcome": "Completed"})
        assert row["kind"] == "decision"
        assert (row["text"], row["master"], row["outcome"]) == ("Fix it", "development", "completed")
        assert (row["success"], row["confidence"], row["priority"]) == (True, 0.9, "high")


def test_a_nested_decision_and_a_nested_outcome() -> None:
    decision = read(CASES["a_nested_decision"])
    assert (decision["kind"], decision["master"]) == ("decision", "security")
    assert (decision["confidence"], decision["test_row"]) == (0.7, True)
    assert decision["occurred_at"] == datetime(2025, 11, 27, 15, tzinfo=UTC)
    outcome = read(CASES["a_nested_outcome"])
    assert (outcome["kind"], outcome["task_id"], outcome["text"]) == ("outcome", "t2", "Scan it")
    assert (outcome["success"], outcome["ideal_master"]) == (False, "security")
    assert (outcome["outcome"], outcome["duration_seconds"]) == ("failed", 12.0)


@pytest.mark.parametrize(("record", "file", "kind"), CASES["kinds"])
def test_kinds(record: dict[str, Any], file: str, kind: str) -> None:
    assert kind_of(record, file) == kind


def test_the_same_content_has_one_identity_whatever_its_order() -> None:
    first, second = {"a": 1, "b": {"c": 2, "d": "ä"}}, {"b": {"d": "ä", "c": 2}, "a": 1}
    assert read(first)["event_id"] == read(second, "other.jsonl")["event_id"]
    assert read(first)["payload"] == '{"a":1,"b":{"c":2,"d":"\\u00e4"}}'


@pytest.mark.parametrize(("outcome", "success"), CASES["success_by_the_word_of_the_outcome"])
def test_success_by_the_word_of_the_outcome(outcome: str, success: bool | None) -> None:
    assert read({"routed_to": "x", "outcome": outcome})["success"] is success


DONE = {"routed_to": "x"}


@pytest.mark.parametrize(("fields", "outcome", "success"), CASES["success_by_every_field_that_says_it"])
def test_success_by_every_field_that_says_it(fields: dict[str, Any], outcome: str | None, success: bool | None) -> None:
    row = read(DONE | fields)
    assert (row["outcome"], row["success"]) == (outcome, success)


@pytest.mark.parametrize(
    ("fields", "unread"),
    [
        ({"timestamp": "03/04/2026"}, ("timestamp", "03/04/2026", "day and month can be read")),
        ({"timestamp": 17, "created_at": "2026-03-01"}, None),
        ({"outcome": "Donegal"}, ("outcome", "donegal", "a word in it is not known")),
        ({"outcome": "Donegal", "success": True}, None),
        ({"outcome": "pending", "result": "none yet"}, None),
        ({"success": 0.9}, ("success", "0.9", "a number other than 0 and 1")),
        ({"success": True, "outcome": "failed"}, ("outcome", "failed", DISAGREEMENT)),
        ({"outcome": "x" * 500}, ("outcome", "x" * 80, "a word in it is not known")),
    ],
)
def test_what_is_not_understood_is_named(fields: dict[str, Any], unread: tuple[str, str, str] | None) -> None:
    fields_unread = unread_fields(DONE | fields, "decision")
    if unread is None:
        assert fields_unread == []
        return
    (field,) = fields_unread
    assert (field.field, field.value) == unread[:2]
    assert field.reason.startswith(unread[2])


def test_the_state_of_a_worker_is_not_an_outcome() -> None:
    assert unread_fields({"worker_id": "w", "status": "healthy"}, "worker_metric") == []
    (unread,) = unread_fields({"worker_id": "w", "timestamp": "soon"}, "worker_metric")
    assert unread == UnreadField("timestamp", "soon", "not a time stamp of a known form")


def test_a_time_without_a_zone_says_so() -> None:
    assert time_assumption({"timestamp": "2026-03-01T10:00:00"}) == "no zone: taken as UTC"
    assert time_assumption({"timestamp": "2026-03-01T10:00:00Z"}) is None
    assert time_assumption({}) is None


@pytest.mark.parametrize("value", [10**400, -0.1, 1.5, True, "0.5", None])
def test_a_confidence_that_is_none_is_missing(value: Any) -> None:
    assert read({"routed_to": "x", "confidence": value})["confidence"] is None


_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_odd = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(st.characters(), max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
_keys = st.sampled_from(
    [
        *("task_id", "title", "routed_to", "outcome", "success", "confidence", "duration", "timestamp", "task"),
        *("routing", "decision", "execution", "payload", "metadata", "priority"),
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_keys, _odd, max_size=8))
def test_any_record_gives_a_row_that_keeps_the_contract(record: dict[str, Any]) -> None:
    COORDINATION_EVENTS.frame([read(record)])


@pytest.mark.parametrize(
    ("value", "success"), [(value, success) for success, values in CASES["understood"].items() for value in values]
)
def test_what_is_understood(value: Any, success: bool | None) -> None:
    assert read_outcome(value) == OutcomeReading(success)


@pytest.mark.parametrize(
    ("value", "problem"),
    [(value, getattr(outcome_values, name)) for name, values in CASES["not_understood"].items() for value in values],
)
def test_what_is_not_understood_says_why(value: Any, problem: str) -> None:
    assert read_outcome(value) == OutcomeReading(None, problem)


@pytest.mark.parametrize(
    ("value", "success"), [(0, True), ("0", True), (0.0, True), (1, False), (137, False), ("-9", False), (" 2 ", False)]
)
def test_an_exit_code_is_success_at_zero(value: Any, success: bool) -> None:
    assert read_outcome(value, "exit_code") == OutcomeReading(success)


@pytest.mark.parametrize("value", [True, False, "ok", "", 0.5, None, [], float("inf"), float("nan")])
def test_what_is_not_an_exit_code(value: Any) -> None:
    assert read_outcome(value, "exit_code") == OutcomeReading(None, UNKNOWN_EXIT)


WORDS = st.sampled_from(["completed", "ok", "failed", "errors", "not", "no", "with", "but", "task", "0"])


@given(st.lists(WORDS, max_size=5), st.sampled_from([" ", "_", ": ", ", "]))
def test_words_for_both_never_make_a_success(words: list[str], sign: str) -> None:
    reading = read_outcome(sign.join(words))
    denied = {"not", "no", "0"}.intersection(words)
    if {"failed", "errors"}.intersection(words) and not denied:
        assert reading.success is not True


@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    read_outcome(text)
