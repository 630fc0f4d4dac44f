"""Verbatim extraction of training data (Carlini et al. 2021).

Given the first half of a rare line of the train split, does greedy decoding produce the second half? For comparison,
the base gets the same lines, and both get lines of the test split, which no training used. All tokens being the most
likely ones is equivalent to being generated, so one forward pass decides.
"""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import fsum, log2
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np
import polars as pl

from cortex_pipelines.adapters.model.lora import SEEN, TRAINING, adapter_for
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import WRITERS, ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, without_gaps
from cortex_pipelines.schemas.evaluation import CANARIES, MEMORISED
from cortex_pipelines.statistics.intervals import paired_bootstrap, wilson

_WORD = re.compile(r"\w+")
_SHORTEST, _LONGEST = 40, 160  # characters of a line
_CONTEXT = 400  # characters before it that the models see
_SPLITS = ("train", "test")


def build_attempts(adapter: Path, completion_dataset: Path, count: int, seed: int) -> list[tuple[str, Example]]:
    """Split and item of the rarest lines of an adapter's training data and of the test split, ``count`` of each.

    A line is rare if many of its words occur nowhere else in its split.
    """
    task_adapter = adapter_for(adapter, "completion")
    trained = set(json.loads((task_adapter / SEEN).read_text()).get("completion", []) if task_adapter else ())
    attempts = []
    for split in _SPLITS:
        items = _rarest(without_gaps(completion_dataset, "completion", split), seed)
        eligible = [example for example in items if split == "test" or example.example_id in trained]
        attempts += [(split, item) for item in eligible[:count]]
    return attempts


def memorised_table(
    attempts: Sequence[tuple[str, Example]], models: ComparedModels, scorer: ItemScorer
) -> pl.DataFrame:
    items = [item for _, item in attempts]
    scores = {role: scorer.scores(items, models.folder(role)) for role in WRITERS}
    rows = [
        {
            **{"example_id": item.example_id, "split": split, "path": item.path},
            **{"prefix": item.prompt, "secret": item.completion},
            **{f"{role}_verbatim": scores[role][index].verbatim for role in WRITERS},
        }
        for index, (split, item) in enumerate(attempts)
    ]
    return MEMORISED.frame(rows)


