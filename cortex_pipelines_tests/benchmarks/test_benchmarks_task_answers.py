"""Judges of task answers and their figures."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks import task_answers
from benchmarks.task_answers import (
    HeldOutQuestion,
    Judge,
    JudgedCandidate,
    QuestionResult,
    best_candidate,
    calibration_error,
    fit,
)
from cortex_pipelines.answers.answer import Candidate
from cortex_pipelines.answers.question import TaskContext
from cortex_pipelines.execution.sandbox.sandbox import unavailable

CODE = "def total(prices: list, rate: int):\n    if rate == True:\n        return 0\n    return sum(prices) * rate\n"


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    folder = tmp_path / "repository_files" / "shop"
    folder.mkdir(parents=True)
    pl.DataFrame({"path": ["shop.py"], "text": [CODE]}).write_parquet(folder / "files.parquet")
    return Judge(tmp_path)


def question_of_task(task: str, truth: str = "") -> HeldOutQuestion:
    return HeldOutQuestion(task, "shop", "test", "u", CODE, TaskContext(path="shop.py"), truth)


@pytest.mark.parametrize(
    ("task", "truth", "result", "right"),
    [
        ("naming", "parsed_items", "parse_item", True),
        ("naming", "items", "item_count", False),
        ("documentation", "", "Sums `prices` and `rate`.\n\n:param rate: A number", True),
        ("documentation", "", "Sums `prices` by tax_rate.", False),
        ("documentation", "", ":param amount: A number", False),
        ("refactoring", "redundant-comparison", CODE, False),
    ],
)
def test_answers_are_judged_by_what_the_project_says(
    judge: Judge, task: str, truth: str, result: str, right: bool
) -> None:
    assert judge(question_of_task(task, truth), Candidate(result, "model")) is right


def test_a_smell_has_to_be_gone_and_the_code_to_parse(judge: Judge) -> None:
    smells = task_answers._smells("def f(xs=[]):\n    return xs\n", "a.py")
    assert smells == ["mutable-default"]
    question = HeldOutQuestion(
        "refactoring", "shop", "test", "u", "def f(xs=[]):\n    return xs\n", TaskContext(path="b.py"), smells[0]
    )
    assert judge(question, Candidate("def f(xs=None):\n    return xs or []\n", "model"))
    assert not judge(question, Candidate("def f(xs=None:\n", "model"))


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
def test_a_test_has_to_fail_on_mutants_that_its_checks_have_not_seen(judge: Judge) -> None:
    assert judge(question_of_task("tests"), Candidate("def test_total():\n    assert total([1, 2], 3) == 9", "model"))
    assert not judge(question_of_task("tests"), Candidate("def test_total():\n    assert total", "model"))


def test_confidence_is_fitted_by_source_and_judged_by_its_distance_from_the_share_of_right_answers() -> None:
    def result_of(*candidates: tuple[str, float, bool]) -> QuestionResult:
        return QuestionResult(
            "naming", "shop", "test", "u", 1.0, tuple(JudgedCandidate(*each, "x") for each in candidates), ""
        )

    rows = [
        result_of(("model", 0.2, False)),
        result_of(("model", 0.9, True)),
        result_of(("team", 0.5, True)),
        result_of(("model", 0.3, False)),
    ]
    fitted = fit(rows, 0.4)
    model = [(0.2, 0.25), (0.9, 0.6667), (pytest.approx(0.9), None)]
    assert fitted.steps == {"naming": {"model": model, "team": [(0.5, 0.6667)]}}
    assert [fitted.confidence("naming", "model", score) for score in (0.9, 0.95)] == [0.6667, None]
    best = best_candidate(result_of(("model", 0.25, False), ("team", 0.8, True)), fitted)
    assert best is not None
    assert (best[0].source, best[1]) == ("team", 0.6667)
    assert best_candidate(result_of(("model", 0.25, False)), fitted) is None
    assert calibration_error([(0.9, True), (0.9, False), (0.2, False)]) == pytest.approx((0.8 + 0.2) / 3)
    assert calibration_error([]) is None
