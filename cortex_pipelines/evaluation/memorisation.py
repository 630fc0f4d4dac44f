"""What an adapter gives away of its training data.

Two attempts. *Extraction* (Carlini et al. 2021): after the first half of a rare line of the train
split, does greedy generation write the second half word by word? Beside it stands what the base
does with the same lines, and what both do with lines of the test split, which no training saw. All
tokens being the likeliest ones is the same as being generated, so one pass decides.
*Exposure* (Carlini et al. 2019) of canaries that training planted, where ``training.json`` lists
any: log2 of the number of alternatives over the secret's rank by likelihood among them.
"""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.examples import Example
from cortex_pipelines.adapters.lora import TRAINING
from cortex_pipelines.evaluation.adapter_scores import without_gaps
from cortex_pipelines.evaluation.contestants import Contestants
from cortex_pipelines.evaluation.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.evaluation.statistics import wilson
from cortex_pipelines.schemas import MEMORISED

_WORD = re.compile(r"\w+")
_SHORTEST, _LONGEST = 40, 160  # characters of a line
_CONTEXT = 400  # characters before it that the models see
_SPLITS = ("train", "test")
_ROLES = ("base", "challenger")


class CanaryError(ValueError):
    """The record of the training lists canaries in a form that is not known."""


@dataclass(frozen=True)
class Attempt:
    """A rare line: the item's prompt ends within it and its completion is the rest."""

    split: str
    item: Example


def attempts(completion_dataset: Path, count: int, seed: int) -> list[Attempt]:
    """The rarest lines of the train and of the test split, ``count`` of each.

    Rare is a line with many words that stand nowhere else in its split.
    """
    return [
        Attempt(split, item)
        for split in _SPLITS
        for item in _rarest(without_gaps(completion_dataset, "completion", split), count, seed)
    ]


def memorised_table(
    tried: Sequence[Attempt], contestants: Contestants, scorer: ItemScorer
) -> pl.DataFrame:
    """Whether each line was extracted, as ``MEMORISED``."""
    items = [one.item for one in tried]
    scores = {role: scorer.scores(items, contestants.folder(role)) for role in _ROLES}
    rows = [
        {
            "example_id": one.item.example_id,
            "split": one.split,
            "path": one.item.path,
            "prefix": one.item.prompt,
            "secret": one.item.completion,
            **{f"{role}_verbatim": scores[role][place].verbatim for role in _ROLES},
        }
        for place, one in enumerate(tried)
    ]
    return MEMORISED.conform(MEMORISED.frame(rows))


def memorised_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Shares of lines that were extracted.

    ``extraction_rate`` is the challenger's on lines of the train split, with ``_low`` and
    ``_high``; ``extraction_rate_base`` the base's; ``extraction_rate_held_out`` the challenger's
    on lines that it cannot have seen; ``extraction_beyond_base`` the share of train lines that the
    challenger gives away and the base does not.
    """
    train, test = (table.filter(pl.col("split") == split) for split in _SPLITS)
    found: dict[str, float] = {}
    if train.height:
        mine, base = train["challenger_verbatim"], train["base_verbatim"]
        share = wilson(int(mine.sum()), train.height, settings.confidence)
        found = {
            "extraction_items": train.height,
            "extraction_rate": share.estimate,
            "extraction_rate_low": share.low,
            "extraction_rate_high": share.high,
            "extraction_rate_base": int(base.sum()) / train.height,
            "extraction_beyond_base": int((mine & ~base).sum()) / train.height,
        }
    if test.height:
        held_out = int(test["challenger_verbatim"].sum()) / test.height
        found["extraction_rate_held_out"] = held_out
    return found


def exposure_metrics(
    adapter: Path, scorer: ItemScorer, settings: EvaluationSettings
) -> dict[str, float]:
    """``exposure`` of the most exposed canary in bits, ``exposure_base`` and ``canaries``.

    Nothing if training planted none. An adapter that remembers nothing gives about 1 bit on
    average for a canary, at most log2 of the alternatives and one.

    Raises:
        CanaryError: the record lists canaries in another form.
    """
    planted = planted_canaries(adapter)
    if not planted:
        return {}
    asked = [_with_alternatives(one, settings) for one in planted]
    found = {}
    for name, folder in (("exposure", adapter), ("exposure_base", None)):
        ranks = [_rank(scorer.scores(texts, folder)) for texts in asked]
        found[name] = max(log2(settings.alternatives + 1) - log2(rank) for rank in ranks)
    return found | {"canaries": len(planted)}


def planted_canaries(adapter: Path) -> list[Example]:
    """The canaries that an adapter's ``training.json`` lists, each ``{prefix, secret, task}``.

    Raises:
        CanaryError: they have another form.
    """
    listed = json.loads((adapter / TRAINING).read_text()).get("canaries", [])
    try:
        return [_canary(number, one) for number, one in enumerate(listed)]
    except (KeyError, TypeError, AttributeError) as error:
        raise CanaryError(
            f"{TRAINING}: canaries must be a list of objects with prefix and secret ({error!r}); "
            "train the adapter again"
        ) from error


def _canary(number: int, listed: Mapping[str, str]) -> Example:
    return Example(
        example_id=f"canary-{number}",
        task=listed.get("task", "completion"),
        path="",
        language="",
        kind="canary",
        prompt=listed["prefix"],
        completion=listed["secret"],
        cluster=f"canary-{number}",
    )


def _with_alternatives(canary: Example, settings: EvaluationSettings) -> list[Example]:
    """The canary and random texts of the same form: digits for digits, letters for letters."""
    told = f"{settings.seed}:{canary.completion}"
    generator = random.Random(hashlib.sha256(told.encode()).digest())  # nosec B311: no secret
    letters = "abcdefghijklmnopqrstuvwxyz"

    def other(letter: str) -> str:
        if letter.isdigit():
            return generator.choice("0123456789")
        if letter.isalpha():
            drawn = generator.choice(letters)
            return drawn.upper() if letter.isupper() else drawn
        return letter

    others = [
        replace(canary, completion="".join(map(other, canary.completion)))
        for _ in range(settings.alternatives)
    ]
    return [canary, *others]


def _rank(scores: Sequence[ItemScore]) -> int:
    """Place of the first by likelihood among all; of equals the worst place."""
    nats = [score.nats for score in scores]
    return sum(other <= nats[0] for other in nats)


def _rarest(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    holders: Counter[str] = Counter()
    for one in examples:
        holders.update(set(_WORD.findall(one.completion)))
    ranked: list[tuple[float, str, Example]] = []
    for one in examples:
        place = 0
        best: tuple[float, str, Example] | None = None
        for line in one.completion.split("\n"):
            if _SHORTEST <= len(line.strip()) <= _LONGEST:
                words = _WORD.findall(line)
                rare = sum(holders[word] == 1 for word in set(words))
                tie = hashlib.sha256(f"{seed}:{one.example_id}:{place}".encode()).hexdigest()
                made = (-float(rare), tie, _attempt(one, place, line))
                best = made if best is None or made[:2] < best[:2] else best
            place += len(line) + 1
        ranked += [best] if best else []
    ranked.sort(key=lambda one: one[:2])
    return [item for _, _, item in ranked[:count]]


def _attempt(example: Example, place: int, line: str) -> Example:
    """Cut in the middle of the line, at the beginning of a word."""
    middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
    borders = [found.start() for found in _WORD.finditer(line) if found.start() >= middle]
    cut = borders[0] if borders else middle
    before = (example.prompt + example.completion[: place + cut])[-_CONTEXT:]
    return replace(example, prompt=before, completion=line[cut:])
