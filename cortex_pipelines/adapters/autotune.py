"""Measure which precision and row length train fastest on this machine."""

import logging
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
    resolve_precision,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.loop import train
from cortex_pipelines.adapters.training.run import TrainingRun
from cortex_pipelines.ingestion.pretrained_models import PinnedModel

_LOG = logging.getLogger("cortex_pipelines")

LENGTHS = (384, 512, 768, 1024)
_BRIEF = 128  # tokens of a row where a first figure is enough
_STEPS = 3  # after a warm-up step
_EXAMPLE_TOKENS = 160  # about a function with its prompt
_NEARLY = 0.95  # within this of the fastest, prefer the longer row: it truncates fewer prompts
_HOPELESS = 0.5  # a precision without CPU instructions is many times slower


@dataclass(frozen=True)
class Throughput:
    precision: Precision
    max_length: int
    tokens_per_second: float


def measure_throughput(
    pinned: PinnedModel, settings: AdapterSettings, root: Path, lengths: Sequence[int] = LENGTHS
) -> list[Throughput]:
    """Train a few steps on the real base with each precision and row length.

    A precision that is less than half as fast as another is not measured at further lengths.
    """
    import torch

    base = resolve_base(pinned, root)
    types: tuple[Precision, ...] = ("fp32", "bf16", *(("fp16",) if torch.cuda.is_available() else ()))
    throughputs: list[Throughput] = []
    for precision in types:
        for length in lengths:
            tokens_per_second = _tokens_per_second(base, settings, precision, length)
            _LOG.info("%s, rows of %d: %.0f tokens/s", precision, length, tokens_per_second)
            throughputs.append(Throughput(precision, length, tokens_per_second))
            if tokens_per_second < _HOPELESS * max(measured.tokens_per_second for measured in throughputs):
                break
    return throughputs


def measure_briefly(pinned: PinnedModel, settings: AdapterSettings, root: Path) -> Throughput:
    """Train a few short rows in the precision of the settings: a minute for a base of 1.5 billion weights."""
    precision = resolve_precision(settings.precision)
    short = settings.model_copy(update={"gradient_accumulation": 1, "batch_size": 1, "processes": 1})
    length = min(_BRIEF, settings.max_length)
    return Throughput(precision, length, _tokens_per_second(resolve_base(pinned, root), short, precision, length))


def fastest_setting(throughputs: Sequence[Throughput]) -> Throughput:
    """The fastest precision, with the longest row that is nearly as fast."""
    fastest = max(throughputs, key=lambda candidate: candidate.tokens_per_second)
    threshold = _NEARLY * fastest.tokens_per_second
    return max(
        (row for row in throughputs if row.precision == fastest.precision and row.tokens_per_second >= threshold),
        key=lambda row: row.max_length,
    )


def _tokens_per_second(base: BaseModel, settings: AdapterSettings, precision: Precision, length: int) -> float:
    changes = {"precision": precision, "max_length": length, "epochs": 1, "patience": None, "divergence_factor": None}
    trial_settings = settings.model_copy(update=changes)
    with pinned_torch(settings.threads, settings.seed):
        model = with_new_adapter(load_causal_model(base, precision), trial_settings)
        vocabulary = int(model.get_input_embeddings().num_embeddings)
        rows = trial_settings.batch_size * trial_settings.gradient_accumulation
        train(model, TrainingRun(Corpus(_examples(rows, length, vocabulary), ()), trial_settings))
        measured = TrainingRun(Corpus(_examples(_STEPS * rows, length, vocabulary), ()), trial_settings)
        return _STEPS * rows * length / train(model, measured).seconds


def _examples(rows: int, length: int, vocabulary: int) -> tuple[TokenisedExample, ...]:
    count, remainder = divmod(length, _EXAMPLE_TOKENS)
    sizes = [_EXAMPLE_TOKENS] * count + [remainder] * (remainder > 1)

    def example(row: int, index: int, size: int) -> TokenisedExample:
        ids = tuple((7 * position + 11 * row + index) % vocabulary for position in range(size))
        return TokenisedExample(f"{row}-{index}", "", ids, max(1, size // 2), size - max(1, size // 2), 0)

    return tuple(example(row, index, size) for row in range(rows) for index, size in enumerate(sizes))
