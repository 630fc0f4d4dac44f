"""Ways to find defects compared on functions of projects that none of them was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.learned.defects.likelihood import CodeModel, first_difference
from cortex_pipelines.learned.defects.network import DefectNetwork, TrainingRow, train_network
from cortex_pipelines.learned.defects.scores import (
    RANDOM,
    Scores,
    Stack,
    fit_stack,
    plain_scores,
    stacked,
    with_network,
)
from cortex_pipelines.learned.defects.statements import Region, unit_region
from cortex_pipelines.learned.settings import DefectSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.statistics.leaderboard import leaderboard_rows, rank_of

ASSET = "pattern_recogniser"
STATEMENT_TASK, FUNCTION_TASK = "defect_statement", "defect_function"
_FOLDS = 3
_TOP = 3
_MIN_PROJECTS = 5
"""With fewer, files are the clusters: as few projects say next to nothing."""


@dataclass(frozen=True)
class Item:
    """A function with a known defect, and the same without it; ``defects``: the statements that hold it."""

    item_id: str
    project: str
    path: str
    wrong: Region
    right: Region
    defects: tuple[int, ...]
    kind: str
    findings: frozenset[str]


def read_items(project: str, units: pl.DataFrame, mutants: pl.DataFrame, settings: DefectSettings) -> list[Item]:
    """Functions with an injected error, drawn by ``settings.seed``, one of each function.

    Operators drew the errors as often as fixes in real histories undo them (``Operator.weight``).
    """
    rows = mutants.join(units, on="unit_id", how="inner").rows(named=True)
    items: dict[str, Item] = {}
    for row in sorted(rows, key=lambda row: draw(settings.seed, row["mutant_id"])):
        if len(items) >= settings.functions:
            break
        wrong, right = (
            unit_region(row[column], row["language"], row["kind"], row["path"])
            for column in ("buggy_code", "fixed_code")
        )
        if wrong is None or right is None or row["unit_id"] in items:
            continue
        defect = wrong.statement_at(first_difference(right.code, wrong.code))
        if defect is not None:
            origin = row["mutant_id"], project, row["path"]
            items[row["unit_id"]] = Item(*origin, wrong, right, (defect,), row["error_type"], frozenset(row["labels"]))
    return list(items.values())


def training_rows(items: Sequence[Item]) -> list[TrainingRow]:
    return [
        row
        for item in items
        for row in (
            TrainingRow(item.wrong, item.defects[0], item.kind, item.findings),
            TrainingRow(item.right, None, None, item.findings),
        )
    ]


def folds(items: Sequence[Item]) -> list[str]:
    """The group of each item, which is judged by what was trained on the others: its project, or its file in one."""
    by_file = len({item.project for item in items}) < 2
    names = [item.path if by_file else item.project for item in items]
    numbers = {name: number % _FOLDS for number, name in enumerate(sorted(set(names)))}
    return [str(numbers[name]) for name in names]


@dataclass(frozen=True)
class ScoredItem:
    item: Item
    fold: str
    wrong: Scores
    right: Scores


class DefectBenchmark:
    """Functions, each judged by what was trained without its fold."""

    def __init__(self, items: Sequence[Item], model: CodeModel, settings: DefectSettings, cache: RowCache) -> None:
        self.items, self.folds, self.settings = items, folds(items), settings
        self._model, self._cache = model, cache

    def items_to_score(self) -> list[tuple[Item, str]]:
        """Functions to judge, as many of each project, of a size that a person might look through."""
        limits = self.settings.min_statements, self.settings.max_statements
        projects = sorted({item.project for item in self.items})
        selection: list[tuple[Item, str]] = []
        for project in projects:
            fitting = [
                (item, fold)
                for item, fold in zip(self.items, self.folds, strict=True)
                if item.project == project and limits[0] <= len(item.wrong.statements) <= limits[1]
            ]
            selection += fitting[: -(-self.settings.judged // len(projects))]
        return selection

    def plain(self) -> list[ScoredItem]:
        def read(region: Region) -> Scores:
            return plain_scores(region, self._model, self.settings.edits, self.settings.seed, self._cache)

        return [ScoredItem(item, fold, read(item.wrong), read(item.right)) for item, fold in self.items_to_score()]

    def with_networks(self, scored_items: Sequence[ScoredItem]) -> list[ScoredItem]:
        """Each function as the network sees it that was trained without its fold."""
        networks: dict[str, DefectNetwork | None] = {}
        for fold in sorted({each.fold for each in scored_items}):
            training_items = [item for item, group in zip(self.items, self.folds, strict=True) if group != fold]
            networks[fold] = train_network(training_rows(training_items), self.settings)
        if any(network is None for network in networks.values()):
            return list(scored_items)
        return [
            replace(
                each,
                wrong=with_network(each.wrong, each.item.wrong, networks[each.fold]),
                right=with_network(each.right, each.item.right, networks[each.fold]),
            )
            for each in scored_items
        ]

    def train(self) -> DefectNetwork | None:
        return train_network(training_rows(self.items), self.settings)


def stack_of(scored_items: Sequence[ScoredItem]) -> Stack:
    wrong = [(each.wrong, each.item.defects[0]) for each in scored_items]
    return fit_stack(wrong, [each.right for each in scored_items])


def with_stacks(scored_items: Sequence[ScoredItem]) -> list[ScoredItem]:
    """Each function as the combination sees it that was fitted without its fold; as it is, where there is one fold."""
    with_stack: list[ScoredItem] = []
    for fold in sorted({each.fold for each in scored_items}):
        training_items = [each for each in scored_items if each.fold != fold]
        if not training_items:
            return list(scored_items)
        stack = stack_of(training_items)
        with_stack += [
            replace(each, wrong=stacked(each.wrong, stack), right=stacked(each.right, stack))
            for each in scored_items
            if each.fold == fold
        ]
    return with_stack


def score_rows(scored_items: Sequence[ScoredItem]) -> list[dict[str, Any]]:
    """``DEFECT_SCORES``: the rank of the defect (of several statements, the best), and the share of right functions
    that are less suspect."""
    rows = []
    for candidate in scored_items[0].wrong.statements if scored_items else ():
        clean = np.array([each.right.region[candidate] for each in scored_items])
        for each in scored_items:
            suspicion = each.wrong.region[candidate]
            rows.append(
                {
                    "item_id": each.item.item_id,
                    "project": each.item.project,
                    "path": each.item.path,
                    "language": each.item.wrong.language,
                    "candidate": candidate,
                    "statements": len(each.item.wrong.statements),
                    "rank": min(rank_of(each.wrong.statements[candidate], defect) for defect in each.item.defects),
                    "above": float(np.mean(suspicion > clean) + np.mean(suspicion == clean) / 2),
                }
            )
    return rows


def defect_rows(
    scores: pl.DataFrame, settings: EvaluationSettings, origin: str = "injected errors", baseline: str = RANDOM
) -> list[dict[str, Any]]:
    """Rows of the leaderboard, with projects as clusters where there are five, else files."""
    if scores.is_empty():
        return []
    scores = scores.sort("project", "item_id")
    names = [baseline, *(name for name in scores["candidate"].unique().sort() if name != baseline)]
    frames = {name: scores.filter(pl.col("candidate") == name) for name in names}
    projects, paths = frames[baseline]["project"], frames[baseline]["path"]
    clusters = (projects if projects.n_unique() >= _MIN_PROJECTS else projects + "/" + paths).to_list()
    rows = []
    for task, metric, column in (
        (STATEMENT_TASK, f"defect in the first {_TOP} statements ({origin})", pl.col("rank") <= _TOP),
        (FUNCTION_TASK, f"AUROC ({origin})", pl.col("above")),
    ):
        values = {name: frame.select(column.cast(pl.Float64)).to_series().to_list() for name, frame in frames.items()}
        rows += leaderboard_rows(
            ASSET, task, metric, values, higher_is_better=True, clusters=clusters, **settings.bootstrap
        )
    return rows


def defect_metrics(scores: pl.DataFrame) -> dict[str, float]:
    """Top-1, top-3 and top-5 of each candidate, and its AUROC."""
    metrics: dict[str, float] = {"judged": float(scores.select("project", "item_id").n_unique())}
    for (candidate,), frame in sorted(scores.group_by("candidate"), key=lambda pair: str(pair[0])):
        metrics |= {f"{candidate}_top_{top}": float((frame["rank"] <= top).mean()) for top in (1, 3, 5)}  # type: ignore[arg-type]
        metrics[f"{candidate}_auroc"] = float(frame["above"].mean())  # type: ignore[arg-type]
    return metrics


def adopted_way(rows: Sequence[Mapping[str, Any]], task: str) -> str | None:
    return next((row["candidate"] for row in rows if row["task"] == task and row["adopted"]), None)
