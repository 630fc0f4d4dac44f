"""Measure which precision and row length train fastest on this machine."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    Precision,
    load_causal_model,
    resolve_base,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.loop import train
from cortex_pipelines.ingestion.pretrained_models import PinnedModel

_LOG = logging.getLogger("cortex_pipelines")

LENGTHS = (384, 512, 768, 1024)
_STEPS = 3  # after one that warms up
_EXAMPLE_TOKENS = 160  # about what a function with its prompt has
_NEARLY = 0.95  # within this of the fastest, prefer the longer row: it truncates fewer prompts
_HOPELESS = 0.5  # a precision without CPU instructions is many times slower


@dataclass(frozen=True)
class Speed:
    """Training speed of one precision and row length.

    Args:
        precision: Type of the base's weights.
        max_length: Tokens of a row.
        tokens_per_second: Without padding.
    """

    precision: Precision
    max_length: int
    tokens_per_second: float


def measure(
    pinned: PinnedModel,
    settings: AdapterSettings,
    root: Path,
    lengths: Sequence[int] = LENGTHS,
) -> list[Speed]:
    """Train a few steps on the real base with each precision and row length.

    A precision that is less than half as fast as another is not measured at further lengths.

    Args:
        pinned: The base.
        settings: All else: rank, layers, batch, threads.
        root: Project root.
        lengths: Row lengths to try.
    """
    import torch

    base = resolve_base(pinned, root)
    types: tuple[Precision, ...] = ("fp32", "bf16")
    if torch.cuda.is_available():
        types = (*types, "fp16")
    speeds: list[Speed] = []
    for precision in types:
        for length in lengths:
            speed = _speed(base, settings, precision, length)
            _LOG.info("%s, rows of %d: %.0f tokens/s", precision, length, speed)
            speeds.append(Speed(precision, length, speed))
            if speed < _HOPELESS * max(measured.tokens_per_second for measured in speeds):
                break
    return speeds


def best(speeds: Sequence[Speed]) -> Speed:
    """The fastest precision, with the longest row that is nearly as fast."""
    fastest = max(speeds, key=lambda candidate: candidate.tokens_per_second)
    near = [
        candidate
        for candidate in speeds
        if candidate.precision == fastest.precision
        and candidate.tokens_per_second >= _NEARLY * fastest.tokens_per_second
    ]
    return max(near, key=lambda candidate: candidate.max_length)


def _speed(base: BaseModel, settings: AdapterSettings, precision: Precision, length: int) -> float:
    """Tokens per second of whole optimiser steps on full rows."""
    chosen = settings.model_copy(
        update={
            "precision": precision,
            "max_length": length,
            "epochs": 1,
            "patience": None,
            "divergence_factor": None,
        }
    )
    with pinned_torch(settings.threads, settings.seed):
        model = with_new_adapter(load_causal_model(base, precision), chosen)
        vocabulary = int(model.get_input_embeddings().num_embeddings)
        rows = chosen.batch_size * chosen.gradient_accumulation
        train(model, Corpus(_examples(rows, length, vocabulary), ()), chosen)
        corpus = Corpus(_examples(_STEPS * rows, length, vocabulary), ())
        before = time.monotonic()
        train(model, corpus, chosen)
        return _STEPS * rows * length / (time.monotonic() - before)


def _examples(rows: int, length: int, vocabulary: int) -> tuple[TokenisedExample, ...]:
    """Examples that fill the given number of rows exactly; their text does not affect speed."""
    sizes = [_EXAMPLE_TOKENS] * (length // _EXAMPLE_TOKENS)
    rest = length - sum(sizes)
    sizes += [rest] if rest > 1 else []
    return tuple(
        TokenisedExample(
            f"{row}-{place}",
            "",
            tuple((7 * at + 11 * row + place) % vocabulary for at in range(size)),
            max(1, size // 2),
            size - max(1, size // 2),
            0,
        )
        for row in range(rows)
        for place, size in enumerate(sizes)
    )
