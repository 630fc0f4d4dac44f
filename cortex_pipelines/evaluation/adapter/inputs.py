"""Inputs of the adapter evaluation, and all items scored by likelihood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import sample_held_out
from cortex_pipelines.evaluation.adapter.measures.forgetting import GeneralItems, general_items
from cortex_pipelines.evaluation.adapter.measures.memorisation import ExtractionAttempt, build_attempts
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS, Question, build_questions
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, grouped_by_file, read_examples, without_gaps
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples


@dataclass(frozen=True)
class AdapterVersion:
    version: str
    folder: Path


@dataclass(frozen=True)
class EvaluationInputs:
    """``datasets`` are the folders by name (``DATASETS``); without ``general_project`` forgetting is not measured."""

    project: str
    datasets: Mapping[str, Path]
    general_code: Path
    general_project: str | None
    repository_files: Path
    code_units: Path
    dataset_settings: DatasetSettings
    limits: AugmentationSettings
    other: AdapterVersion | None


@dataclass(frozen=True)
class Items:
    """All items scored by likelihood.

    ``retrieved`` are the completions with similar training examples before the prompt, ``questions_with_context`` the
    same for questions; None for one only asked without.
    """

    held_out: list[Example]
    general: GeneralItems
    questions: list[Question]
    items_without_question: dict[str, int]
    attempts: list[ExtractionAttempt]
    completions: list[Example]
    retrieved: list[Example]
    questions_with_context: list[Question | None]


def sample_items(inputs: EvaluationInputs, challenger: Path, settings: EvaluationSettings) -> Items:
    completion = inputs.datasets["completion"]
    test_examples = [
        example for task, folder in inputs.datasets.items() for example in read_examples(folder, task, "test")
    ]
    held_out_items = grouped_by_file(sample_held_out(inputs.datasets, settings), test_examples)
    general = general_items(
        inputs.general_code, inputs.general_project, inputs.project, completion, inputs.dataset_settings, settings
    )
    examples_by_task = {
        task: grouped_by_file(without_gaps(folder, task, "test"), test_examples)
        for task, folder in inputs.datasets.items()
    }
    questions, items_without_question = build_questions(examples_by_task, settings.choices, settings.seed)
    attempts = build_attempts(challenger, completion, settings.memorised, settings.seed)
    completions = [item for item in held_out_items if item.task == "completion"]
    retrieved, questions_with_context = [], list[Question | None]([None] * len(questions))
    if settings.retrieved_bytes:
        similar = SimilarExamples(completion, settings.retrieved_bytes)
        retrieved = similar.with_examples(completions)
        questions_with_context = _with_similar_examples(questions, similar, settings.retrieved_choices)
    return Items(
        held_out_items,
        general,
        questions,
        items_without_question,
        attempts,
        completions,
        retrieved,
        questions_with_context,
    )


def _with_similar_examples(
    questions: Sequence[Question], similar: SimilarExamples, count: int
) -> list[Question | None]:
    """The first ``count`` questions of each kind with similar examples; None for the others."""
    remaining = dict.fromkeys(KINDS, count)
    with_context: list[Question | None] = []
    for question in questions:
        remaining[question.kind] -= 1
        variant = None
        if remaining[question.kind] >= 0:
            prompt = similar.prepend_examples(question.answers[0].prompt)
            answers = tuple(replace(answer, prompt=prompt) for answer in question.answers)
            variant = replace(question, answers=answers)
        with_context.append(variant)
    return with_context
