"""Generate and grade completions of base and challenger for held-out items."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import fsum
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScorer, answer_token_limit
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import REPAIRS
from cortex_pipelines.evaluation.adapter.measures.test_runner import Repository
from cortex_pipelines.evaluation.adapter.measures.written_tests import WrittenTests
from cortex_pipelines.evaluation.metrics.grading import broken_patterns, grade, mean, verdict_of, word_f1
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.prompts.examples import DATASETS, Example, extent_of, sampled, shuffled, without_gaps
from cortex_pipelines.schemas.evaluation import GENERATIONS

_BYTES_OF_TOKEN = 3  # of code, at least, in the vocabularies of today's models
_ITEM_COLUMNS = ("example_id", "task", "path", "language", "kind", "cluster", "prompt")
_MEANS = ("syntax_correct", "exact_match", "edit_similarity", "subtoken_f1", "word_f1")


def select_items(
    datasets: Mapping[str, Path], repository: Repository, tests: WrittenTests, settings: EvaluationSettings
) -> list[Example]:
    """Held-out items whose reference fits the generation limit, without gaps; some with tests are always selected."""
    selected: dict[tuple[str, str], Example] = {}
    for task, folder in datasets.items():
        candidates = [item for item in without_gaps(folder, task, "test") if item.completion.strip()]
        for item in sampled(_short(candidates, settings), settings.generated_items, settings.seed):
            selected[item.task, item.example_id] = item
    bodies, test_items = (
        shuffled(_short([entry.item for entry in runnable.values()], settings), settings.seed)
        for runnable in (repository.runnable, tests.runnable)
    )
    limit = settings.tested_items
    for item in (*repository.select_testable(bodies, limit), *test_items[:limit]):
        selected[item.task, item.example_id] = item
    order = list(DATASETS)
    return sorted(selected.values(), key=lambda item: (order.index(item.task), item.example_id))


def _short(items: Iterable[Example], settings: EvaluationSettings) -> list[Example]:
    return [
        item for item in items if len(item.completion.encode()) <= _BYTES_OF_TOKEN * answer_token_limit(item, settings)
    ]


def generation_table(
    items: Sequence[Example],
    models: ComparedModels,
    scorer: ItemScorer,
    repository: Repository,
    settings: EvaluationSettings,
    mask: str,
    patterns: PatternChecks,
) -> pl.DataFrame:
    queries = [(item, 0) for item in items]
    queries += [
        (item, sample)
        for item in items
        if item.task == "completion" and item.example_id in repository.runnable
        for sample in range(1, settings.samples)
    ]
    rows = []
    for role in WRITERS:
        requests = [GenerationRequest(item, extent_of(item), sample) for item, sample in queries]
        outputs = scorer.outputs(requests, models.folder(role))
        for (item, sample), output in zip(queries, outputs, strict=True):
            row = {name: getattr(item, name) for name in _ITEM_COLUMNS} | grade(item, output, mask)
            row |= {"role": role, "sample": sample, "expected": item.completion, "output": output}
            broken = broken_patterns(patterns, item.form, item.prompt, output, item.language, item.path)
            rows.append(row | {"broken_patterns": broken, "tests": None, "tests_detail": None})
    bodies = [row for row in rows if row["task"] == "completion" and row["example_id"] in repository.runnable]
    outcomes = repository.run([(repository.runnable[row["example_id"]], row["output"]) for row in bodies])
    for row, (result, detail) in zip(bodies, outcomes, strict=True):
        row |= {"tests": result, "tests_detail": detail}
    return GENERATIONS.frame(rows)


def generation_metrics(generations: pl.DataFrame) -> dict[str, float]:
    """Mean grades of the greedy outputs by task and model, and shares by question.

    ``documentation_others_word_f1`` compares true docstrings with each other: chance level.
    """
    metrics: dict[str, float | None] = {}
    for role in WRITERS:
        greedy = generations.filter(role=role, sample=0)
        for task in DATASETS:
            rows = list(greedy.filter(pl.col("task") == task).iter_rows(named=True))
            metrics |= {f"{task}_{role}_{name}": mean(rows, name) for name in _MEANS}
        bugs = greedy.filter((pl.col("task") == "refactoring") & pl.col("kind").is_in(REPAIRS))
        metrics[f"refactoring_{role}_fix_rate"] = mean(list(bugs.iter_rows(named=True)), "right")
        rules = greedy.filter(pl.col("kind") == "violation")
        metrics[f"architecture_{role}_rule_accuracy"] = mean(list(rules.iter_rows(named=True)), "right")
        allowed = [
            verdict_of(output) == "allowed"
            for expected, output in rules.select("expected", "output").iter_rows()
            if verdict_of(expected) == "violation"
        ]
        metrics[f"architecture_{role}_violations_allowed"] = sum(allowed) / len(allowed) if allowed else None
    documented = generations.filter(pl.col("task") == "documentation").unique("example_id")["expected"]
    chance = [word_f1(*pair) for pair in combinations(documented.sort(), 2)]
    metrics["documentation_others_word_f1"] = fsum(chance) / len(chance) if chance else None
    return {name: value for name, value in metrics.items() if value is not None}
