"""Plan the rows of each optimiser step and the work due after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from cortex_pipelines.adapters.data.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.settings import AdapterSettings

Batch = list[PackedRow]
"""The rows of one forward pass."""


@dataclass(frozen=True)
class StepSchedule:
    """All optimiser steps of a training run, in order."""

    steps: list[list[Batch]]
    epoch_steps: int
    settings: AdapterSettings

    def is_due(self, strategy: str, step: int) -> bool:
        return is_due(self.settings, strategy, step, self.epoch_steps, len(self.steps))


def is_due(settings: AdapterSettings, strategy: str, step: int, epoch: int, last: int) -> bool:
    """Whether periodic work is due after ``step`` steps; always after the last."""
    return step % (epoch if strategy == "epoch" else settings.evaluation_steps) == 0 or step == last


def plan_steps(rows: Sequence[PackedRow], settings: AdapterSettings) -> StepSchedule:
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
    return StepSchedule(steps, len(steps) // settings.epochs, settings)


def build_rows(examples: Sequence[TokenisedExample], settings: AdapterSettings, packed: bool) -> list[PackedRow]:
    if packed:
        return pack(examples, settings.max_length)
    return [packed_row([example]) for example in examples]
