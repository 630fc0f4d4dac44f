"""Grade a generated output by comparison with the reference and with the project's patterns."""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import polars as pl
from rapidfuzz.distance import Levenshtein

from cortex_pipelines.evaluation.metrics.code_trees import same_code, subtoken_f1, syntax_errors
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.prompts.examples import DATASETS, Example
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines.words import folded_words


def edit_similarity(output: str, expected: str) -> float:
    """1 minus Levenshtein distance over the longer length, in characters, without surrounding white space."""
    return Levenshtein.normalized_similarity(output.strip(), expected.strip())


_WORD = re.compile(r"[^\W\d_]+")
_FUNCTION_WORDS = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "if", "in", "into", "is"),
        *("it", "its", "not", "of", "on", "or", "that", "the", "this", "to", "when", "which"),
        *("will", "with"),
    ]
)


def word_f1(output: str, expected: str) -> float:
    """F1 of the words of two texts, 0 to 1, without function words, order, case and signs.

    With function words two unrelated docstrings of a project share an eighth of their words, without them a thirtieth.
    Of six measures (this one with and without function words, ROUGE-L, chrF, smoothed BLEU, edit similarity) it best
    separates docstrings of functions with the same name from others: docs/evaluation.md.
    """
    output_counts, expected_counts = (_word_counts(text) for text in (output, expected))
    shared = sum((output_counts & expected_counts).values())
    return 2 * shared / (sum(output_counts.values()) + sum(expected_counts.values())) if shared else 0.0


def _word_counts(text: str) -> Counter[str]:
    parts = (part for word in folded_words(text) for part in _WORD.findall(word))
    return Counter(part for part in parts if part not in _FUNCTION_WORDS)


_NAME = re.compile(r"[^\W\d][\w$]*")


def grade(item: Example, output: str, mask: str) -> dict[str, Any]:
    """Grade columns of ``GENERATIONS``; ``mask`` is the placeholder of the name in a naming prompt."""
    expected = item.completion
    return {
        "syntax_correct": syntax_correct(item, output, mask),
        "exact_match": output.strip() == expected.strip(),
        "right": same_answer(item, output, expected),
        "edit_similarity": edit_similarity(output, expected),
        "subtoken_f1": subtoken_f1(output, expected) if item.task == "naming" else None,
        "word_f1": word_f1(output, expected) if item.task == "documentation" else None,
    }


def syntax_correct(item: Example, output: str, mask: str) -> bool | None:
    """Whether the completed unit has no more syntax errors than the reference; None if it cannot be parsed.

    The code around a unit may be truncated and have errors of its own, which do not count.
    """
    if item.task in ("architecture", "documentation") or item.language not in PARSED:
        return None
    if not output.strip() or (item.task == "naming" and not _NAME.fullmatch(output.strip())):
        return False
    completed, truth = (_completed(item, text, mask) for text in (output, item.completion))
    errors = [syntax_errors(text, item.language, item.path) for text in (completed, truth)]
    return errors[0] <= errors[1]


def same_answer(item: Example, first: str, second: str) -> bool:
    """For imports only the verdict counts (``allowed`` or ``violation``), not the reason."""
    if item.task == "architecture" and item.kind == "violation":
        return verdict_of(first) == verdict_of(second)
    if item.task in ("naming", "architecture", "documentation"):
        return first.split() == second.split()
    return same_code(first, second, item.language)


def verdict_of(answer: str) -> str:
    return answer.partition(":")[0].strip().lower()


def mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row[name] is not None]
    return fsum(values) / len(values) if values else None


def _completed(item: Example, output: str, mask: str) -> str:
    if item.task == "naming":
        return item.prompt.rpartition("\n\n")[0].replace(mask, output.strip())
    if item.form in ("refactoring", "tests"):
        lines = output.split("\n")
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[indent:] for line in lines)
    return item.prompt + output


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
    checked = generations.filter(pl.col("broken_patterns").is_not_null() & (pl.col("sample") == 0))
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