def memorised_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Extraction rates of train lines by the challenger, by the base and beyond the base, and of unseen lines."""
    train, test = (table.filter(pl.col("split") == split) for split in _SPLITS)
    metrics: dict[str, float] = {}
    if train.height:
        challenger, base = train["challenger_verbatim"], train["base_verbatim"]
        metrics = wilson(int(challenger.sum()), train.height, settings.confidence).as_metrics("extraction_rate")
        metrics["extraction_items"] = train.height
        metrics["extraction_rate_base"] = int(base.sum()) / train.height
        metrics["extraction_beyond_base"] = int((challenger & ~base).sum()) / train.height
    if test.height:
        metrics["extraction_rate_held_out"] = int(test["challenger_verbatim"].sum()) / test.height
    return metrics


def _rarest(examples: Sequence[Example], seed: int) -> list[Example]:
    document_frequency: Counter[str] = Counter()
    for candidate in examples:
        document_frequency.update(set(_WORD.findall(candidate.completion)))
    ranked: list[tuple[int, str, Example]] = []
    for candidate in examples:
        lines, offset = list[tuple[int, str, Example]](), 0
        for line in candidate.completion.split("\n"):
            if _SHORTEST <= len(line.strip()) <= _LONGEST:
                rare = sum(document_frequency[word] == 1 for word in set(_WORD.findall(line)))
                tie = hashlib.sha256(f"{seed}:{candidate.example_id}:{offset}".encode()).hexdigest()
                lines.append((-rare, tie, _attempt(candidate, offset, line)))
            offset += len(line) + 1
        ranked += sorted(lines, key=lambda line: line[:2])[:1]
    return [item for _, _, item in sorted(ranked, key=lambda line: line[:2])]


def _attempt(example: Example, offset: int, line: str) -> Example:
    middle = len(line) - len(line.lstrip()) + len(line.strip()) // 2
    borders = [match.start() for match in _WORD.finditer(line) if match.start() >= middle]
    split_at = borders[0] if borders else middle
    before = (example.prompt + example.completion[: offset + split_at])[-_CONTEXT:]
    return replace(example, prompt=before, completion=line[split_at:])


class CanaryError(ValueError):
    """The training record lists canaries in an unknown format."""


def planted_canaries(adapter: Path) -> list[Example]:
    """Canaries in an adapter's ``training.json``; of an adapter per task, each is scored by the task's own.

    Raises ``CanaryError`` for another format.
    """
    tasks = json.loads((adapter / TRAINING).read_text(encoding="utf-8")).get("tasks")
    canaries = []
    for task, folder in [("completion", adapter)] if tasks is None else [(task, adapter / task) for task in tasks]:
        records = json.loads((folder / TRAINING).read_text(encoding="utf-8")).get("canaries", [])
        try:
            for number, record in enumerate(records):
                texts, name = (record["prefix"], record["secret"]), f"canary-{number}"
                canaries.append(Example(name, task, "", "", "canary", *texts, name))
        except (KeyError, TypeError, AttributeError) as error:
            expected = "canaries must be a list of objects with prefix and secret"
            raise CanaryError(f"{TRAINING}: {expected} ({error!r}); train the adapter again") from error
    return canaries


def canary_table(models: ComparedModels, scorer: ItemScorer, settings: EvaluationSettings) -> pl.DataFrame:
    """Exposure of each canary (Carlini et al. 2019), as ``CANARIES``; may be empty.

    Exposure is log2 of the number of compared texts over the secret's rank among them: the bits of guessing that the
    model saves. By likelihood alone the rank mixes the effect of training with the base's preference for certain
    digits, which varies more than a privacy guard can tolerate. So texts are ranked by how much training raised their
    likelihood over the base. An unmemorised secret has a mean of 1.4 bits, whatever base and digits are, and a
    memorised one log2 of all texts compared.
    """
    canaries = planted_canaries(models.challenger)
    texts = [text for canary in canaries for text in _with_alternatives(canary, settings)]
    base, challenger = (scorer.scores(texts, models.folder(role)) for role in WRITERS)
    gains = [new.nats - old.nats for old, new in zip(base, challenger, strict=True)]
    rows = [
        {
            "canary": canary.example_id,
            "task": canary.task,
            "prefix": canary.prompt,
            "secret": canary.completion,
            # ties get the worst rank
            "exposure": log2(len(canary_gains)) - log2(int((canary_gains <= canary_gains[0]).sum())),
        }
        for canary, canary_gains in zip(canaries, np.reshape(gains, (-1, settings.alternatives + 1)), strict=True)
    ]
    return CANARIES.frame(rows)


def exposure_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Mean exposure in bits, the largest, that of texts that were not memorised, and the maximum."""
    if not table.height:
        return {}
    candidates = settings.alternatives + 1
    secrets = table["secret"].to_list()  # the adapters of several tasks share them
    mean = paired_bootstrap(table["exposure"].to_list(), clusters=secrets, **settings.bootstrap)
    return {
        "canaries": table.height,
        **mean.as_metrics("exposure_by_gain"),
        "exposure_by_gain_largest": float(table["exposure"].to_numpy().max()),
        "exposure_by_gain_unlearnt": unlearnt_exposure(candidates),
        "exposure_by_gain_most": log2(candidates),
    }


def unlearnt_exposure(candidates: int) -> float:
    """Expected exposure in bits of a text with uniformly random rank."""
    return log2(candidates) - fsum(log2(rank) for rank in range(1, candidates + 1)) / candidates


def _with_alternatives(canary: Example, settings: EvaluationSettings) -> list[Example]:
    """The canary and random texts of the same format: digits for digits, letters for letters."""
    seed = hashlib.sha256(f"{settings.seed}:{canary.completion}".encode()).digest()
    generator = random.Random(seed)  # nosec B311: no secret

    def random_like(letter: str) -> str:
        if letter.isdigit():
            return generator.choice(digits)
        if letter.isalpha():
            return generator.choice(ascii_uppercase if letter.isupper() else ascii_lowercase)
        return letter

    alternatives = [
        replace(canary, completion="".join(map(random_like, canary.completion))) for _ in range(settings.alternatives)
    ]
    return [canary, *alternatives]
