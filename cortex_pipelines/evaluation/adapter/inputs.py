"""Inputs of the adapter evaluation, and all items scored by likelihood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import held_out
from cortex_pipelines.evaluation.adapter.measures.forgetting import GeneralItems, general_items
from cortex_pipelines.evaluation.adapter.measures.memorisation import Attempt, attempts
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS, Question, questions
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import (
    Example,
    grouped_by_file,
    read_examples,
    without_gaps,
)
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples


@dataclass(frozen=True)
class AdapterVersion:
    """An adapter's files and version."""

    version: str
    folder: Path


@dataclass(frozen=True)
class EvaluationInputs:
    """Inputs of the adapter evaluation.

    Args:
        project: The adapter's project.
        datasets: Each of ``DATASETS`` with its folder.
        general_code: Folder of the code that stands for all code.
        general_project: Project that it is of; None for none.
        repository_files: Folder of the project's files.
        code_units: Folder of its units.
        dataset_settings: Threshold of near-duplicates, and the mask of names.
        limits: Of code that is run.
        other: Adapter of another project, as a baseline.
    """

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

    Args:
        held_out: Test items of all data sets.
        general: Items of another project.
        questions: With several answers.
        unasked: Kind of question to the number of items that gave none.
        attempts: Rare lines to extract.
        completions: The completions among the held-out items.
        retrieved: The same with similar training examples before the prompt; empty for none.
        shown: Each question with such examples before it; None where it is asked without only.
    """

    held_out: list[Example]
    general: GeneralItems
    questions: list[Question]
    unasked: dict[str, int]
    attempts: list[Attempt]
    completions: list[Example]
    retrieved: list[Example]
    shown: list[Question | None]


def items_of(inputs: EvaluationInputs, challenger: Path, settings: EvaluationSettings) -> Items:
    """Sample all items by the seed, including rare lines of the training data."""
    completion = inputs.datasets["completion"]
    everything = [
        example
        for task, folder in inputs.datasets.items()
        for example in read_examples(folder, task, "test")
    ]
    known = grouped_by_file(held_out(inputs.datasets, settings), everything)
    general = general_items(
        inputs.general_code,
        inputs.general_project,
        inputs.project,
        completion,
        inputs.dataset_settings,
        settings,
    )
    test = {
        task: grouped_by_file(without_gaps(folder, task, "test"), everything)
        for task, folder in inputs.datasets.items()
    }
    asked, unasked = questions(test, settings.choices, settings.seed)
    tried = attempts(challenger, completion, settings.memorised, settings.seed)
    completions = [item for item in known if item.task == "completion"]
    retrieved, shown = [], list[Question | None]([None] * len(asked))
    if settings.retrieved_bytes:
        similar = SimilarExamples(completion, settings.retrieved_bytes)
        retrieved = similar.asked(completions)
        shown = _shown(asked, similar, settings.retrieved_choices)
    return Items(known, general, asked, unasked, tried, completions, retrieved, shown)


def _shown(
    asked: Sequence[Question], similar: SimilarExamples, count: int
) -> list[Question | None]:
    """The first questions of each kind with similar examples before them."""
    left = dict.fromkeys(KINDS, count)
    shown: list[Question | None] = []
    for question in asked:
        left[question.kind] -= 1
        again = None
        if left[question.kind] >= 0:
            before = similar.before(question.answers[0].prompt)
            answers = tuple(replace(answer, prompt=before) for answer in question.answers)
            again = replace(question, answers=answers)
        shown.append(again)
    return shown
