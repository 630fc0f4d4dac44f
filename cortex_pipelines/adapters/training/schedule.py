"""Rows, learning rate and due work of each optimiser step."""

from collections.abc import Sequence
from math import cos, pi

from cortex_pipelines.adapters.data.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.settings import AdapterSettings

Batch = list[PackedRow]
"""The rows of one forward pass."""


def is_due(settings: AdapterSettings, strategy: str, step: int, epoch: int, last: int) -> bool:
    """Whether periodic work is due after ``step`` steps; always after the last."""
    return step % (epoch if strategy == "epoch" else settings.evaluation_steps) == 0 or step == last


def save_is_due(settings: AdapterSettings, step: int, epoch: int, last: int, improved: bool) -> bool:
    return improved if settings.save_strategy == "best" else is_due(settings, settings.save_strategy, step, epoch, last)


def plan_steps(rows: Sequence[PackedRow], settings: AdapterSettings) -> list[list[Batch]]:
    """The batches of each optimiser step of all epochs, shuffled per epoch."""
    import torch

    steps: list[list[Batch]] = []
    for epoch in range(settings.epochs):
        random = torch.Generator().manual_seed(settings.seed + epoch)
        order = torch.randperm(len(rows), generator=random).tolist()
        batches = [
            [rows[index] for index in order[start : start + settings.batch_size]]
            for start in range(0, len(order), settings.batch_size)
        ]
        size = settings.gradient_accumulation
        steps += [batches[start : start + size] for start in range(0, len(batches), size)]
    return steps


def build_rows(examples: Sequence[TokenisedExample], settings: AdapterSettings, packed: bool) -> list[PackedRow]:
    if packed:
        return pack(examples, settings.max_length)
    return [packed_row([example]) for example in examples]


def learning_rate_at(step: int, steps: int, settings: AdapterSettings) -> float:
    """Linear warm-up to the peak, then down to zero or level; steps count from 0."""
    # a run shorter than its warm-up still reaches the peak once
    warmup = min(settings.warmup_steps, steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {"cosine": (1 + cos(pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}
    return settings.learning_rate * factor[settings.lr_scheduler]
