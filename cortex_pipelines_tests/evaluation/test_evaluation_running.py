import hashlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest

from cortex_pipelines.evaluation.adapter.measures import test_runner
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels
from cortex_pipelines.evaluation.adapter.measures.test_runner import (
    ProblemError,
    Repository,
    problem_metrics,
    problem_table,
    read_problems,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings, ProblemFile
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import mutant_killing
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS, SETTINGS, SOURCE, Workshop
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
FILES = CASES["FILES"]
LIMITS = PARAMETERS.augmentation.model_copy(update={"test_seconds": 20.0, "verification_seconds": 240.0})
needs_sandbox = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))


def repository(workshop: Workshop, folder: Path, texts: dict[str, str] | None = None) -> Repository:
    files, units = workshop.repository(texts or FILES)
    functions = pl.read_parquet(units / "units.parquet").filter(pl.col("kind") == "function")
    rows = []
    for number, unit in enumerate(functions.iter_rows(named=True)):
        header, _, body = unit["code"].partition("\n")
        item = tinymodel.example(number, "completion", f"{header}\n", body.rstrip())
        row = tinymodel.row(item) | {"example_id": unit["name"], "path": unit["path"]}
        rows.append(row | {"unit_id": unit["unit_id"], "source": SOURCE})
    folder.mkdir()
    COMPLETION_DATASET[2].frame(rows).write_parquet(folder / "test.parquet")
    return Repository(files, units, folder, LIMITS)


def test_only_functions_that_a_test_names_can_be_judged(workshop: Workshop, tmp_path: Path) -> None:
    runnable = repository(workshop, tmp_path / "data").runnable
    assert set(runnable) == {"price", "doomed"}  # no test names `unseen`; tests judge no tests
    item = runnable["price"]
    assert item.before.endswith(b"-> int:\n")
    assert (item.item.path, item.item.completion) == ("shop/till.py", "    return amount * each")
    assert item.before + item.item.completion.encode() + item.after == (FILES["shop/till.py"].encode())


@needs_sandbox
def test_the_true_body_passes_wrong_ones_fail_and_broken_tests_do_not_count(workshop: Workshop, tmp_path: Path) -> None:
    project = repository(workshop, tmp_path / "data")
    price, doomed = project.runnable["price"], project.runnable["doomed"]
    returned = ("amount * each", "each  *  amount", "amount + each", "(")
    bodies = [*(f"    return {text}" for text in returned), ""]
    results = project.run([*((price, body) for body in bodies), (doomed, "    return value - 1")])
    assert [result for result, _ in results] == ["passed", "passed", *["failed"] * 3, None]
    assert "fails as it is" in results[-1][1]
    assert results[3][1].startswith("does not parse")


@needs_sandbox
def test_functions_whose_tests_notice_come_first_and_others_are_untested(workshop: Workshop, tmp_path: Path) -> None:
    test_code = "from shop import till\n\n\ndef test_is_there():\n    assert callable(till.unseen)\n"
    project = repository(workshop, tmp_path / "data", FILES | {"tests/test_unseen.py": test_code})
    unseen, price = project.runnable["unseen"], project.runnable["price"]
    bodies = [(unseen, "    return value + 1"), (unseen, "    return ("), (price, "    return 0")]
    outcomes = project.run(bodies)
    assert (outcomes[:2], outcomes[2][0]) == ([(None, "its tests pass without it as well")] * 2, "failed")
    project = repository(workshop, tmp_path / "all")
    price, doomed = (project.runnable[name].item for name in ("price", "doomed"))
    assert project.select_testable([doomed, price], 1) == [price]
    assert project.select_testable([doomed, price], 2) == [price, doomed]
    with mock.patch.object(mutant_killing.sandbox, "run", side_effect=AssertionError):
        assert project.run([(project.runnable["doomed"], "    return 7")])[0][0] is None
    assert project.select_testable([doomed, price], 0) == []


@needs_sandbox
def test_a_body_that_does_not_parse_fails_where_the_set_up_imports_it(workshop: Workshop, tmp_path: Path) -> None:
    files = FILES | {"tests/conftest.py": "import shop.till\n"}
    project = repository(workshop, tmp_path / "data", files)
    ((result, detail),) = project.run([(project.runnable["price"], "    return (")])
    assert (result, detail.startswith("does not parse")) == ("failed", True)


