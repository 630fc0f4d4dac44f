from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from cortex_pipelines.evaluation.adapter.measures.written_tests import (
    WrittenTests,
    written_test_metrics,
    written_test_table,
)
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests import mutant_killing
from cortex_pipelines.schemas.datasets import TESTS_DATASET
from cortex_pipelines.schemas.evaluation import GENERATIONS, WRITTEN_TESTS
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.test_evaluation_generations import ROW
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS, SOURCE, Workshop
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
FILES = CASES["FILES"]
TRUE = "def test_price(self, two):\n    assert price(two, 3) == 7"
DOOMED = "def test_doomed():\n    assert doomed(1) == 7"
LIMITS = PARAMETERS.augmentation.model_copy(
    update={"test_seconds": 20.0, "verification_seconds": 240.0, "mutants_per_unit": 2}
)
needs_sandbox = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))


def written_tests(workshop: Workshop, folder: Path, prefix: str = "") -> WrittenTests:
    """The tests of the small repository; ``moved`` stands before the text as it is now."""
    _, units = workshop.repository(FILES)
    all_units = pl.read_parquet(units / "units.parquet")
    id_of = dict(all_units.select("name", "unit_id").iter_rows())
    rows = []
    for unit, test, code in (("price", "test_price", TRUE), ("doomed", "test_doomed", DOOMED)):
        item = tinymodel.example(0, "tests", "# asked\n", code)
        row = tinymodel.row(item) | {"example_id": unit, "path": "tests/test_till.py"}
        rows.append(row | {"unit_id": id_of[unit], "source": SOURCE, "test_id": id_of[test]})
    folder.mkdir()
    TESTS_DATASET[2].frame(rows).write_parquet(folder / "test.parquet")
    texts = {SOURCE: {path: prefix + text for path, text in FILES.items()}}
    return WrittenTests(texts, units, folder, LIMITS)


ROLES = ("repository", "base")


def metrics_of(items: int, **shares: tuple[float, float]) -> dict[str, float]:
    """Metrics by the shares of each role that pass and that kill."""
    passes = {f"written_tests_{role}_pass": share for role, (share, _) in shares.items()}
    kills = {f"written_tests_{role}_kill": share for role, (_, share) in shares.items()}
    return {"written_tests_items": items, **passes, **kills}


def generations(*outputs: tuple[str, str, str]) -> pl.DataFrame:
    names = ("example_id", "role", "output")
    rows = [{**ROW, "task": "tests", **dict(zip(names, values, strict=True))} for values in outputs]
    return GENERATIONS.frame(rows)


def test_a_test_is_placed_where_the_true_one_stands_and_stood(workshop: Workshop, tmp_path: Path) -> None:
    project_tests = written_tests(workshop, tmp_path / "data")
    assert set(project_tests.runnable) == {"price", "doomed"}
    price = project_tests.runnable["price"]
    assert len(price.mutants) == 2
    other_function = "def doomed(value):\n    return value - 1\n"
    assert all(mutant.endswith(other_function) for mutant in price.mutants)
    assert FILES["shop/till.py"] not in price.mutants
    single_test = price.with_test("0", TRUE)
    assert single_test.test_file == FILES["tests/test_till.py"].replace(
        "def test_price(self", "def test_written_here(self"
    )
    assert single_test.node == "tests/test_till.py::TestTill::test_written_here"
    for no_test in ("price(1, 2)", "def tes(", "class TestA:\n    pass", ""):
        assert price.with_test("0", no_test) is None
    assert written_tests(workshop, tmp_path / "moved", "# new\n").runnable == {}


@needs_sandbox
def test_tests_pass_or_fail_with_the_right_code_and_find_errors_or_do_not(workshop: Workshop, tmp_path: Path) -> None:
    project_tests = written_tests(workshop, tmp_path / "data")
    price, doomed = project_tests.runnable["price"], project_tests.runnable["doomed"]
    verdicts = project_tests.judge(
        [
            (price, TRUE),
            (price, "def test_price(self):\n    price(1, 2)"),  # asserts nothing
            (price, "def test_price(self):\n    assert price(2, 3) == 6"),  # is wrong
            (price, "def test_price(self):\n    pytest.skip('no')"),
            # a test of the repository with this name kills, and must not stand for it
            (price, "def test_price_again(self):\n    pass"),
            (price, "no test"),
            (doomed, doomed.item.completion),
        ]
    )
    outcomes = [(verdict.passes, verdict.killed) for verdict in verdicts]
    wrong = (False, 0)
    assert outcomes == [(True, 2), (True, 0), wrong, wrong, (True, 0), wrong, wrong]
    assert "AssertionError" in verdicts[-1].detail
    assert "AssertionError" in verdicts[2].detail
    assert (verdicts[3].detail.endswith("is skipped"), verdicts[5].detail) == (True, "it is not a test")


@needs_sandbox
def test_only_where_the_true_test_passes_are_the_others_judged(workshop: Workshop, tmp_path: Path) -> None:
    project_tests = written_tests(workshop, tmp_path / "data")
    table = written_test_table(
        generations(
            ("price", "base", "def test_price(self):\n    pass"),
            ("price", "challenger", TRUE),
            ("doomed", "base", "def test_doomed():\n    pass"),
            ("doomed", "challenger", "def test_doomed():\n    assert doomed(1) == 0"),
        ),
        project_tests,
    )
    rows = {(row["example_id"], row["role"]): row for row in table.iter_rows(named=True)}
    assert rows["price", "repository"]["killed"] == rows["price", "challenger"]["killed"] == 2
    assert (rows["price", "base"]["killed"], rows["doomed", "repository"]["passes"]) == (0, False)
    assert rows["doomed", "challenger"]["passes"] is None
    assert written_test_metrics(table) == metrics_of(1, repository=(1.0, 1.0), base=(1.0, 0.0), challenger=(1.0, 1.0))


def row(example: str, role: str, passes: bool | None, killed: int) -> dict[str, object]:
    other_columns = {"path": "t.py", "mutants": 4, "detail": ""}
    return {"example_id": example, "role": role, "passes": passes, "killed": killed, **other_columns}


def test_an_item_counts_where_all_were_run_and_the_true_test_passes() -> None:
    passing = [row(name, role, True, killed) for name, killed in zip("abc", (4, 2, 1), strict=True) for role in ROLES]
    challenger_rows = [
        row("a", "challenger", False, 0),
        row("b", "challenger", True, 3),
        row("c", "challenger", None, 0),
    ]
    table = WRITTEN_TESTS.frame([*passing, *challenger_rows, row("d", "repository", False, 0)])
    shares = {"repository": (1.0, 6 / 8), "base": (1.0, 6 / 8), "challenger": (0.5, 3 / 8)}
    assert written_test_metrics(table) == metrics_of(2, **shares)
    assert written_test_metrics(table.filter(pl.col("example_id") == "d")) == {}


def test_without_a_sandbox_nothing_is_run_and_it_is_said(workshop: Workshop, tmp_path: Path) -> None:
    project_tests = written_tests(workshop, tmp_path / "data")
    with mock.patch.object(mutant_killing.sandbox, "unavailable", return_value="none: for a test"):
        table = written_test_table(generations(("price", "base", TRUE)), project_tests)
    assert table["passes"].to_list() == [None, None]
    assert "none: for a test" in table["detail"].to_list()
    assert written_test_metrics(table) == {}
