"""What the value of an outcome says of success: right, or unknown with the reason."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.coordination.outcome_values import (
    CONTRADICTION,
    PARTLY,
    UNKNOWN_EXIT,
    UNKNOWN_NUMBER,
    UNKNOWN_WORD,
    OutcomeReading,
    read_outcome,
)

SUCCEEDED = [
    *(True, 1, 1.0, "1", "true", "True", "T", "yes", "Y", "ok", "OK", "okay", "pass", "passed"),
    *("success", "SUCCESSFUL", "successfully"),
    *("succeeded", "done", "Done!", "completed", "complete"),
    *("finished", "merged", "resolved", "Task completed"),
    *("completed successfully", "all tests passed"),
    *("success_high_quality", "completed without errors"),
    *("completed with no errors", "error-free, done"),
    *("3 passed, 0 failed", "passed: 3, failed: 0"),
    *("OK (3.2s)", "finished in 12 minutes", "exit code 0"),
    *("Exited with code 0", "returned 0", "rc=0", "CompletedSuccessfully", "✅ done", "200 OK"),
]  # fmt: skip
FAILED = [
    *(False, 0, 0.0, "0", "false", "F", "no", "n", "fail", "failed", "FAILURE", "error", "errored"),
    *("crashed", "aborted", "timed out", "timed_out"),
    *("timed-out", "TimedOut", "timeout", "cancelled"),
    *("canceled", "killed", "rejected", "re-routed", "rerouted", "reassigned", "unsuccessful"),
    *("not successful", "not_successful", "NOT_OK"),
    *("no success", "didn't pass", "was not successful"),
    *("failed: connection refused", "error: no such file"),
    *("failed to connect", "timed out after 30 s"),
    *("cancelled by user", "exit code 1"),
    *("exited with status -9", "rolled back", "task failed", "❌"),
    *("out of memory", "failed (see the log)", "3 errors", "exception"),
]  # fmt: skip
OPEN = ["pending", "assigned", "in progress", "In_Progress", "running", "queued", "on hold", "todo"]
OPEN += ["", "-", "n/a", "none", "null", "unknown", "skipped", "not finished"]


@pytest.mark.parametrize(
    ("value", "success"), [*product(SUCCEEDED, [True]), *product(FAILED, [False]), *product(OPEN, [None])]
)
def test_what_is_understood(value: Any, success: bool | None) -> None:
    assert read_outcome(value) == OutcomeReading(success)


NOT_UNDERSTOOD: dict[str, list[Any]] = {
    CONTRADICTION: [
        *("completed with errors", "done: failed", "success: false", "failed successfully", "failed: false"),
        *("error: none", "3 passed, 1 failed"),
    ],
    PARTLY: [
        *("partially", "partially completed", "partial success", "completed with warnings", "not fully successful"),
        *("passed 3/5", "completed 50%", "failed, retrying", "0 passed, 0 failed", "passed: 0, failed: 0"),
        *("0 failed", "not failed", "no errors"),
    ],
    UNKNOWN_WORD: [
        *("failed but recovered", "donegal", "success rate low", "error rate 0.1", "fail-over", "false alarm"),
        *("completed 3 of 5 steps", "done by nobody", "not", "success " * 50, [], None),
    ],
    UNKNOWN_NUMBER: [2, 0.5, -1, float("nan")],
}


@pytest.mark.parametrize(
    ("value", "problem"), [(value, problem) for problem, values in NOT_UNDERSTOOD.items() for value in values]
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
