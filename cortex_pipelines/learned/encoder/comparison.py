"""Encoders compared on projects that they were not trained on, with the search by words alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.annotation.evaluation.agreement import LabelledUnit
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.learned.encoder.judging import (
    CATEGORY,
    CLONES,
    SEARCH,
    JudgedProject,
    categories_found,
    judged_project,
    reciprocal_ranks,
    similarities_by_vectors,
    similarities_by_words,
)
from cortex_pipelines.learned.encoder.pairs import ProjectFolders, project_pairs, without_duplicates
from cortex_pipelines.learned.settings import EncoderSettings
from cortex_pipelines.retrieval.vectors import Encode, Floats
from cortex_pipelines.schemas.learned import ENCODER_ITEMS
from cortex_pipelines.statistics.leaderboard import leaderboard_rows

ASSET, WORDS, FINE_TUNED = "code_encoder", "bm25f", "fine_tuned"
_METRICS = {SEARCH: "reciprocal rank", CLONES: "reciprocal rank", CATEGORY: "right category"}
Train = Callable[[pl.DataFrame], Encode | None]
"""Fine-tunes on ``PAIRS``; None if they are too few."""


class EncoderBenchmark:
    """Scores of each judged item by each candidate, and the seconds that ranking took by task and candidate.

    ``narrow``: reciprocal ranks of searches by the first numbers of the vectors alone, by candidate and width.
    """

    def __init__(self, pretrained: str, settings: EncoderSettings) -> None:
        self.pretrained = pretrained
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        self.narrow: dict[str, list[float]] = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def judge_projects(
        self, projects: Mapping[str, ProjectFolders], base: Encode, train: Train, datasets: DatasetSettings
    ) -> None:
        """Judge each project by what was trained on others; they are left out in at most ``settings.folds`` groups."""
        settings = self.settings
        candidates = [judged_project(name, projects[name], settings.judged) for name in sorted(projects)]
        test_projects = [each for each in candidates if each is not None]
        for fold in range(min(settings.folds, len(test_projects))):
            left_out = test_projects[fold :: settings.folds]
            names = {each.name for each in left_out}
            pairs = [project_pairs(folders, settings) for name, folders in projects.items() if name not in names]
            trained = None
            if pairs:
                functions = pl.concat(each.functions for each in left_out)
                trained = train(without_duplicates(pl.concat(pairs), functions, datasets))
            for each in left_out:
                self._judge(each, base, trained)

    def _judge(self, project: JudgedProject, base: Encode, trained: Encode | None) -> None:
        self._rank(project, WORDS, None, words=True)
        for name, encode in ((self.pretrained, base), (FINE_TUNED, trained)):
            if encode is None:
                continue
            vectors = encode(project.texts), encode([query.text for query in project.queries])
            self._rank(project, name, vectors, words=False)
            self._rank(project, f"{WORDS}_and_{name}", vectors, words=True)
            for width in self.settings.widths:
                if width < vectors[0].shape[1]:
                    ranks = reciprocal_ranks(project, (_cut(vectors[0], width), _cut(vectors[1], width)), words=False)
                    narrow = self.narrow.setdefault(f"{name}_{width}", [])
                    narrow += [rank for query, rank in zip(project.queries, ranks, strict=True) if query.task == SEARCH]

    def _rank(self, project: JudgedProject, name: str, vectors: tuple[Floats, Floats] | None, *, words: bool) -> None:
        began = monotonic()
        ranks = reciprocal_ranks(project, vectors, words=words)
        for query, rank in zip(project.queries, ranks, strict=True):
            self._add(query.task, name, project.name, query.path, query.item, rank)
        for task in (SEARCH, CLONES):
            self.seconds[task, name] = self.seconds.get((task, name), 0.0) + monotonic() - began

    def judge_categories(self, labelled: Sequence[LabelledUnit], base: Encode, trained: Encode | None) -> None:
        """Take the category of each hand-labelled unit from its nearest others."""
        for name, encode in ((WORDS, None), (self.pretrained, base), (FINE_TUNED, trained)):
            if name == FINE_TUNED and encode is None:
                continue
            began = monotonic()
            similarities = (
                similarities_by_words(labelled) if encode is None else similarities_by_vectors(labelled, encode)
            )
            right = categories_found(labelled, similarities, self.settings.neighbours)
            for number, (unit, score) in enumerate(zip(labelled, right, strict=True)):
                self._add(CATEGORY, name, unit.language, unit.path, f"{unit.name}:{number}", score)
            self.seconds[CATEGORY, name] = monotonic() - began

    def _add(self, task: str, candidate: str, project: str, path: str, item: str, score: float) -> None:
        names = {"task": task, "candidate": candidate, "project": project, "path": path, "item": item}
        self.rows.append(names | {"score": score})

    def items(self) -> pl.DataFrame:
        return ENCODER_ITEMS.frame(self.rows)


def model_name(source: ModelSource) -> str:
    """Name of a model without its place and version."""
    return Path(source.hub or source.directory or str(source.wheel).partition("==")[0]).name


def _cut(vectors: Floats, width: int) -> Floats:
    head = vectors[:, :width]
    return np.asarray(head / np.maximum(np.linalg.norm(head, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def encoder_rows(items: pl.DataFrame, settings: EvaluationSettings) -> list[dict[str, Any]]:
    """Rows of the leaderboard, with files as clusters; a candidate that some project lacks is left out."""
    rows = []
    for task, metric in _METRICS.items():
        of_task = items.filter(task=task).sort("project", "path", "item")
        candidates = {name: rows_of for (name,), rows_of in of_task.group_by("candidate", maintain_order=True)}
        if WORDS not in candidates:
            continue
        words = candidates.pop(WORDS)
        scores = {WORDS: words["score"].to_list()} | {
            name: each["score"].to_list() for name, each in candidates.items() if each.height == words.height
        }
        clusters = (words["project"] + "/" + words["path"]).to_list()
        rows += leaderboard_rows(
            ASSET, task, metric, scores, higher_is_better=True, clusters=clusters, **settings.bootstrap
        )
    return rows


def encoder_metrics(
    items: pl.DataFrame, pairs: pl.DataFrame, narrow: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Mean score of each task and candidate, recall among ten, pairs by kind, and searches by narrower vectors."""
    means = items.group_by("task", "candidate").agg(pl.col("score").mean()).sort("task", "candidate")
    searched = items.filter(pl.col("task") != CATEGORY)
    recall = searched.group_by("task", "candidate").agg((pl.col("score") >= 0.1).mean()).sort("task", "candidate")
    kinds = pairs.group_by("kind").len().sort("kind")
    return {
        **{f"{task}_{_word(candidate)}": score for task, candidate, score in means.iter_rows()},
        **{f"{task}_{_word(candidate)}_recall_at_10": share for task, candidate, share in recall.iter_rows()},
        **{f"pairs_{kind}": float(count) for kind, count in kinds.iter_rows()},
        **{f"{SEARCH}_{_word(name)}": float(np.mean(ranks)) for name, ranks in narrow.items() if ranks},
    }


def _word(candidate: str) -> str:
    return candidate.replace("-", "_")
