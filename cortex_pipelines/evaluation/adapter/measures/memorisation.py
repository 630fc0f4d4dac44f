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
from cortex_pipelines.schemas.adapter_scores import MEMORISED
from cortex_pipelines.statistics.intervals import wilson

_WORD = re.compile(r"\w+")
_SHORTEST, _LONGEST = 40, 160  # characters of a line
_CONTEXT = 400  # characters before it that the models see
_SPLITS = ("train", "test")
_ROLES = ("base", "challenger")


@dataclass(frozen=True)
class Attempt:
    """A rare line, split into the end of a prompt and a completion."""

    split: str
    item: Example


def attempts(adapter: Path, completion_dataset: Path, count: int, seed: int) -> list[Attempt]:
    """The rarest lines of an adapter's training data and of the test split, ``count`` of each.

    A line is rare if many of its words occur nowhere else in its split.

    Args:
        adapter: Folder of the adapter.
        completion_dataset: Folder of its completion data set.
        count: Most lines of each.
        seed: Decides between lines that are equally rare.
    """
    trained = _seen(adapter)
    tries = []
    for split in _SPLITS:
        items = _rarest(without_gaps(completion_dataset, "completion", split), seed)
        tried = [example for example in items if split == "test" or example.example_id in trained]
        tries += [Attempt(split, item) for item in tried[:count]]
    return tries


def _seen(adapter: Path) -> set[str]:
    """Completion examples in an adapter's training, which a token budget may limit."""
    own = adapter_for(adapter, "completion")
    return set(json.loads((own / SEEN).read_text()).get("completion", [])) if own else set()


def memorised_table(
    tried: Sequence[Attempt], compared: ComparedModels, scorer: ItemScorer
) -> pl.DataFrame:
    """Whether each line was extracted, as ``MEMORISED``."""
    items = [attempt.item for attempt in tried]
    scores = {role: scorer.scores(items, compared.folder(role)) for role in _ROLES}
    rows = [
        {
            "example_id": attempt.item.example_id,
            "split": attempt.split,
            "path": attempt.item.path,
            "prefix": attempt.item.prompt,
            "secret": attempt.item.completion,
            **{f"{role}_verbatim": scores[role][place].verbatim for role in _ROLES},
        }
        for place, attempt in enumerate(tried)
    ]
    return MEMORISED.conform(MEMORISED.frame(rows))


def memorised_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Extraction rates.

    ``extraction_rate`` is the challenger's on lines of the train split, with ``_low`` and
    ``_high``; ``extraction_rate_base`` the base's; ``extraction_rate_held_out`` the challenger's
    on lines that it cannot have seen; ``extraction_beyond_base`` the share of train lines that the
    challenger gives away and the base does not.
    """
    train, test = (table.filter(pl.col("split") == split) for split in _SPLITS)
    metrics: dict[str, float] = {}
    if train.height:
        mine, base = train["challenger_verbatim"], train["base_verbatim"]
        share = wilson(int(mine.sum()), train.height, settings.confidence)
        metrics = {
            "extraction_items": train.height,
            **share.figures("extraction_rate"),
            "extraction_rate_base": int(base.sum()) / train.height,
            "extraction_beyond_base": int((mine & ~base).sum()) / train.height,
        }
    if test.height:
        held_out = int(test["challenger_verbatim"].sum()) / test.height
        metrics["extraction_rate_held_out"] = held_out
    return metrics


def _rarest(examples: Sequence[Example], seed: int) -> list[Example]:
    """Rarest line of each example, rarest first."""
    holders: Counter[str] = Counter()
    for candidate in examples:
        holders.update(set(_WORD.findall(candidate.completion)))
    ranked: list[tuple[float, str, Example]] = []
    for candidate in examples:
        place = 0
        best: tuple[float, str, Example] | None = None
        for line in candidate.completion.split("\n"):
            if _SHORTEST <= len(line.strip()) <= _LONGEST:
                words = _WORD.findall(line)
                rare = sum(holders[word] == 1 for word in set(words))
                tie = hashlib.sha256(f"{seed}:{candidate.example_id}:{place}".encode()).hexdigest()
                made = (-float(rare), tie, _attempt(candidate, place, line))
                best = made if best is None or made[:2] < best[:2] else best
            place += len(line) + 1
        ranked += [best] if best else []
    ranked.sort(key=lambda candidate: candidate[:2])
    return [item for _, _, item in ranked]


def _attempt(example: Example, place: int, line: str) -> Example:
    """Split the line at a word start near its middle."""
    middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
    borders = [match.start() for match in _WORD.finditer(line) if match.start() >= middle]
    cut = borders[0] if borders else middle
    before = (example.prompt + example.completion[: place + cut])[-_CONTEXT:]
    return replace(example, prompt=before, completion=line[cut:])
