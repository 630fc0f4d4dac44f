"""Exposure of planted canaries (Carlini et al. 2019).

A canary's exposure is log2 of the number of compared texts over the secret's rank among them: the
bits of guessing that the model saves. By likelihood alone the rank mixes the effect of training
with the base's preference for certain digits, which varies more than a privacy guard can tolerate.
So the guard uses exposure by *gain*: the rank by how much training raised each text's likelihood
over the base. An unmemorised secret has a mean of 1.4 bits, whatever base and digits are, and a
memorised one log2 of all texts compared.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum, log2
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.model.lora import TRAINING
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.adapter.measures.models import ComparedModels
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.schemas.evaluation import CANARIES
from cortex_pipelines.statistics.intervals import paired_bootstrap

_ROLES = ("base", "challenger")


class CanaryError(ValueError):
    """The training record lists canaries in an unknown format."""


def planted_canaries(adapter: Path) -> list[Example]:
    """Canaries in an adapter's ``training.json``; of an adapter per task, each is scored by the task's own.

    Raises ``CanaryError`` for another format.
    """
    tasks = _record(adapter).get("tasks")
    if tasks is None:
        return _recorded_canaries(adapter, "completion")
    return [canary for task in tasks for canary in _recorded_canaries(adapter / task, task)]


def canary_table(models: ComparedModels, scorer: ItemScorer, settings: EvaluationSettings) -> pl.DataFrame:
    """Exposure of each canary by what the training added, as ``CANARIES``; may be empty."""
    canaries = planted_canaries(models.challenger)
    texts = [text for canary in canaries for text in _with_alternatives(canary, settings)]
    size = settings.alternatives + 1
    nats = {
        role: _batches([score.nats for score in scorer.scores(texts, models.folder(role))], size) for role in _ROLES
    }
    rows = [
        {
            "canary": canary.example_id,
            "task": canary.task,
            "prefix": canary.prompt,
            "secret": canary.completion,
            "base_exposure": _exposure(base),
            "challenger_exposure": _exposure(challenger),
            "gain_exposure": _exposure([new - old for new, old in zip(challenger, base, strict=True)]),
        }
        for canary, base, challenger in zip(canaries, nats["base"], nats["challenger"], strict=True)
    ]
    return CANARIES.conform(CANARIES.frame(rows))


def exposure_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Mean exposure in bits with ``_low`` and ``_high``, and ``_largest``.

    ``exposure`` is the challenger's by likelihood, ``exposure_base`` the base's, and
    ``exposure_by_gain`` that of the training itself. ``exposure_by_gain_unlearnt`` is the expected
    value if nothing was memorised, ``exposure_by_gain_most`` the maximum. ``canaries`` is their
    number. Empty if training planted no canaries.
    """
    if not table.height:
        return {}
    candidates = settings.alternatives + 1
    metrics: dict[str, float] = {
        "canaries": table.height,
        "exposure_by_gain_unlearnt": unlearnt_exposure(candidates),
        "exposure_by_gain_most": log2(candidates),
    }
    for name, bits in (
        ("exposure", table["challenger_exposure"]),
        ("exposure_base", table["base_exposure"]),
        ("exposure_by_gain", table["gain_exposure"]),
    ):
        mean = paired_bootstrap(
            bits.to_list(),
            clusters=table["secret"].to_list(),  # the adapters of several tasks share them
            resamples=settings.resamples,
            confidence=settings.confidence,
            seed=settings.seed,
        )
        metrics |= mean.as_metrics(name)
        metrics[f"{name}_largest"] = max(bits.to_list())
    return metrics


def unlearnt_exposure(candidates: int) -> float:
    """Expected exposure in bits of a text with uniformly random rank."""
    return log2(candidates) - fsum(log2(rank) for rank in range(1, candidates + 1)) / candidates


def _record(adapter: Path) -> dict[str, Any]:
    training: dict[str, Any] = json.loads((adapter / TRAINING).read_text(encoding="utf-8"))
    return training


def _recorded_canaries(adapter: Path, task: str) -> list[Example]:
    records = _record(adapter).get("canaries", [])
    try:
        return [_canary(number, fields, task) for number, fields in enumerate(records)]
    except (KeyError, TypeError, AttributeError) as error:
        raise CanaryError(
            f"{TRAINING}: canaries must be a list of objects with prefix and secret ({error!r}); "
            "train the adapter again"
        ) from error


def _canary(number: int, record: Mapping[str, str], task: str) -> Example:
    return Example(
        example_id=f"canary-{number}",
        task=task,
        path="",
        language="",
        kind="canary",
        prompt=record["prefix"],
        completion=record["secret"],
        cluster=f"canary-{number}",
    )


def _with_alternatives(canary: Example, settings: EvaluationSettings) -> list[Example]:
    """The canary and random texts of the same format: digits for digits, letters for letters."""
    seed_text = f"{settings.seed}:{canary.completion}"
    generator = random.Random(hashlib.sha256(seed_text.encode()).digest())  # nosec B311: no secret
    letters = "abcdefghijklmnopqrstuvwxyz"

    def random_like(letter: str) -> str:
        if letter.isdigit():
            return generator.choice("0123456789")
        if letter.isalpha():
            replacement = generator.choice(letters)
            return replacement.upper() if letter.isupper() else replacement
        return letter

    alternatives = [
        replace(canary, completion="".join(map(random_like, canary.completion))) for _ in range(settings.alternatives)
    ]
    return [canary, *alternatives]


def _batches(values: Sequence[float], size: int) -> list[Sequence[float]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _exposure(nats: Sequence[float]) -> float:
    """Exposure of the first text among all; ties get the worst rank."""
    rank = sum(cost <= nats[0] for cost in nats)
    return log2(len(nats)) - log2(rank)
