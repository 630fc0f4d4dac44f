"""Patterns of the project that an output breaks."""

import textwrap

import polars as pl

from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.prompts.examples import DATASETS

CODE = ("completion", "refactoring")
"""Tasks whose answers are code."""


def broken_patterns(
    checks: PatternChecks, task: str, prompt: str, output: str, language: str, path: str = ""
) -> list[str] | None:
    """Names of the patterns that an output breaks; None where none of them can be.

    Args:
        checks: The project's.
        task: Task of the prompt.
        prompt: Its last line may begin the output's first.
        output: What was written; what stands before it is not looked at.
        language: Its language.
        path: Of its file, where known.
    """
    if task not in CODE or language not in checks.languages:
        return None
    line = prompt.rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    return checks.broken(textwrap.dedent(indent + output), language, path)


def pattern_metrics(generations: pl.DataFrame, checks: PatternChecks) -> dict[str, float]:
    """``patterns_<role>_broken``: share of the greedy outputs that break a pattern.

    The role ``truth`` stands for the text in the repository, as a control: where it breaks patterns
    as often as the models do, these are not yet what the project does.
    """
    asked = generations.filter(
        pl.col("broken_patterns").is_not_null()
        & (pl.col("asked") == "plain")
        & (pl.col("sample") == 0)
    )
    if asked.is_empty():
        return {}
    broken = asked.select("role", pl.col("broken_patterns").list.len() > 0)
    shares = broken.group_by("role").agg(pl.col("broken_patterns").mean()).sort("role")
    questions = asked.filter(pl.col("role") == asked["role"][0])
    truth = [
        broken_patterns(checks, DATASETS.get(row["task"], row["task"]), row["prompt"],
                        row["expected"], row["language"], row["path"])
        for row in questions.iter_rows(named=True)
    ]  # fmt: skip
    return {
        **{f"patterns_{role}_broken": float(share) for role, share in shares.iter_rows()},
        "patterns_truth_broken": sum(map(bool, truth)) / len(truth),
        "patterns_items": float(len(truth)),
    }
