"""Verbatim extraction of training data (Carlini et al. 2021).

Given the first half of a rare line of the train split, does greedy decoding produce the second
half? For comparison, the base gets the same lines, and both get lines of the test split, which no
training used. All tokens being the most likely ones is equivalent to being generated, so one
forward pass decides.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.model.lora import SEEN, adapter_for
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.adapter.measures.models import ComparedModels
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, without_gaps
from cortex_pipelines.schemas.evaluation import MEMORISED
from cortex_pipelines.statistics.intervals import wilson

_WORD = re.compile(r"\w+")
_SHORTEST, _LONGEST = 40, 160  # characters of a line
_CONTEXT = 400  # characters before it that the models see
_SPLITS = ("train", "test")
_ROLES = ("base", "challenger")


@dataclass(frozen=True)
class ExtractionAttempt:
    split: str
    item: Example


def build_attempts(adapter: Path, completion_dataset: Path, count: int, seed: int) -> list[ExtractionAttempt]:
    """The rarest lines of an adapter's training data and of the test split, ``count`` of each.

    A line is rare if many of its words occur nowhere else in its split.
    """
    trained = _trained_ids(adapter)
    attempts = []
    for split in _SPLITS:
        items = _rarest(without_gaps(completion_dataset, "completion", split), seed)
        eligible = [example for example in items if split == "test" or example.example_id in trained]
        attempts += [ExtractionAttempt(split, item) for item in eligible[:count]]
    return attempts


def _trained_ids(adapter: Path) -> set[str]:
    task_adapter = adapter_for(adapter, "completion")
    return set(json.loads((task_adapter / SEEN).read_text()).get("completion", [])) if task_adapter else set()


def memorised_table(attempts: Sequence[ExtractionAttempt], models: ComparedModels, scorer: ItemScorer) -> pl.DataFrame:
    items = [attempt.item for attempt in attempts]
    scores = {role: scorer.scores(items, models.folder(role)) for role in _ROLES}
    rows = [
        {
            "example_id": attempt.item.example_id,
            "split": attempt.split,
            "path": attempt.item.path,
            "prefix": attempt.item.prompt,
            "secret": attempt.item.completion,
            **{f"{role}_verbatim": scores[role][index].verbatim for role in _ROLES},
        }
        for index, attempt in enumerate(attempts)
    ]
    return MEMORISED.conform(MEMORISED.frame(rows))


def memorised_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Extraction rates of train lines by the challenger, by the base and beyond the base, and of unseen lines."""
    train, test = (table.filter(pl.col("split") == split) for split in _SPLITS)
    metrics: dict[str, float] = {}
    if train.height:
        challenger, base = train["challenger_verbatim"], train["base_verbatim"]
        share = wilson(int(challenger.sum()), train.height, settings.confidence)
        metrics = {
            "extraction_items": train.height,
            **share.as_metrics("extraction_rate"),
            "extraction_rate_base": int(base.sum()) / train.height,
            "extraction_beyond_base": int((challenger & ~base).sum()) / train.height,
        }
    if test.height:
        held_out = int(test["challenger_verbatim"].sum()) / test.height
        metrics["extraction_rate_held_out"] = held_out
    return metrics


def _rarest(examples: Sequence[Example], seed: int) -> list[Example]:
    document_frequency: Counter[str] = Counter()
    for candidate in examples:
        document_frequency.update(set(_WORD.findall(candidate.completion)))
    ranked: list[tuple[float, str, Example]] = []
    for candidate in examples:
        offset = 0
        best: tuple[float, str, Example] | None = None
        for line in candidate.completion.split("\n"):
            if _SHORTEST <= len(line.strip()) <= _LONGEST:
                words = _WORD.findall(line)
                rare = sum(document_frequency[word] == 1 for word in set(words))
                tie = hashlib.sha256(f"{seed}:{candidate.example_id}:{offset}".encode()).hexdigest()
                ranked_line = (-float(rare), tie, _attempt(candidate, offset, line))
                best = ranked_line if best is None or ranked_line[:2] < best[:2] else best
            offset += len(line) + 1
        ranked += [best] if best else []
    ranked.sort(key=lambda candidate: candidate[:2])
    return [item for _, _, item in ranked]


def _attempt(example: Example, offset: int, line: str) -> Example:
    middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
    borders = [match.start() for match in _WORD.finditer(line) if match.start() >= middle]
    split_at = borders[0] if borders else middle
    before = (example.prompt + example.completion[: offset + split_at])[-_CONTEXT:]
    return replace(example, prompt=before, completion=line[split_at:])
