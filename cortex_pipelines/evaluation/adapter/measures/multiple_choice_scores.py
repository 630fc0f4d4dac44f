"""Choices and accuracy of the models on multiple-choice questions."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ROLES, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS, Question
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.schemas.evaluation import MULTIPLE_CHOICE
from cortex_pipelines.statistics.intervals import paired_bootstrap, wilson
from cortex_pipelines.statistics.significance import PairedDifferences

_WITH_CONTEXT = {"context": "base", "both": "challenger"}
"""Condition with similar examples before the question, and the role that answers."""

_CONTROL = "other_adapter"


def choice_table(
    questions: Sequence[Question],
    questions_with_context: Sequence[Question | None],
    models: ComparedModels,
    other: Path | None,
    scorer: ItemScorer,
    window: int,
) -> pl.DataFrame:
    choices: dict[str, list[int | None]] = {}
    priors: dict[str, list[list[ItemScore]]] = {}
    folders = {role: models.folder(role) for role in ROLES}
    folders |= {_CONTROL: other} if other else {}
    for role, folder in folders.items():
        priors[role] = _by_question([entry.alone for entry in questions], folder, scorer, None)
        choices[role] = _choices(questions, priors[role], folder, scorer, None)
    choices.setdefault(_CONTROL, [None] * len(questions))
    for condition, role in _WITH_CONTEXT.items():
        choices[condition] = _choices(questions_with_context, priors[role], models.folder(role), scorer, window)
    names = ("example_id", "path", "language", "cluster", "prompt")
    rows = [
        {
            **{name: getattr(question.answers[0], name) for name in names},
            "kind": question.kind,
            "candidates": [answer.completion for answer in question.answers],
            "truth": question.truth,
            "chance": question.chance,
            "shown": questions_with_context[index] is not None,
            **{f"{condition}_chosen": answers[index] for condition, answers in choices.items()},
        }
        for index, question in enumerate(questions)
    ]
    return MULTIPLE_CHOICE.frame(rows)


def _choices(
    questions: Sequence[Question | None],
    priors: Sequence[Sequence[ItemScore]],
    adapter: Path | None,
    scorer: ItemScorer,
    window: int | None,
) -> list[int | None]:
    """Index of the answer to each question whose likelihood the prompt raises most (over its prior); None on a tie.

    Without priors the likeliest answer per byte wins.
    """
    answers = [question.answers if question else () for question in questions]
    choices = list[int | None]()
    for scores, alone in zip(_by_question(answers, adapter, scorer, window), priors, strict=True):
        costs = [score.total_nats / score.bytes if score.bytes else inf for score in scores]
        if scores and alone:
            pairs = zip(scores, alone, strict=True)
            costs = [score.total_nats - prior.total_nats if score.bytes else inf for score, prior in pairs]
        best = min(costs, default=inf)
        choices.append(costs.index(best) if costs.count(best) == 1 else None)
    return choices


def _by_question(
    texts: Sequence[Sequence[Example]], adapter: Path | None, scorer: ItemScorer, window: int | None
) -> list[list[ItemScore]]:
    # all at once: each call loads the adapter again
    scores = iter(scorer.scores([text for group in texts for text in group], adapter, window))
    return [[next(scores) for _ in group] for group in texts]


def choice_metrics(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Accuracy with Wilson intervals, and differences between conditions.

    Under ``team_`` for all questions and ``choice_<kind>_`` for each kind. With another project's adapter,
    ``own_difference`` is the challenger's accuracy minus that adapter's, which has learnt the form of the questions
    but not the project. Under ``shown_`` for the questions that were also asked with similar examples.
    """
    subsets = {"team_": choices} | {f"choice_{kind}_": choices.filter(pl.col("kind") == kind) for kind in KINDS}
    roles: tuple[str, ...] = (*ROLES, _CONTROL) if settings.other_adapter else ROLES
    metrics: dict[str, float] = {}
    for prefix, rows in subsets.items():
        if not rows.height:
            continue
        metrics |= {f"{prefix}items": rows.height, f"{prefix}chance": float(rows["chance"].to_numpy().mean())}
        if settings.other_adapter:
            metrics |= _difference_metrics(rows, "challenger", _CONTROL, f"{prefix}own_difference", settings)
        for role in roles:
            share = wilson(int(_correct(rows, role).sum()), rows.height, settings.confidence)
            metrics |= share.as_metrics(f"{prefix}{role}_accuracy")
        metrics |= _difference_metrics(rows, "challenger", "reference", f"{prefix}difference", settings)
    shown = choices.filter("shown")
    if shown.height:
        metrics["shown_items"] = shown.height
        for condition in ("base", "challenger", *_WITH_CONTEXT):
            metrics[f"shown_{condition}_accuracy"] = float(_correct(shown, condition).to_numpy().mean())
            if condition != "base":
                metrics |= _difference_metrics(shown, condition, "base", f"shown_{condition}_difference", settings)
    return metrics


def choice_differences(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, PairedDifferences]:
    differences = {}
    for kind in KINDS:
        rows = choices.filter(kind=kind)
        gains, clusters = _difference(rows, "challenger", "reference"), rows["cluster"].to_list()
        differences[f"choice_{kind}"] = PairedDifferences(gains, clusters, None, settings.smallest_accuracy)
    return differences


def _difference_metrics(
    rows: pl.DataFrame, condition: str, baseline: str, name: str, settings: EvaluationSettings
) -> dict[str, float]:
    gains, clusters = _difference(rows, condition, baseline), rows["cluster"].to_list()
    return paired_bootstrap(gains, clusters=clusters, **settings.bootstrap).as_metrics(name)


def _correct(rows: pl.DataFrame, condition: str) -> pl.Series:
    return rows[f"{condition}_chosen"].eq_missing(rows["truth"]).cast(pl.Int64)


def _difference(rows: pl.DataFrame, condition: str, baseline: str) -> list[float]:
    return [float(gain) for gain in _correct(rows, condition) - _correct(rows, baseline)]
