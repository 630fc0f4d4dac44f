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
    """Names of the patterns that an output breaks; None if no pattern applies to it.

    The prompt's last line may start the first line of the output; code before it is not checked.
    """
    if task not in CODE or language not in checks.languages:
        return None
    line = prompt.rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    return checks.violated_patterns(textwrap.dedent(indent + output), language, path)


def pattern_metrics(generations: pl.DataFrame, checks: PatternChecks) -> dict[str, float]:
    """``patterns_<role>_broken``: share of the greedy outputs that break a pattern.

    The role ``truth`` is the text in the repository, as a control: if it breaks patterns as often as the models do,
    the project does not follow them either.
    """
    checked = generations.filter(
        pl.col("broken_patterns").is_not_null() & (pl.col("asked") == "plain") & (pl.col("sample") == 0)
    )
    if checked.is_empty():
        return {}
    broken = checked.select("role", pl.col("broken_patterns").list.len() > 0)
    shares = broken.group_by("role").agg(pl.col("broken_patterns").mean()).sort("role")
    questions = checked.filter(pl.col("role") == checked["role"][0])
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