def test_without_a_sandbox_nothing_is_run_and_it_is_said(workshop: Workshop, tmp_path: Path) -> None:
    project = repository(workshop, tmp_path / "data")
    with (
        mock.patch.object(mutant_killing.sandbox, "unavailable", return_value="no sandbox: for a test"),
        mock.patch.object(mutant_killing.sandbox, "run", side_effect=AssertionError),
    ):
        outcomes = project.run([(project.runnable["price"], "    return 6")])
    assert outcomes == [(None, "no sandbox: for a test")]
    problems = read_problems(tmp_path, [problem_file(tmp_path, PROBLEM)])
    settings = EvaluationSettings.model_validate(SETTINGS)
    models = ComparedModels(workshop.trained, None)
    with mock.patch.object(test_runner.sandbox, "unavailable", return_value="no sandbox: for a test"):
        table = problem_table(problems, models, Writing("    pass"), settings, LIMITS)  # type: ignore[arg-type]
    assert (table["passed"].to_list(), set(table["detail"])) == ([None, None], {"no sandbox: for a test"})
    assert problem_metrics(table, settings) == {}


class Writing:
    """A model with fixed outputs."""

    def __init__(self, *bodies: str) -> None:
        self._bodies = bodies

    def outputs(self, requests: list[Any], _adapter: object) -> list[str]:
        return [self._bodies[request.sample] for request in requests]


def problem_file(root: Path, *rows: dict[str, str]) -> ProblemFile:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "own.jsonl").write_text(text)
    return ProblemFile(path="own.jsonl", sha256=hashlib.sha256(text.encode()).hexdigest())


PROBLEM = CASES["PROBLEM"]


@needs_sandbox
@pytest.mark.parametrize(("bodies", "passed"), CASES["problems_judge_samples"])
def test_problems_judge_samples(workshop: Workshop, tmp_path: Path, bodies: list[str], passed: list[bool]) -> None:
    problems = read_problems(tmp_path, [problem_file(tmp_path, PROBLEM)])
    settings = EvaluationSettings.model_validate(SETTINGS | {"samples": 2, "pass_k": [1, 2]})
    limits = LIMITS.model_copy(update={"test_seconds": 4.0})
    models = ComparedModels(workshop.trained, None)
    table = problem_table(problems, models, Writing(*bodies), settings, limits)  # type: ignore[arg-type]
    assert table.filter(role="challenger")["passed"].to_list() == passed
    metrics = problem_metrics(table, settings)
    assert metrics["problems_challenger_pass_at_1"] == sum(passed) / 2
    assert metrics["problems_base_pass_at_2"] == float(any(passed))


def test_a_benchmark_file_that_is_not_as_pinned_is_named(tmp_path: Path) -> None:
    good = problem_file(tmp_path, PROBLEM)
    for changes, words in (
        ({"path": "other.jsonl"}, "other.jsonl does not exist"),
        ({"sha256": "0" * 64}, "yaml names"),
    ):
        assert words in refusal(ProblemError, read_problems, tmp_path, [good.model_copy(update=changes)])
    odd = ({"task_id": "a"}, "line 1: expected a JSON object"), (PROBLEM | {"entry_point": "a; b"}, "is not a name")
    for row, words in odd:
        assert words in refusal(ProblemError, read_problems, tmp_path, [problem_file(tmp_path, row)])
    assert "each k must be from 1" in refusal(ValueError, EvaluationSettings.model_validate, SETTINGS | {"pass_k": [2]})


def test_a_benchmark_is_a_part_of_the_evaluation(workshop: Workshop) -> None:
    file = problem_file(workshop.root, PROBLEM)
    tables, _ = workshop.tables(workshop.trained, benchmarks=[file.model_dump()], items=1)
    assert tables["problems"].height == 2
    assert isinstance(tables["problems"]["output"][0], str)
    assert "Own benchmark files" in workshop.read() or (tables["generations"].is_empty())
