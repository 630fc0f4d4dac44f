"""Generated tests run on the true code and its mutants, compared with the repository's own."""

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.generations import WRITERS
from cortex_pipelines.evaluation.generation.written_tests import RunnableTest, WrittenTests
from cortex_pipelines.execution.tests.single_tests import TestOutcome
from cortex_pipelines.schemas.evaluation import WRITTEN_TESTS

REPOSITORY = "repository"
ROLES = (REPOSITORY, *WRITERS)
_COUNTED = ("passes", "killed", "mutants")
_AttributedTests = list[tuple[RunnableTest, str, str]]
"""Test, role that wrote it, and its code."""


def written_test_table(generations: pl.DataFrame, tests: WrittenTests) -> pl.DataFrame:
    """Outcome of each greedily generated test; only run if the true test passes."""
    greedy = generations.filter((pl.col("task") == "tests") & (pl.col("sample") == 0) & (pl.col("asked") == "plain"))
    columns = greedy.select("example_id", "role", "output").iter_rows()
    generated = [(tests.runnable[name], role, output) for name, role, output in columns if name in tests.runnable]
    test_by_id = {test.item.example_id: test for test, _, _ in generated}
    originals: _AttributedTests = [(test, REPOSITORY, test.item.completion) for test in test_by_id.values()]
    verdicts = dict(zip(test_by_id, tests.judge(_texts(originals)), strict=True))
    sound = [entry for entry in generated if verdicts[entry[0].item.example_id].passes]
    rows = list(zip(originals, verdicts.values(), strict=True))
    rows += zip(sound, tests.judge(_texts(sound)), strict=True)
    rows += [
        (entry, TestOutcome(None, 0, "the true test does not pass here")) for entry in generated if entry not in sound
    ]
    return WRITTEN_TESTS.conform(WRITTEN_TESTS.frame([_row(*entry, verdict) for entry, verdict in rows]))


def written_test_metrics(table: pl.DataFrame) -> dict[str, float]:
    """Shares that pass on the true code, and of killed mutants; a test that fails on the true code kills none.

    Only tests that could be run for all roles count.
    """
    unknown = table.filter(pl.col("passes").is_null())["example_id"]
    ran = table.filter(~pl.col("example_id").is_in(unknown.implode()))
    failing = ran.filter((pl.col("role") == REPOSITORY) & ~pl.col("passes"))["example_id"]
    sound = ran.filter(~pl.col("example_id").is_in(failing.implode()))
    if sound.is_empty():
        return {}
    metrics = {"written_tests_items": float(sound["example_id"].n_unique())}
    for role in ROLES:
        role_rows = sound.filter(pl.col("role") == role)
        passed, killed, mutants = (float(role_rows[name].sum()) for name in _COUNTED)
        metrics[f"written_tests_{role}_pass"] = passed / role_rows.height
        metrics[f"written_tests_{role}_kill"] = killed / mutants
    return metrics


def _texts(tests: _AttributedTests) -> list[tuple[RunnableTest, str]]:
    return [(test, text) for test, _, text in tests]


def _row(test: RunnableTest, role: str, _text: str, verdict: TestOutcome) -> dict[str, object]:
    return {
        "example_id": test.item.example_id,
        "role": role,
        "path": test.item.path,
        "mutants": len(test.mutants),
        "passes": verdict.passes,
        "killed": verdict.killed,
        "detail": verdict.detail,
    }
