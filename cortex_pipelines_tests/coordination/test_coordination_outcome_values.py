from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.coordination import outcome_values
from cortex_pipelines.coordination.outcome_values import UNKNOWN_EXIT, OutcomeReading, read_outcome
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


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
