"""Evaluate one adapter: tables, metrics, comparisons and report."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import polars as pl

from cortex_pipelines.adapters.model.base_model import base_digest, base_name
from cortex_pipelines.adapters.model.lora import AdapterVersion, recorded_base, trained_tasks
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import (
    ROLES,
    ComparedModels,
    GeneralItems,
    bits_saved,
    condition_metrics,
    condition_table,
    foreign_code_metrics,
    forgetting_metrics,
    general_items,
    score_metrics,
    score_table,
    specialisation_metrics,
    task_rows,
)
from cortex_pipelines.evaluation.adapter.measures.generations import generation_metrics, generation_table, select_items
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.adapter.measures.memorisation import (
    build_attempts,
    canary_table,
    exposure_metrics,
    memorised_metrics,
    memorised_table,
)
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import (
    ChoiceQuestion,
    build_questions,
    choice_differences,
    choice_metrics,
    choice_table,
)
from cortex_pipelines.evaluation.adapter.measures.test_runner import (
    Repository,
    problem_metrics,
    problem_table,
    read_problems,
)
from cortex_pipelines.evaluation.adapter.measures.written_tests import (
    WrittenTests,
    written_test_metrics,
    written_test_table,
)
from cortex_pipelines.evaluation.adapter.report.page import render_report
from cortex_pipelines.evaluation.adapter.report.quality import quality_metrics, quality_reports, run_metrics
from cortex_pipelines.evaluation.metrics.grading import pattern_metrics
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.execution.tests.environment import open_environment
from cortex_pipelines.extraction.patterns.pattern_files import project_checks
from cortex_pipelines.hyperparameter_search import TRIALS_FILE
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.prompts.examples import (
    Example,
    datasets_to_measure,
    grouped_by_file,
    read_examples,
    sampled,
    task_counts,
    without_gaps,
)
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.evaluation import FOREIGN_SCORES, GENERAL_SCORES
from cortex_pipelines.statistics.significance import compare_all


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
    """All items scored by likelihood; completions and questions also with similar training examples before the prompt,
    None for a question that is only asked without.
    """

    held_out: list[Example]
    general: GeneralItems
    questions: list[ChoiceQuestion]
    items_without_question: dict[str, int]
    attempts: list[tuple[str, Example]]
    completions: list[Example]
    retrieved: Sequence[Example] = ()
    questions_with_context: Sequence[ChoiceQuestion | None] = ()


def sample_items(inputs: EvaluationInputs, challenger: Path, settings: EvaluationSettings) -> Items:
    completion, folders = inputs.datasets["completion"], inputs.datasets.items()
    test_examples = [example for task, folder in folders for example in read_examples(folder, task, "test")]
    selected = [
        example
        for task, folder in folders
        for example in sampled(read_examples(folder, task, "test"), settings.items, settings.seed)
    ]
    held_out_items = grouped_by_file(selected, test_examples)
    general = general_items(
        inputs.general_code, inputs.general_project, inputs.project, completion, inputs.dataset_settings, settings
    )
    examples_by_task = {
        task: grouped_by_file(without_gaps(folder, task, "test"), test_examples) for task, folder in folders
    }
    questions, items_without_question = build_questions(examples_by_task, settings.choices, settings.seed)
    attempts = build_attempts(challenger, completion, settings.memorised, settings.seed)
    completions = [item for item in held_out_items if item.task == "completion"]
    items = Items(held_out_items, general, questions, items_without_question, attempts, completions)
    if not settings.retrieved_bytes:
        return items
    similar = SimilarExamples(completion, settings.retrieved_bytes)
    counts, with_context = Counter[str](), list[ChoiceQuestion | None]()
    for question in questions:
        counts[question.kind] += 1
        if counts[question.kind] > settings.retrieved_choices:
            with_context.append(None)
            continue
        prompt = similar.prepend_examples(question.answers[0].prompt)
        answers = tuple(replace(answer, prompt=prompt) for answer in question.answers)
        with_context.append(replace(question, answers=answers))
    return replace(items, retrieved=similar.with_examples(completions), questions_with_context=with_context)


def evaluate_adapter(
    challenger: AdapterVersion,
    reference: AdapterVersion | None,
    inputs: EvaluationInputs,
    pinned: PinnedModel,
    settings: EvaluationSettings,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Compare an adapter with its reference (None: the base model) and the base on held-out items.

    Of the champion's pin only the reference's version is written to the files. They therefore stay the same if the
    challenger is promoted and compared with the same reference again. ``observe`` receives times and sizes, which are
    not part of the result.
    """
    started = perf_counter()
    baseline, note = reference, ""
    if reference and (base := recorded_base(reference.folder))["digest"] != base_digest(pinned):
        baseline, note = None, f"The champion {reference.version} was trained on another base ({base['name']})"
        note += " and cannot be put on this one."
    models = ComparedModels(challenger.folder, baseline.folder if baseline else None)
    scorer = ItemScorer(pinned, root, settings, cache)
    adapter_tasks = trained_tasks(challenger.folder)
    inputs = replace(inputs, datasets=datasets_to_measure(inputs.datasets, adapter_tasks))
    items = sample_items(inputs, challenger.folder, settings)
    _score_all(items, models, scorer)
    observe("scoring_seconds", perf_counter() - started)
    tables, metrics, quality = _measure_all(items, models, scorer, inputs, settings, root)
    # challenger against reference on every task and question kind, corrected jointly
    improvements = {
        f"{task}_improvement": bits_saved(task_rows(tables["scores"], task), "reference", settings)
        for task in inputs.datasets
    }
    differences = improvements | choice_differences(tables["team_choices"], settings)
    comparisons = compare_all(differences, **settings.bootstrap)
    comparison: dict[str, Any] = {
        "title": f"Code adapter of {inputs.project} on held-out code",
        "base": {"name": base_name(pinned), "digest": base_digest(pinned)},
        "challenger": {"version": challenger.version},
        "reference": {"version": baseline.version if baseline else None, "note": note},
        "tasks": list(inputs.datasets),
        "items": task_counts(items.held_out),
        "questions_without_answers": items.items_without_question,
        "general": {
            "project": inputs.general_project,
            "near_duplicates_left_out": items.general.near_duplicates,
            "missing": items.general.missing,
        },
        "searches": {
            path.parent.name if path.parent != challenger.folder else "": json.loads(path.read_text())
            for path in sorted(challenger.folder.rglob(TRIALS_FILE))
        },
        "other_adapter": inputs.other.version if inputs.other else None,
        "comparisons": [asdict(result) for result in comparisons],
        "settings": settings.model_dump(mode="json") | {"precision": scorer.precision},
    }
    write_json(out / "metrics.json", metrics)
    write_json(out / "quality.json", asdict(quality))
    write_json(out / "comparison.json", comparison)
    report = render_report(tables, metrics, quality, comparison, comparisons, items.held_out)
    (out / "report.html").write_text(report, encoding="utf-8")
    size = sum(path.stat().st_size for path in challenger.folder.rglob("*") if path.is_file())
    observe("evaluation_seconds", perf_counter() - started)
    observe("adapter_mib", size / 2**20)
    # KiB on Linux; the peak is the whole process's, other work included
    observe("peak_memory_mib", getrusage(RUSAGE_SELF).ru_maxrss / 1024)
    return tables


