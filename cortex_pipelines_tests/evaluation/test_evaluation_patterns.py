from typing import Any

import pytest

from cortex_pipelines.evaluation.metrics.grading import broken_patterns, pattern_metrics
from cortex_pipelines.extraction.patterns.pattern import parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.schemas.evaluation import GENERATIONS
from cortex_pipelines_tests.evaluation.test_evaluation_generations import ROW
from cortex_pipelines_tests.evaluation.workshop import Workshop
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
NO_NONE = {"name": "no_none", "when": "Always.", "languages": "python"}
CHECKS = PatternChecks([parse_pattern(NO_NONE | {"example": "return 0", "counter_example": "return None"})])
PATTERN = CASES["PATTERN"]


@pytest.mark.parametrize(
    ("task", "prompt", "output", "language", "broken"), CASES["only_what_was_written_is_held_against_the_patterns"]
)
def test_only_what_was_written_is_held_against_the_patterns(
    task: str, prompt: str, output: str, language: str, broken: list[str] | None
) -> None:
    assert broken_patterns(CHECKS, task, prompt, output, language) == broken


def test_shares_are_of_plain_greedy_outputs_and_of_the_truth() -> None:
    changes: list[dict[str, Any]] = [
        {"role": "base", "broken_patterns": ["no_none"]},
        {"role": "base", "broken_patterns": [], "expected": "    return None"},
        {"role": "challenger", "broken_patterns": []},
        {"role": "challenger", "broken_patterns": [], "expected": "    return None"},
        {"role": "challenger", "broken_patterns": ["no_none"], "sample": 1},
        {"role": "challenger", "broken_patterns": None, "task": "naming"},
    ]
    rows = [{**ROW, "example_id": f"e{number % 2}", **change} for number, change in enumerate(changes)]
    shares = {"base_broken": 0.5, "challenger_broken": 0.0, "truth_broken": 0.5, "items": 2.0}
    metrics = pattern_metrics(GENERATIONS.frame(rows), CHECKS)
    assert metrics == {f"patterns_{name}": share for name, share in shares.items()}
    assert pattern_metrics(GENERATIONS.frame(rows).clear(), CHECKS) == {}


def test_an_evaluation_counts_and_names_broken_patterns(workshop: Workshop) -> None:
    repository_files = workshop.repository({"patterns/no.yaml": PATTERN.format("no_return", "return $A", "yield $A")})
    tables, metrics = workshop.tables(
        workshop.trained, repository=repository_files, generated_items=2, max_new_tokens=24
    )
    code = tables["generations"].filter(tables["generations"]["broken_patterns"].is_not_null())
    assert set(code["task"]) == {"completion", "refactoring"}
    # the repository's code returns early, so the truth breaks this pattern
    assert metrics["patterns_truth_broken"] > 0
    assert metrics["patterns_items"] == 4
    page = workshop.read()
    assert "break a pattern of the project; of the true answers" in page
    _, metrics_without = workshop.tables(workshop.trained, generated_items=2)
    assert not [name for name in metrics_without if name.startswith("patterns_")]
    assert "pattern of the project" not in workshop.read()
