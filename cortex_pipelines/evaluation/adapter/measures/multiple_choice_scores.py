"""Choices and accuracy of the models on multiple-choice questions."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.models import ROLES, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS, Question
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.schemas.adapter_scores import MULTIPLE_CHOICE
from cortex_pipelines.statistics.intervals import paired_bootstrap, wilson
from cortex_pipelines.statistics.multiple_comparisons import Paired

_SHOWN = {"context": "base", "both": "challenger"}
"""Way with similar examples before the question, and the role that answers so."""

_CONTROL = "other_adapter"


def choice_table(
    asked: Sequence[Question],
    shown: Sequence[Question | None],
    compared: ComparedModels,
    other: Path | None,
    scorer: ItemScorer,
    window: int,
) -> pl.DataFrame:
    """Choice of each model, as ``MULTIPLE_CHOICE``.

    Args:
        asked: The questions.
        shown: Each with similar examples before it; None where it is not asked so.
        compared: Models that are compared.
        other: Folder of another project's adapter, as a control; None for none.
        scorer: Scores the answers.
        window: Most tokens of a question with examples and its answer.
    """
    chosen: dict[str, list[int | None]] = {}
    priors: dict[str, list[list[ItemScore]]] = {}
    folders = {role: compared.folder(role) for role in ROLES}
    folders |= {_CONTROL: other} if other else {}
    for role, folder in folders.items():
        priors[role] = _by_question([one.alone for one in asked], folder, scorer, None)
        chosen[role] = _choices(asked, priors[role], folder, scorer, None)
    chosen.setdefault(_CONTROL, [None] * len(asked))
    for way, role in _SHOWN.items():
        chosen[way] = _choices(shown, priors[role], compared.folder(role), scorer, window)
    rows = [
        {
            **{
                name: getattr(question.answers[0], name)
                for name in ("example_id", "path", "language", "cluster", "prompt")
            },
            "kind": question.kind,
            "candidates": [answer.completion for answer in question.answers],
            "truth": question.truth,
            "chance": question.chance,
            "shown": shown[place] is not None,
            **{f"{way}_chosen": answers[place] for way, answers in chosen.items()},
        }
        for place, question in enumerate(asked)
    ]
    return MULTIPLE_CHOICE.conform(MULTIPLE_CHOICE.frame(rows))


def _choices(
    questions: Sequence[Question | None],
    priors: Sequence[Sequence[ItemScore]],
    adapter: Path | None,
    scorer: ItemScorer,
    window: int | None,
) -> list[int | None]:
    """The answer that one model chooses; None where there is no question."""
    answers = [question.answers if question else () for question in questions]
    scores = _by_question(answers, adapter, scorer, window)
    return [
        _chosen(mine, alone) if mine else None for mine, alone in zip(scores, priors, strict=True)
    ]


def _by_question(
    texts: Sequence[Sequence[Example]], adapter: Path | None, scorer: ItemScorer, window: int | None
) -> list[list[ItemScore]]:
    """Scores of each question's texts."""
    # all at once, as an adapter is loaded anew for each call
    scores = iter(scorer.scores([text for some in texts for text in some], adapter, window))
    return [[next(scores) for _ in some] for some in texts]


def choice_metrics(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Accuracy with Wilson intervals, and differences between ways to answer.

    Under ``team_`` for all questions and ``choice_<kind>_`` for each kind: ``items``, ``chance``,
    ``<role>_accuracy`` and ``difference`` (challenger minus reference), each of the last two with
    ``_low`` and ``_high``. Where another project's adapter was asked too, ``other_adapter`` is a
    role, and ``own_difference`` is what the challenger answers more than that: what it learnt of
    the form of the questions, the other one knows as well. Under ``shown_``, of the questions that
    were also asked with similar examples before them: ``items``, ``<way>_accuracy`` and, over the
    base, ``<way>_difference``. Nothing for a kind that was not asked.
    """
    parts = {"team_": choices} | {
        f"choice_{kind}_": choices.filter(pl.col("kind") == kind) for kind in KINDS
    }
    return {
        f"{prefix}{name}": value
        for prefix, part in parts.items()
        if part.height
        for name, value in _figures(part, settings).items()
    } | _shown_figures(choices.filter("shown"), settings)


def choice_differences(choices: pl.DataFrame, settings: EvaluationSettings) -> dict[str, Paired]:
    """Challenger minus reference correctness by kind: 1, 0 or -1 per question."""
    parts = {f"choice_{kind}": choices.filter(pl.col("kind") == kind) for kind in KINDS}
    return {
        name: Paired(
            _difference(part, "challenger", "reference"),
            part["cluster"].to_list(),
            None,
            settings.smallest_accuracy,
        )
        for name, part in parts.items()
    }


def _figures(part: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    mean = float(part["chance"].to_numpy().mean())
    figures: dict[str, float] = {"items": part.height, "chance": mean}
    roles: tuple[str, ...] = ROLES
    if settings.other_adapter:
        roles = (*ROLES, _CONTROL)
        figures |= _gain(part, "challenger", _CONTROL, "own_difference", settings)
    for role in roles:
        share = wilson(int(_right(part, role).sum()), part.height, settings.confidence)
        figures |= share.figures(f"{role}_accuracy")
    return figures | _gain(part, "challenger", "reference", "difference", settings)


def _shown_figures(part: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    if not part.height:
        return {}
    figures: dict[str, float] = {"shown_items": part.height}
    for way in ("base", "challenger", *_SHOWN):
        figures[f"shown_{way}_accuracy"] = float(_right(part, way).to_numpy().mean())
        if way != "base":
            figures |= _gain(part, way, "base", f"shown_{way}_difference", settings)
    return figures


def _gain(
    part: pl.DataFrame, way: str, over: str, name: str, settings: EvaluationSettings
) -> dict[str, float]:
    difference = paired_bootstrap(
        _difference(part, way, over),
        clusters=part["cluster"].to_list(),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    return difference.figures(name)


def _right(part: pl.DataFrame, way: str) -> pl.Series:
    """Correctness per question, 1 or 0; a tie is wrong."""
    return part[f"{way}_chosen"].eq_missing(part["truth"]).cast(pl.Int64)


def _difference(part: pl.DataFrame, way: str, over: str) -> list[float]:
    return [float(gain) for gain in _right(part, way) - _right(part, over)]


def _chosen(scores: Sequence[ItemScore], alone: Sequence[ItemScore]) -> int | None:
    """The answer that the prompt makes likelier most, or the likeliest a byte; None on a tie.

    Args:
        scores: Of the answers after the prompt.
        alone: Of the answers without it; empty where the likeliest a byte is wanted.
    """
    costs = (
        [
            score.total_nats - prior.total_nats if score.bytes else inf
            for score, prior in zip(scores, alone, strict=True)
        ]
        if alone
        else [score.nats_per_byte for score in scores]
    )
    best = min(costs)
    return costs.index(best) if costs.count(best) == 1 else None