def _score_all(items: Items, models: ComparedModels, scorer: ItemScorer) -> None:
    """Score every text once, grouped by prompt; results are cached."""
    texts = [*items.held_out, *items.general.items, *items.general.foreign]
    texts += [item for _, item in items.attempts]
    texts += [text for question in items.questions for text in (*question.answers, *question.alone)]
    texts.sort(key=lambda text: (text.task, text.prompt, text.completion))
    for role in ROLES:
        scorer.scores(texts, models.folder(role))


def _measure_all(
    items: Items,
    models: ComparedModels,
    scorer: ItemScorer,
    inputs: EvaluationInputs,
    settings: EvaluationSettings,
    root: Path,
) -> tuple[dict[str, pl.DataFrame], dict[str, float], Any]:
    completion = inputs.datasets["completion"]
    python = open_environment(inputs.limits.test_environment, root)
    repository = Repository(inputs.repository_files, inputs.code_units, completion, inputs.limits, python)
    tests = WrittenTests(repository.texts, inputs.code_units, inputs.datasets.get("tests"), inputs.limits, python)
    generation_items = select_items(inputs.datasets, repository, tests, settings)
    other = inputs.other.folder if inputs.other else None
    problems = read_problems(root, settings.benchmarks)
    patterns = project_checks(inputs.repository_files)
    tables = {
        "scores": score_table(items.held_out, models, scorer),
        "general_scores": score_table(items.general.items, models, scorer, GENERAL_SCORES),
        "foreign_scores": score_table(items.general.foreign, models, scorer, FOREIGN_SCORES),
        "team_choices": choice_table(
            items.questions,
            items.questions_with_context or [None] * len(items.questions),
            models,
            other,
            scorer,
            settings.retrieved_window,
        ),
        "ways": condition_table(items.completions, items.retrieved, models.challenger, other, scorer, settings),
        "memorised": memorised_table(items.attempts, models, scorer),
        "canaries": canary_table(models, scorer, settings),
        "generations": generation_table(
            generation_items, models, scorer, repository, settings, inputs.dataset_settings.mask, patterns
        ),
        "problems": problem_table(problems, models, scorer, settings, inputs.limits),
    }
    tables["written_tests"] = written_test_table(tables["generations"], tests)
    quality = quality_reports(tables["generations"], tables["team_choices"])
    metrics = (
        score_metrics(tables["scores"], settings)
        | specialisation_metrics(tables["scores"], inputs.datasets, settings)
        | foreign_code_metrics(tables["scores"], tables["foreign_scores"], settings)
        | forgetting_metrics(tables["general_scores"], settings)
        | choice_metrics(tables["team_choices"], settings)
        | generation_metrics(tables["generations"])
        | pattern_metrics(tables["generations"], patterns)
        | quality_metrics(quality)
        | run_metrics(tables["generations"], settings)
        | written_test_metrics(tables["written_tests"])
        | problem_metrics(tables["problems"], settings)
        | memorised_metrics(tables["memorised"], settings)
        | exposure_metrics(tables["canaries"], settings)
        | condition_metrics(tables["ways"], settings)
    )
    return tables, metrics, quality
