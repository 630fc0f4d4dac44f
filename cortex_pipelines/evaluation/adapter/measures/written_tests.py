"""Generated tests under the right code and under mutants of it, next to the repository's own."""

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.generations import WRITERS
from cortex_pipelines.evaluation.generation.written_tests import RunnableTest, WrittenTests
from cortex_pipelines.execution.tests.single_tests import TestOutcome
from cortex_pipelines.schemas.adapter_scores import WRITTEN_TESTS

REPOSITORY = "repository"
ROLES = (REPOSITORY, *WRITERS)
_COUNTED = ("passes", "killed", "mutants")
_Asked = list[tuple[RunnableTest, str, str]]
"""Tests with who wrote them, and what."""


def written_test_table(generations: pl.DataFrame, tests: WrittenTests) -> pl.DataFrame:
    """What each greedily written test shows, as ``WRITTEN_TESTS``.

    Only where the true test passes in its place can anything be said of the others.

    Args:
        generations: ``GENERATIONS``.
        tests: The tests that can be run.
    """
    greedy = generations.filter(
        (pl.col("task") == "tests") & (pl.col("sample") == 0) & (pl.col("asked") == "plain")
    )
    columns = greedy.select("example_id", "role", "output").iter_rows()
    written = [
        (tests.runnable[name], role, output)
        for name, role, output in columns
        if name in tests.runnable
    ]
    own = {test.item.example_id: test for test, _, _ in written}
    true: _Asked = [(test, REPOSITORY, test.item.completion) for test in own.values()]
    verdicts = dict(zip(own, tests.judge(_texts(true)), strict=True))
    sound = [asked for asked in written if verdicts[asked[0].item.example_id].passes]
    rows = list(zip(true, verdicts.values(), strict=True))
    rows += zip(sound, tests.judge(_texts(sound)), strict=True)
    rows += [
        (asked, TestOutcome(None, 0, "the true test does not pass here"))
        for asked in written
        if asked not in sound
    ]
    return WRITTEN_TESTS.conform(
        WRITTEN_TESTS.frame([_row(*asked, verdict) for asked, verdict in rows])
    )


def written_test_metrics(written: pl.DataFrame) -> dict[str, float]:
    """``written_tests_items``, and by role ``written_tests_<role>_pass`` and ``…_kill``.

    Counted are the tests that could be run for all roles. ``pass`` is the share that passes with
    the right code, ``kill`` the share of the mutants that are killed; a test that fails with the
    right code kills none.
    """
    unknown = written.filter(pl.col("passes").is_null())["example_id"]
    ran = written.filter(~pl.col("example_id").is_in(unknown.implode()))
    failing = ran.filter((pl.col("role") == REPOSITORY) & ~pl.col("passes"))["example_id"]
    sound = ran.filter(~pl.col("example_id").is_in(failing.implode()))
    if sound.is_empty():
        return {}
    metrics = {"written_tests_items": float(sound["example_id"].n_unique())}
    for role in ROLES:
        mine = sound.filter(pl.col("role") == role)
        passed, killed, mutants = (float(mine[name].sum()) for name in _COUNTED)
        metrics[f"written_tests_{role}_pass"] = passed / mine.height
        metrics[f"written_tests_{role}_kill"] = killed / mutants
    return metrics


def _texts(asked: _Asked) -> list[tuple[RunnableTest, str]]:
    return [(test, text) for test, _, text in asked]


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
